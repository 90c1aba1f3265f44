"""VQGAN: the adaptive weight, the distance in features, who moves at a step and by what, bad input."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from garm_course.adversarial.losses import hinge_d_loss
from garm_course.adversarial.vqgan import VQGAN, VQGANGame, adaptive_weight, perceptual_distance
from garm_course.evaluation.features import DigitClassifier, FactorClassifier
from garm_course.latent.tokenizer import Tokenizer
from garm_course.training.games import fit_game
from garm_course.weights.files import load_model, save_model

SHAPE, LEVELS = (3, 8, 8), 4


def small(**options):
    torch.manual_seed(0)
    tokenizer = Tokenizer(SHAPE, LEVELS, n_codes=6, dim=3, channels=8, blocks=1, **{"warm_up": 0, **options})
    return VQGAN(tokenizer, critic_width=4)


def images(n=12, seed=0):
    return torch.randint(LEVELS, (n, *SHAPE), generator=torch.Generator().manual_seed(seed))


def teacher(seed=5):
    torch.manual_seed(seed)
    return FactorClassifier(SHAPE, LEVELS, channels=4)


# --- the adaptive weight ---------------------------------------------------------------------------------------------


def two_losses():
    torch.manual_seed(1)
    last, h = nn.Linear(5, 3), torch.randn(20, 5)
    critic = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1))
    out = last(h)
    return last, (out - 1).square().mean(), critic(out)


def test_after_weighting_both_gradients_are_equally_long_however_large_the_scores_are():
    last, rec, scores = two_losses()
    lengths, weights = [], []
    for factor in (1.0, 7.0):
        gan = -factor * scores.mean()
        weights.append(adaptive_weight(rec, gan, last.weight, delta=1e-12))
        weighted = torch.autograd.grad(weights[-1] * gan, last.weight, retain_graph=True)[0]
        lengths.append(weighted.norm().item())
    (target,) = torch.autograd.grad(rec, last.weight)
    assert lengths == pytest.approx([target.norm().item()] * 2, rel=1e-4)
    assert weights[0] / weights[1] == pytest.approx(7, rel=1e-4)


def test_the_adaptive_weight_is_a_constant_and_leaves_everything_alone():
    last, rec, scores = two_losses()
    last.weight.grad = torch.ones_like(last.weight)
    weight = adaptive_weight(rec, -scores.mean(), last.weight)
    assert not weight.requires_grad
    assert torch.equal(last.weight.grad, torch.ones_like(last.weight))
    (rec + weight * -scores.mean()).backward()  # both graphs are still there


def test_a_flat_critic_gives_a_finite_weight():
    last, rec, scores = two_losses()
    (slope,) = torch.autograd.grad(rec, last.weight, retain_graph=True)
    flat = 0 * scores.mean()
    assert adaptive_weight(rec, flat, last.weight, delta=1.0) == pytest.approx(slope.norm().item(), rel=1e-5)
    assert adaptive_weight(1e9 * rec, flat, last.weight) == pytest.approx(1e4)


# --- the distance in features ----------------------------------------------------------------------------------------


def test_the_distance_in_features_is_0_for_equal_images_and_ignores_how_bright_features_are():
    network, x = teacher().eval(), 2 * torch.rand(4, *SHAPE) - 1
    r = x + 0.3 * torch.randn(4, *SHAPE)
    assert perceptual_distance(network, x, x).abs().max() < 1e-6
    before = perceptual_distance(network, x, r)
    assert before.shape == (4,)
    assert (before > 1e-3).all()
    assert (before <= 8).all()
    with torch.no_grad():
        network.hidden[0].weight.mul_(3)  # every feature of the first layer three times as bright
        network.hidden[0].bias.mul_(3)
        network.hidden[3].bias.mul_(3)
    assert torch.allclose(perceptual_distance(network, x, r), before, rtol=1e-3)


def test_the_distance_in_features_by_hand():
    network = teacher().eval()
    x, r = (2 * torch.rand(2, *SHAPE) - 1 for _ in range(2))
    total = torch.zeros(2)
    with torch.no_grad():
        for k in (1, 4):  # the layers after the two convolutions
            a, b = (network.hidden[: k + 1](t) for t in (x, r))
            for i in range(a.shape[2]):
                for j in range(a.shape[3]):
                    p, q = (h[:, :, i, j] / h[:, :, i, j].norm(dim=1, keepdim=True).clamp(min=1e-12) for h in (a, b))
                    total += (p - q).square().sum(1) / (a.shape[2] * a.shape[3])
    assert torch.allclose(perceptual_distance(network, x, r), total, rtol=1e-3)


def test_the_original_is_a_target_and_a_dead_place_has_a_finite_gradient():
    network = teacher().eval()
    with torch.no_grad():
        network.hidden[0].bias.fill_(-100.0)  # nothing is seen anywhere
    x, r = torch.zeros(1, *SHAPE, requires_grad=True), torch.zeros(1, *SHAPE, requires_grad=True)
    perceptual_distance(network, x, r).sum().backward()
    assert x.grad is None
    assert torch.isfinite(r.grad).all()


# --- a step ----------------------------------------------------------------------------------------------------------


def gradients(start, network=None, seed=0):
    """The gradients of one step by hand, as a step of the game has them when it descends."""
    model = small()
    game = VQGANGame(model, teacher=network, start=start)
    found = {}

    def descend(**losses):
        for name, loss in losses.items():
            weights = list(game.players[name].parameters())
            found[name] = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)

    from garm_course.transforms import scale

    x = scale(images(), LEVELS)
    terms = game.step(lambda: (x, None), None, descend)
    return model, x, terms, found


def test_a_step_gives_each_player_the_gradient_of_its_own_loss():
    network = teacher()
    model, x, terms, found = gradients(0, network)
    again = small()
    r, codebook = again.tokenizer(x)
    network.eval()
    rec = (r - x).square().mean() + perceptual_distance(network, x, r).mean()
    gan = -again.critic(r).mean()
    norms = [torch.autograd.grad(t, again.tokenizer.last.weight, retain_graph=True)[0].norm() for t in (rec, gan)]
    total = rec + codebook + 0.8 * (norms[0] / (norms[1] + 1e-4)).item() * gan
    expected = torch.autograd.grad(total, list(again.tokenizer.parameters()), retain_graph=True, allow_unused=True)
    assert len(found["tokenizer"]) == len(expected)
    for a, b in zip(found["tokenizer"], expected, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    critic = 0.5 * hinge_d_loss(again.critic(x), again.critic(r.detach()))
    for a, b in zip(found["critic"], torch.autograd.grad(critic, list(again.critic.parameters())), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert terms["critic"].item() == pytest.approx(critic.item(), rel=1e-5)
    assert terms["generator"].item() == pytest.approx(gan.item(), rel=1e-5)
    assert all(w.requires_grad for w in model.parameters())
    assert all(w.requires_grad for w in network.parameters())


def test_before_its_start_the_critic_neither_moves_nor_is_heard():
    _, x, terms, found = gradients(1)
    assert set(found) == {"tokenizer"}
    assert [terms[name].item() for name in ("generator", "critic", "weight")] == [0, 0, 0]
    r, codebook = (again := small()).tokenizer(x)
    plain = torch.autograd.grad((r - x).square().mean() + codebook, list(again.tokenizer.parameters()))
    for a, b in zip(found["tokenizer"], plain, strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_the_critic_begins_at_its_start_and_a_teacher_never_moves(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    data = TensorDataset(images(), torch.zeros(12, dtype=torch.long))
    network, model = teacher().train(), small()
    before = {k: v.clone() for k, v in {**network.state_dict(), **model.critic.state_dict()}.items()}
    fit_game(VQGANGame(model, teacher=network, start=4), data, steps=4, batch_size=4)
    assert all(torch.equal(v, before[k]) for k, v in model.critic.state_dict().items())
    history = fit_game(VQGANGame(model, teacher=network, start=1), data, steps=2, batch_size=4, watch_every=1)
    assert [value == 0 for _, value in history.terms["critic"]] == [True, False]
    assert not all(torch.equal(v, before[k]) for k, v in model.critic.state_dict().items())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert network.training


def test_a_run_that_goes_on_has_the_critic_begin_where_it_would_have(tmp_path, monkeypatch):
    from garm_course.training.checkpoints import Checkpoints

    monkeypatch.setenv("GARM_PROGRESS", "0")
    data = TensorDataset(images(), torch.zeros(12, dtype=torch.long))

    def run(steps, **options):
        model = small(warm_up=2)
        fit_game(VQGANGame(model, start=4), data, batch_size=4, watch_every=3, steps=6, ema=0.5, **options)
        return model.state_dict()

    whole = run(6)

    class Stop(Exception):
        pass

    kept, step = [], VQGANGame.step

    def until_four(self, *arguments):
        if self.done == 4 and not kept:
            kept.append(True)
            raise Stop
        return step(self, *arguments)

    monkeypatch.setattr(VQGANGame, "step", until_four)
    with pytest.raises(Stop):
        run(6, checkpoints=Checkpoints(tmp_path, 3))
    resumed = run(6, checkpoints=Checkpoints(tmp_path, 3), resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


# --- the model -------------------------------------------------------------------------------------------------------


def test_a_model_is_saved_with_its_tokenizer_and_without_a_critic_it_has_none(tmp_path):
    for model in (small(), VQGAN(small().tokenizer, critic_width=0)):
        save_model(model, tmp_path / "m.safetensors")
        back = load_model(tmp_path / "m.safetensors", expected="vqgan")
        x = 2 * torch.rand(3, *SHAPE) - 1
        assert torch.equal(back.reconstruct(x), model.reconstruct(x))
        assert torch.equal(back.decode(back.encode(x)), back.reconstruct(x))
        assert (back.grid, back.n_codes, back.critic is None) == ((1, 1), 6, model.critic is None)
    assert set(VQGANGame(back).players) == {"tokenizer"}


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: small().decode(torch.full((1, 1, 1), 6)), ValueError, ["codes 0..5", "no such entry"]),
        (lambda: small().encode(torch.zeros(2, 3, 8, 9)), ValueError, ["(B, 3, 8, 8)", "(2, 3, 8, 9)"]),
        (lambda: small().encode(images()), TypeError, ["in [-1, 1]", "scale(x, levels)"]),
        (lambda: VQGANGame(small(), teacher=DigitClassifier((1, 8, 8), 17)), ValueError,
         ["images (3, 8, 8) of 4 levels", "DigitClassifier of (1, 8, 8) and 17 levels", "the same data"]),
        (lambda: VQGANGame(small(), teacher=nn.Linear(2, 2)), ValueError, ["a teacher with maps", "a Linear"]),
        (lambda: VQGANGame(small(), factor=-1), ValueError, ["factor=-1", "at least 0"]),
        (lambda: VQGANGame(small(), start=1.5), ValueError, ["start=1.5", "integer"]),
        (lambda: perceptual_distance(teacher(), torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8)), ValueError,
         ["one shape", "(1, 3, 8, 8) and (2, 3, 8, 8)"]),
        (lambda: teacher().maps(torch.zeros(1, 3, 9, 9)), ValueError, ["(B, 3, 8, 8)", "(1, 3, 9, 9)"]),
        (lambda: adaptive_weight(torch.zeros(2), torch.zeros(2), torch.zeros(1)), ValueError, ["scalars", "(2,)"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_at_the_door(ask, error, words):
    with pytest.raises(error) as caught:
        ask()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
