"""The VAE-GAN: whose gradient goes where, its losses, its training, and what is refused."""

import copy
import math

import pytest
import torch
from torch.utils.data import TensorDataset

from garm_course import datasets
from garm_course.adversarial.losses import LOSSES
from garm_course.adversarial.vaegan import MLPVAEGAN, VAEGAN, PixelLoss, VAEGANGame, feature_nll, vaegan_losses
from garm_course.training.games import ScaledBatches, fit_game
from garm_course.training.likelihood import fit
from garm_course.training.loop import NonFiniteLossError
from garm_course.weights.files import load_model, save_model

DIGITS = datasets.load("digits", "validation")
FAST = {"steps": 3, "batch_size": 16, "watch_every": 1}
PARTS = ("encoder", "decoder", "critic")


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def build(**options):
    torch.manual_seed(0)
    return MLPVAEGAN((1, 8, 8), 17, **{"latents": 3, "hidden": (12, 9), **options})


def images(n=6, seed=0):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def play(model, data, **options):
    """`fit_game` with the rules of the game and the settings of its training in one call."""
    rules = {name: options.pop(name) for name in ("loss", "gamma", "variance", "r1") if name in options}
    return fit_game(VAEGANGame(model, **rules), data, **options)


def weights(network):
    return torch.cat([w.detach().flatten() for w in network.parameters()])


def terms(model, x, eps):
    """The three losses with all their paths left open: nothing is detached but the target."""
    mu, logvar = model.encode(x)
    rebuilt = model.decoder(mu + (0.5 * logvar).exp() * eps)
    rec = feature_nll(model.critic.features(x), model.critic.features(rebuilt)).mean()
    return model.prior_loss(mu, logvar), rec, LOSSES["non_saturating"].critic(model.critic(x), model.critic(rebuilt))


def test_each_loss_reaches_its_players_and_no_others():
    """The paths that exist, of which the routing of (15.3) takes some: prior -> encoder; rec, gan -> all."""
    model, x = build(), images()
    losses = terms(model, x, torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))
    reached = [
        {part for part in PARTS if any(
            g is not None and g.abs().max() > 0
            for g in torch.autograd.grad(loss, list(getattr(model, part).parameters()), retain_graph=True,
                                         allow_unused=True))}
        for loss in losses
    ]  # fmt: skip
    assert reached == [{"encoder"}, set(PARTS), set(PARTS)]


def textbook(model, data, steps, size, gamma, variance, r1=0.0):
    """The same training with a network cut off by detach and copies, every loss differentiated by itself."""
    torch.manual_seed(0)
    stream = ScaledBatches(data, size, torch.Generator().manual_seed(0), levels=model.levels)
    optimizer = {p: torch.optim.Adam(getattr(model, p).parameters(), lr=1e-3, betas=(0.5, 0.99)) for p in PARTS}
    pair = LOSSES["non_saturating"]
    model.train()
    for _ in range(steps):
        x, _ = next(stream)
        frozen = copy.deepcopy(model)  # what the others are while one player learns
        mu, logvar = model.encode(x)
        eps, fresh = torch.randn_like(mu), torch.randn_like(mu)
        z = mu + (0.5 * logvar).exp() * eps
        target = frozen.critic.features(x).detach()
        rec = feature_nll(target, frozen.critic.features(frozen.decoder(z))).mean() / variance
        of_encoder = torch.autograd.grad(model.prior_loss(mu, logvar) + rec, list(model.encoder.parameters()))
        both = model.decoder(torch.cat([z.detach(), fresh]))
        rec = feature_nll(target, frozen.critic.features(both[: len(x)])).mean() / variance
        of_decoder = torch.autograd.grad(
            gamma * rec + pair.generator(frozen.critic(both)), list(model.decoder.parameters())
        )
        for part, found in (("encoder", of_encoder), ("decoder", of_decoder)):
            for w, g in zip(getattr(model, part).parameters(), found, strict=True):
                w.grad = g
            optimizer[part].step()
        optimizer["critic"].zero_grad()
        pair.critic(model.critic(x), model.critic(both.detach())).backward()
        optimizer["critic"].step()


@pytest.mark.parametrize("gamma", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("variance", [1.0, 0.1])
def test_training_routes_every_gradient_as_the_paper_says(gamma, variance):
    torch.set_default_dtype(torch.float64)
    try:
        one = build()
        two = copy.deepcopy(one)
        data = TensorDataset(DIGITS.x.double() / 8 - 1, DIGITS.y)
        play(one, data, gamma=gamma, variance=variance, **FAST)
        textbook(two, data, 3, 16, gamma, variance)
        for part in PARTS:
            assert torch.allclose(weights(getattr(one, part)), weights(getattr(two, part)), atol=1e-9), part
            assert not torch.allclose(weights(getattr(one, part)), weights(getattr(build(), part)), atol=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)


def test_gamma_does_not_reach_the_encoder_nor_the_discriminator_in_one_step():
    def after(gamma):
        model = build()
        play(model, DIGITS, gamma=gamma, **{**FAST, "steps": 1})
        return {part: weights(getattr(model, part)) for part in PARTS}

    one, two = after(0.0), after(50.0)
    assert torch.equal(one["encoder"], two["encoder"])
    assert torch.equal(one["critic"], two["critic"])
    assert not torch.equal(one["decoder"], two["decoder"])


def test_the_three_shares_add_up_and_have_their_signs():
    prior, rec, gan = (torch.tensor(v, requires_grad=True) for v in (3.0, 10.0, 1.5))
    encoder, decoder, discriminator = vaegan_losses(prior, rec, gan, 0.2)
    assert (encoder.item(), decoder.item(), discriminator.item()) == pytest.approx((13, 0.5, 1.5))
    slopes = [torch.autograd.grad(loss, (prior, rec, gan), allow_unused=True) for loss in (encoder, decoder)]
    assert [None if g is None else g.item() for g in slopes[0]] == [1, 1, None]
    assert [None if g is None else pytest.approx(g.item()) for g in slopes[1]] == [None, 0.2, -1]


def test_samples_and_reconstructions_are_images_in_range():
    model = build()
    x = model.sample(5, rng=torch.Generator().manual_seed(3))
    assert x.shape == (5, 1, 8, 8)
    assert x.abs().max() <= 1
    assert torch.allclose(model.sample(9, rng=torch.Generator().manual_seed(3))[:5], x, atol=1e-6)
    assert torch.equal(model.reconstruct(images()), model.reconstruct(images()))
    assert model.training


def test_a_model_comes_back_as_it_was_saved(tmp_path):
    model = build()
    save_model(model, tmp_path / "m.safetensors")
    back = load_model(tmp_path / "m.safetensors")
    assert type(back) is MLPVAEGAN
    assert back.config == model.config
    assert torch.equal(back.reconstruct(images()), model.eval().reconstruct(images()))


@pytest.mark.parametrize("seed", range(5))
def test_all_losses_stay_finite_over_five_seeds(seed):
    history = play(build(), DIGITS, steps=40, batch_size=32, seed=seed, variance=0.1, r1=0.1, ema=0.9)
    assert set(history.terms) == {"prior", "reconstruction", "generator", "critic", "penalty"}
    assert all(math.isfinite(value) for entries in history.terms.values() for _, value in entries)


def test_a_run_is_repeated_bit_for_bit():
    def run(seed):
        model = build()
        play(model, DIGITS, seed=seed, r1=0.1, **FAST)
        return weights(model)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_a_loss_that_is_not_finite_is_named_and_the_average_is_kept():
    model = build()
    with torch.no_grad():
        model.encoder[-1].weight.fill_(math.nan)
    with pytest.raises(NonFiniteLossError, match="the prior loss became nan at step 1"):
        play(model, DIGITS, **FAST)
    assert torch.isfinite(weights(model.decoder)).all()


def test_the_plain_vae_is_the_gaussian_of_its_variance_and_leaves_the_discriminator_alone():
    model, x = build(), DIGITS.x[:50]
    torch.manual_seed(5)
    value = PixelLoss(0.3)(model, x)
    torch.manual_seed(5)
    mu, logvar = model.encode(x / 8 - 1)
    rebuilt = model.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
    log_p = torch.distributions.Normal(rebuilt, 0.3**0.5).log_prob(x / 8 - 1).flatten(1).sum(1)
    constant = 32 * math.log(2 * math.pi * 0.3)
    assert value.item() == pytest.approx((model.prior_loss(mu, logvar) - log_p.mean() - constant).item(), rel=1e-5)
    before = weights(model.critic)
    fit(model, DIGITS, loss=PixelLoss(0.3), steps=2, evaluate_every=2)
    assert torch.equal(weights(model.critic), before)
    assert not torch.equal(weights(model.encoder), weights(build().encoder))


def test_what_does_not_fit_is_refused_in_one_line():
    model = build()
    wrong = VAEGAN(model.encoder, model.decoder, model.critic, (1, 8, 8), 4)
    for error, call, message in [
        (ValueError, lambda: feature_nll(torch.zeros(2, 3), torch.zeros(2, 4)), r"of one shape, got \(2, 3\) and"),
        (ValueError, lambda: feature_nll(torch.zeros(3), torch.zeros(3)), r"features \(B, ...\)"),
        (ValueError, lambda: model.encode(images() * 3), r"in \[-1, 1\], got values"),
        (TypeError, lambda: model.encode(DIGITS.x), "use scale"),
        (ValueError, lambda: model.encode(torch.zeros(2, 1, 8, 7)), "got shape"),
        (ValueError, lambda: wrong.encode(images()), r"expected \(6, 8\) from the encoder"),
        (ValueError, lambda: model.sample(0), "at least one image"),
        (ValueError, lambda: model.sample(1, torch.zeros(1)), "knows none; leave y out"),
        (ValueError, lambda: build(latents=0), "latents >= 1"),
        (ValueError, lambda: MLPVAEGAN((1, 8, 8), 17, 10), "knows no classes"),
        (ValueError, lambda: PixelLoss(0.0), "a variance above 0"),
        (ValueError, lambda: play(model, DIGITS, gamma=-1), "gamma=-1 is out of range"),
        (ValueError, lambda: play(model, DIGITS, variance=0), "variance=0 is out of range"),
    ]:
        with pytest.raises(error, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
