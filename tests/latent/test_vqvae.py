"""VQ-VAE: nearest codes, whose gradient goes where, a codebook that lives, and what its number means."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.evaluation.likelihood import evaluate, rate_distortion
from garm_course.latent.quantizer import VectorQuantizer, codebook_perplexity, ema_update, quantize, vq_loss
from garm_course.latent.two_stage import TwoStage
from garm_course.latent.vqvae import VQVAE, ConvVQVAE, VQLoss
from garm_course.training.likelihood import fit
from garm_course.training.loop import NonFiniteLossError
from garm_course.weights.files import load_model, save_model


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    torch.manual_seed(0)


# --- the pure functions ----------------------------------------------------------------------------------------------


def test_quantize_takes_the_nearest_code_and_passes_the_gradient_straight_through():
    z = torch.randn(2, 3, 4, 5, generator=rng(), dtype=torch.float64, requires_grad=True)  # all sizes differ
    codebook = torch.randn(7, 3, generator=rng(1), dtype=torch.float64, requires_grad=True)
    z_q, index = quantize(z, codebook)
    far = torch.cdist(z.movedim(1, -1).reshape(-1, 3), codebook)
    assert torch.equal(index.flatten(), far.argmin(1))
    assert torch.allclose(z_q, codebook[index].movedim(-1, 1), atol=1e-12)
    weight = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    to_z, to_codes = torch.autograd.grad((z_q * weight).sum(), (z, codebook), allow_unused=True)
    assert torch.equal(to_z, weight)
    assert to_codes is None
    for bad in ((z[0], codebook), (z, codebook[:, :2]), (z, codebook[0])):
        with pytest.raises(ValueError, match="expected z"):
            quantize(*bad)
    with pytest.raises(FloatingPointError, match="encoder's output"):
        quantize(z + math.nan, codebook)


def test_each_part_of_the_loss_moves_its_own_side():
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    e = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    value = vq_loss(z, e, beta=0.3)
    assert value.item() == pytest.approx(1.3 * F.mse_loss(z, e).item())
    to_z, to_e = torch.autograd.grad(value, (z, e))
    assert torch.allclose(to_e, 2 * (e - z).detach() / 12)
    assert torch.allclose(to_z, 0.3 * 2 * (z - e).detach() / 12)
    with pytest.raises(ValueError, match="of one shape"):
        vq_loss(z, e[:2])


def test_perplexity_counts_codes_in_effect():
    assert codebook_perplexity(torch.arange(8).repeat(5), 8).item() == pytest.approx(8)
    assert codebook_perplexity(torch.zeros(3, 2, 2).long(), 8).item() == 1
    index = torch.tensor([0, 0, 0, 1])
    assert codebook_perplexity(index, 5).item() == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (torch.tensor([0, 8]), ValueError, r"expected codes 0..7, got 0..8"),
        (torch.tensor([-1, 2]), ValueError, "no such entry"),
        (torch.zeros(0).long(), ValueError, "empty"),
        (torch.tensor([0.0]), TypeError, r"index.long\(\)"),
        ([0, 1], TypeError, "got a list"),
    ],
)
def test_codes_out_of_range_are_refused(index, error, message):
    model = ConvVQVAE((1, 8, 8), 2, n_codes=8)
    for use in (lambda: codebook_perplexity(index, 8), lambda: model.decode(index)):
        with pytest.raises(error, match=message):
            use()


def test_a_moving_average_without_memory_is_a_step_of_k_means():
    z = torch.randn(50, 3, generator=rng(), dtype=torch.float64)
    codes = z[:5] + 0.1
    index = torch.cdist(z, codes).argmin(1)
    counts, sums, new = ema_update(torch.rand(5).double(), torch.randn(5, 3).double(), index, z, 0.0)
    for k in range(5):
        assert torch.allclose(new[k], z[index == k].mean(0))
        assert counts[k] == (index == k).sum()
        assert torch.allclose(sums[k], z[index == k].sum(0))
    assert ((z - new[index]) ** 2).sum() < ((z - codes[index]) ** 2).sum()
    old = torch.rand(5).double(), torch.randn(5, 3).double()
    slow = ema_update(*old, index, z, 0.9)
    assert torch.allclose(slow[0], 0.9 * old[0] + 0.1 * counts)
    assert torch.allclose(slow[2], (0.9 * old[1] + 0.1 * sums) / slow[0][:, None])
    dead = ema_update(torch.zeros(6).double(), torch.zeros(6, 3).double(), index, z, 0.5)[2]
    assert torch.equal(dead[5], torch.zeros(3).double())  # a code that nobody chose: no NaN
    with pytest.raises(ValueError, match="decay"):
        ema_update(*old, index, z, 1.0)


# --- the quantizer in training ---------------------------------------------------------------------------------------


def clusters(n=400):
    """Vectors around six far centers, as a grid (n, 2, 1, 1)."""
    centers = 10 * torch.tensor([[1.0, 0], [-1, 0.5], [0, 2], [2, 2], [-2, -1], [0.5, -2]])
    which = torch.arange(n) % 6
    return (centers[which] + 0.1 * torch.randn(n, 2, generator=rng()))[..., None, None]


def test_a_moving_average_finds_the_clusters():
    quantizer = VectorQuantizer(6, 2, decay=0.8, restart=0.1).train()
    z = clusters()
    with torch.no_grad():  # one code in each cluster's reach: from two in one, k-means does not find out
        quantizer.codebook.copy_(z[:6, :, 0, 0] + 3)
        quantizer.counts.fill_(1.0), quantizer.sums.copy_(quantizer.codebook)
    for _ in range(60):
        out = quantizer(z)
    assert codebook_perplexity(out.index, 6) > 5.9
    assert out.loss < 0.25 * 0.02
    assert not any(p.requires_grad for p in quantizer.parameters())


def test_dead_codes_stay_dead_without_a_restart_and_live_with_one():
    used = {}
    for restart in (0.0, 0.1):
        quantizer = VectorQuantizer(6, 2, decay=0.8, restart=restart).train()
        with torch.no_grad():  # all codes but one are far away: nobody chooses them
            quantizer.codebook.copy_(torch.cat([torch.zeros(1, 2), 1000 + torch.randn(5, 2)]))
            quantizer.counts.fill_(1.0), quantizer.sums.copy_(quantizer.codebook)
        for _ in range(60):
            index = quantizer(clusters()).index
        used[restart] = len(index.unique())
    assert used == {0.0: 1, 0.1: 6}


def test_the_first_batch_starts_the_codebook_on_its_own_vectors():
    z = clusters()
    quantizer = VectorQuantizer(6, 2, decay=0.5, restart=0).train()
    with torch.no_grad():
        quantizer.codebook.copy_(1000 + torch.arange(12.0).reshape(6, 2))  # only one of these would be chosen
    torch.manual_seed(0)
    quantizer(z)
    torch.manual_seed(0)
    vectors = z[:, :, 0, 0]
    start = vectors[torch.randint(400, (6,))]
    index = torch.cdist(vectors, start).argmin(1)
    for k in range(6):  # counts of an equal share at the start, and then the vectors that chose this code
        mine, share = vectors[index == k], 400 / 6
        expected = (0.5 * share * start[k] + 0.5 * mine.sum(0)) / (0.5 * share + 0.5 * len(mine))
        assert torch.allclose(quantizer.codebook[k], expected, atol=1e-4)


def test_a_code_without_a_count_keeps_its_place():
    quantizer = VectorQuantizer(2, 2, decay=0.0, restart=0).train()
    with torch.no_grad():
        quantizer.codebook.copy_(torch.tensor([[0.0, 0.0], [50.0, 50.0]]))
        quantizer.counts.fill_(1.0), quantizer.sums.copy_(quantizer.codebook)
    quantizer(torch.ones(5, 2, 1, 1))
    assert quantizer.codebook.tolist() == [[1.0, 1.0], [50.0, 50.0]]
    assert quantizer.counts.tolist() == [5.0, 0.0]


def test_evaluation_moves_no_code():
    quantizer = VectorQuantizer(6, 2).train()
    quantizer(clusters())
    before = {k: v.clone() for k, v in quantizer.state_dict().items()}
    quantizer.eval()(clusters())
    assert all(torch.equal(v, before[k]) for k, v in quantizer.state_dict().items())


def test_a_codebook_can_be_learned_by_its_gradient():
    quantizer = VectorQuantizer(4, 2, decay=None)
    z = torch.randn(5, 2, 3, 1, requires_grad=True)
    out = quantizer(z)
    out.loss.backward()
    chosen = out.index.unique()
    untouched = [k for k in range(4) if k not in chosen]
    assert (quantizer.codebook.grad[chosen].abs().sum(1) > 0).all()
    assert quantizer.codebook.grad[untouched].abs().sum() == 0
    assert torch.allclose(z.grad, 2 * 0.25 * (z - out.z_q).detach() / z.numel(), atol=1e-6)


@pytest.mark.parametrize("options", [{"n_codes": 1}, {"dim": 0}, {"beta": -1}, {"decay": 1.0}, {"restart": -0.1}])
def test_quantizers_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        VectorQuantizer(**{"n_codes": 4, "dim": 2, **options})


# --- the model -------------------------------------------------------------------------------------------------------


def tiny(levels=2, **options):
    return ConvVQVAE((1, 4, 8), levels, **{"n_codes": 3, "dim": 2, "channels": 4, "blocks": 1, **options})


def test_the_loss_reaches_every_weight_and_the_encoder_only_through_the_codes():
    model = tiny(decay=None).train()
    x = torch.randint(2, (6, 1, 4, 8), generator=rng())
    VQLoss()(model, x).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    model.zero_grad()
    reconstruction, _ = model.terms(x)
    (-reconstruction.mean()).backward()
    assert model.quantizer.codebook.grad is None  # the reconstruction does not move the codebook
    assert model.encoder.net[0].weight.grad.abs().sum() > 0
    z_q = model.quantized(x).z_q.detach().requires_grad_()
    (d,) = torch.autograd.grad(-model.head.log_prob(model.decode_vectors(z_q), x).sum() / 6, z_q)
    model.zero_grad()
    z = model.encoder(x)
    z.backward(d)  # the straight-through gradient: that of the decoder's input, handed to the encoder
    by_hand = model.encoder.net[0].weight.grad.clone()
    model.zero_grad()
    (-model.terms(x)[0].mean()).backward()
    assert torch.allclose(by_hand, model.encoder.net[0].weight.grad, atol=1e-6)


def test_the_weight_of_the_codebook_counts():
    model, x = tiny().eval(), torch.randint(2, (6, 1, 4, 8), generator=rng())
    reconstruction, codebook = model.terms(x)
    assert VQLoss(0.3)(model, x).item() == pytest.approx((0.3 * 32 * codebook - reconstruction.mean()).item())


@pytest.mark.parametrize("levels", [2, 5])
def test_shapes_and_ranges(levels):
    model = tiny(levels).eval()
    x = torch.randint(levels, (6, 1, 4, 8), generator=rng())
    codes = model.encode(x)
    assert codes.shape == (6, 1, 2)
    assert codes.dtype == torch.long
    assert model.decode(codes).shape == ((6, 1, 4, 8) if levels == 2 else (6, 1, 4, 8, 5))
    mean = model.reconstruct(x)
    assert mean.shape == x.shape
    assert 0 <= mean.min() <= mean.max() <= levels - 1
    terms = model.elbo(x)
    assert torch.allclose(terms.kl, torch.full((6,), 2 * math.log(3)))
    with pytest.raises(ValueError, match=r"expected codes \(B, 1, 2\)"):
        model.decode(codes[:, 0])


def test_the_bound_counts_one_code_of_all():
    """log p(x) = log sum over all codes of p(codes) p(x | codes), enumerated: 3^2 codes of 4 x 8 pixels."""
    model = tiny().double().eval()
    prior = GatedPixelCNN((1, 1, 2), 3, channels=4, layers=1, encoding="one_hot").double()
    pair = TwoStage(model, prior)
    x = torch.randint(2, (20, 1, 4, 8), generator=rng())
    every = torch.tensor(list(itertools.product(range(3), repeat=2))).reshape(9, 1, 2)
    with torch.no_grad():
        given = torch.stack(
            [model.head.log_prob(model.decode(c.expand(20, 1, 2)), x).flatten(1).sum(1) for c in every], 1
        )
        for weights, bound in (
            (torch.full((9,), -math.log(9)).double(), model.elbo(x).bound),
            (prior.log_prob(every[:, None]), pair.elbo(x).bound),
        ):
            exact = (given + weights).logsumexp(1)
            assert (bound < exact).all()
            mine = (every.flatten(1)[None] == model.encode(x).flatten(1)[:, None]).all(-1)
            assert torch.allclose(bound, (given + weights)[mine])
    assert prior.log_prob(every[:, None]).exp().sum().item() == pytest.approx(1)


def test_a_pair_learns_bars_and_stripes_and_draws_them():
    bars = datasets.load("bars_and_stripes", "train")
    model = ConvVQVAE(bars.shape, 2, n_codes=16, dim=4, channels=16, halvings=1)
    fit(model, bars, validation=bars, loss=VQLoss(), steps=400, batch_size=30, lr=1e-2, ema=0.9)
    uniform = evaluate(model, bars)
    assert uniform.bound == "ELBO"
    parts = rate_distortion(model, bars)
    assert parts["rate"] == pytest.approx(4 * math.log(16))
    assert parts["distortion"] < 1
    codes = torch.utils.data.TensorDataset(model.encode(bars.x).unsqueeze(1), bars.y)
    prior = GatedPixelCNN((1, 2, 2), 16, channels=16, layers=2, encoding="one_hot")
    fit(prior, codes, validation=codes, steps=300, batch_size=30, lr=1e-2, ema=0.9)
    pair = TwoStage(model, prior)
    reached = evaluate(pair, bars)
    assert math.log(30) < reached.nats < math.log(30) + 1.5 < uniform.nats
    known = {tuple(x.flatten().tolist()) for x in bars.x}
    drawn = pair.sample(100, rng=rng())
    assert sum(tuple(x.flatten().tolist()) in known for x in drawn) > 70
    assert torch.equal(drawn, pair.sample(100, rng=rng()))
    assert pair.sample(3, mean=True).is_floating_point()
    tempered = pair.sample(50, rng=rng(), temperature=0.01)
    assert len({tuple(x.flatten().tolist()) for x in tempered}) < 20


def test_a_pair_is_saved_with_both_its_parts(tmp_path):
    pair = TwoStage(tiny(), GatedPixelCNN((1, 1, 2), 3, 4, channels=4, layers=1))
    save_model(pair, tmp_path / "pair.safetensors", {"seed": 3})
    back = load_model(tmp_path / "pair.safetensors", expected="two_stage")
    x, y = torch.randint(2, (5, 1, 4, 8), generator=rng()), torch.tensor([0, 1, 2, 3, 0])
    assert torch.equal(back.elbo(x, y).kl, pair.eval().elbo(x, y).kl)
    assert back.config == pair.config
    assert back.n_classes == 4


def test_a_pair_of_parts_that_nobody_can_build_is_not_saved(tmp_path):
    own = VQVAE(Fixed(2, 1, 2), Fixed(1, 4, 8), VectorQuantizer(3, 2), (1, 4, 8), 2, (1, 2))
    pair = TwoStage(own, GatedPixelCNN((1, 1, 2), 3, channels=4, layers=1))
    with pytest.raises(ValueError, match="parts that the library cannot build"):
        save_model(pair, tmp_path / "pair.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_first_images_of_a_pair_are_the_same_however_many_are_drawn():
    pair = TwoStage(tiny(), GatedPixelCNN((1, 1, 2), 3, channels=4, layers=1))
    many = pair.sample(6, rng=rng())
    assert torch.equal(pair.sample(2, rng=rng()), many[:2])
    assert not torch.equal(pair.sample(6, rng=rng(1)), many)


def test_importance_samples_of_a_deterministic_code_are_refused():
    data = torch.utils.data.TensorDataset(torch.zeros(4, 1, 4, 8).long(), torch.zeros(4).long())
    with pytest.raises(ValueError, match="ConvVQVAE has no importance samples to draw, got k=5; leave k out"):
        evaluate(tiny(), data, k=5)


def test_a_prior_of_other_codes_is_refused():
    for prior in (GatedPixelCNN((1, 2, 1), 3, channels=4), GatedPixelCNN((1, 1, 2), 4, channels=4)):
        with pytest.raises(ValueError, match=r"expected a prior over codes \(1, 1, 2\) of 3 levels"):
            TwoStage(tiny(), prior)


class Fixed(nn.Module):
    def __init__(self, *size, value=0.0):
        super().__init__()
        self.size, self.value = size, nn.Parameter(torch.tensor(value))

    def forward(self, x):
        return self.value.expand(len(x), *self.size)


def test_networks_that_do_not_fit_are_refused():
    quantizer, x = VectorQuantizer(3, 2), torch.zeros(5, 1, 4, 8).long()
    with pytest.raises(ValueError, match=r"expected \(5, 2, 1, 2\) from the encoder, got \(5, 2, 2, 2\)"):
        VQVAE(Fixed(2, 2, 2), Fixed(1, 4, 8), quantizer, (1, 4, 8), 2, (1, 2)).elbo(x)
    with pytest.raises(ValueError, match=r"expected parameters \(5, 1, 4, 8\) from the decoder"):
        VQVAE(Fixed(2, 1, 2), Fixed(1, 8, 4), quantizer, (1, 4, 8), 2, (1, 2)).elbo(x)
    with pytest.raises(ValueError, match="divisible by 4"):
        ConvVQVAE((1, 6, 8), 2)
    with pytest.raises(ValueError, match="no classes"):
        ConvVQVAE((1, 8, 8), 2, 10)
    with pytest.raises(ValueError, match="leave y out"):
        tiny().elbo(x, torch.zeros(5).long())
    with pytest.raises(TypeError, match="LongTensor"):
        tiny().encode(x.float())


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (Fixed(2, 1, 2, value=math.nan), Fixed(1, 4, 8), "encoder's output became NaN"),
        (Fixed(2, 1, 2), Fixed(1, 4, 8, value=math.nan), "reconstruction term is not finite"),
        (Fixed(2, 1, 2, value=1e30), Fixed(1, 4, 8), "codebook term is not finite"),
    ],
)
def test_what_diverged_is_named_and_stops_the_training(encoder, decoder, message):
    model = VQVAE(encoder, decoder, VectorQuantizer(3, 2, decay=None), (1, 4, 8), 2, (1, 2))
    data = torch.utils.data.TensorDataset(torch.zeros(20, 1, 4, 8).long(), torch.zeros(20).long())
    with pytest.raises(NonFiniteLossError, match=message):
        fit(model, data, loss=VQLoss(), steps=3, batch_size=5)


def test_the_recorded_pair_uses_its_codebook_and_keeps_the_digit():
    """Every code in use, a perplexity above half the codebook; a classifier reads reconstructions as the original."""
    from sklearn.neural_network import MLPClassifier

    from garm_course.weights import load_pretrained

    pair = load_pretrained("vqvae-glyphs")
    options = pair.record["data_options"]
    data = datasets.load("glyphs", "validation", **options["validation"])
    index = pair.vqvae.encode(data.x)
    assert len(index.unique()) == pair.vqvae.n_codes
    assert codebook_perplexity(index, pair.vqvae.n_codes) > pair.vqvae.n_codes / 2
    train = datasets.load("glyphs", "train", **{**options["train"], "n": 3000})
    reader = MLPClassifier((64,), max_iter=60, tol=1e-3, random_state=0)
    reader.fit(train.x.flatten(1).numpy(), train.y.numpy())
    original = reader.predict(data.x.flatten(1).numpy())
    assert (original == data.y.numpy()).mean() > 0.95
    rebuilt = (pair.vqvae.reconstruct(data.x) > 0.5).long().flatten(1).numpy()
    agreement = (reader.predict(rebuilt) == original).mean()
    print(f"agreement {agreement:.3f}")
    assert agreement > 0.95
