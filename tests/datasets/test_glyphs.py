"""Glyphs: the mixture by enumeration on tiny images, its entropy, the rendered digits, the draws, bad input."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from garm_course.datasets import load
from garm_course.datasets.flip_mixture import FlipMixture
from garm_course.datasets.glyph_outlines import FONTS, INK, PIXELS, outline, place, rasterize
from garm_course.datasets.glyphs import DEFAULT_FONTS, LEVELS_IN_COLOR, PALETTE, Glyphs, tabulate

# The same with matplotlib 3.9, 3.10 and 3.11. When it changes, fonts or rendering did, and recorded figures with them.
FINGERPRINT = "aa0bc1b94e1845d02fb2a1b89b1f59faf70684018ee6e0123801625130c488c1"


def every_image(height, width, levels=2, channels=1):
    pixels = channels * height * width
    return torch.tensor(list(itertools.product(range(levels), repeat=pixels))).view(-1, channels, height, width)


def tiny(flip=0.1, palette=None, height=3, width=3):
    """Five prototypes, the last two almost equal (so that it is often unclear which one an image came from)."""
    bits = torch.tensor([0b111000000, 0b101010101, 0b000000000, 0b011110000, 0b011110001])
    prototypes = (bits[:, None] >> torch.arange(height * width)) & 1
    weights = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.5, 0.5], [0.0, 3.0], [1.0, 1.0]])  # (K, 2 classes)
    return FlipMixture(prototypes.view(-1, height, width), weights, flip, palette)


def two_by_two(flip, palette):
    prototypes = torch.tensor([[[1, 0], [0, 0]], [[0, 0], [0, 0]], [[1, 1], [0, 1]]])
    return FlipMixture(prototypes, torch.tensor([1.0, 2.0, 3.0]), flip, palette)


TWO_HUES = torch.tensor([[1, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize("flip", [0.0, 0.01, 0.1, 0.49])
def test_probabilities_sum_to_one(flip):
    mixture, x = tiny(flip), every_image(3, 3)
    assert mixture.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)
    for y in (0, 1):
        assert mixture.log_prob(x, torch.full((len(x),), y)).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("flip", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(2, 2), (1, 3)])
def test_probabilities_sum_to_one_in_color(flip, shape):
    mixture, x = tiny(flip, TWO_HUES, *shape), every_image(*shape, channels=3)
    p = mixture.log_prob(x).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    possible = {tuple((hue[:, None, None] * s).flatten().tolist()) for hue in TWO_HUES for s in every_image(*shape)}
    positive = {tuple(image.flatten().tolist()) for image in x[p > 0]}
    assert positive == possible if flip else positive < possible


@pytest.mark.parametrize("flip", [0.0, 0.1])
def test_log_prob_is_the_sum_over_prototypes(flip):
    mixture, x = tiny(flip), every_image(3, 3)
    for i in (0, 5, 341, 511):
        total = 0.0
        for prototype, weight in zip(mixture.prototypes, mixture.weights, strict=True):
            d = int((x[i] != prototype).sum())
            total += weight.item() * flip**d * (1 - flip) ** (9 - d)
        assert mixture.log_prob(x[i : i + 1]).exp().item() == pytest.approx(total, abs=1e-14)
    y = torch.tensor([0, 1] * 256)
    p_y = torch.tensor([4.5, 5.5], dtype=torch.float64) / 10  # the column sums of the weights
    joint = sum(p * mixture.log_prob(x, torch.full((512,), c)).exp() for c, p in enumerate(p_y))
    torch.testing.assert_close(joint, mixture.log_prob(x).exp())  # sum_y p(y) p(x | y) = p(x)
    torch.testing.assert_close(mixture.log_prob(x, y)[::2], mixture.log_prob(x[::2], y[::2]))


def test_memory_blocks_do_not_change_the_result(monkeypatch):
    mixture, x, y = tiny(), every_image(3, 3), torch.arange(512) % 2
    results = [(mixture.log_prob(x), mixture.log_prob(x, y), *mixture.nearest_prototype(x))]
    monkeypatch.setattr("garm_course.datasets.flip_mixture.BLOCK", 35)  # seven rows at a time
    results.append((mixture.log_prob(x), mixture.log_prob(x, y), *mixture.nearest_prototype(x)))
    for whole, in_blocks in zip(*results, strict=True):
        torch.testing.assert_close(in_blocks, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("flip", "palette"), [(0.1, None), (0.3, None), (0.02, TWO_HUES), (0.3, TWO_HUES)])
def test_entropy_equals_enumeration(flip, palette):
    mixture = tiny(flip) if palette is None else two_by_two(flip, palette)
    channels, *shape = mixture.shape
    exact = torch.special.entr(mixture.log_prob(every_image(*shape, channels=channels)).exp()).sum().item()
    estimate = mixture.entropy(4000, torch.Generator().manual_seed(3))
    assert 0 < estimate.stderr < 0.02
    assert abs(estimate.nats - exact) < 4 * estimate.stderr


@pytest.mark.parametrize("palette", [None, TWO_HUES])
def test_entropy_without_flips_is_exact(palette):
    mixture = two_by_two(0.0, palette)
    exact = torch.special.entr(mixture.log_prob(every_image(2, 2, channels=mixture.shape[0])).exp()).sum().item()
    assert mixture.entropy().stderr == 0
    assert mixture.entropy().nats == pytest.approx(exact, abs=1e-12)


def test_entropy_estimate_has_the_stated_standard_error():
    mixture = tiny(0.1)
    runs = [mixture.entropy(200, torch.Generator().manual_seed(seed)) for seed in range(200)]
    spread = torch.tensor([r.nats for r in runs]).std().item()
    stated = sum(r.stderr for r in runs) / len(runs)
    assert spread == pytest.approx(stated, rel=0.2)  # 4 standard errors of a spread from 200 runs: 4 / sqrt(400)


@pytest.mark.parametrize("palette", [None, TWO_HUES])
def test_samples_follow_the_density(palette):
    mixture, n = tiny(0.1) if palette is None else two_by_two(0.1, palette), 40000
    channels, *shape = mixture.shape
    x, k = mixture.sample(n, torch.Generator().manual_seed(0))
    codes = (x.flatten(1) << torch.arange(math.prod(mixture.shape) - 1, -1, -1)).sum(1)
    p = mixture.log_prob(every_image(*shape, channels=channels)).exp()
    frequency = torch.bincount(codes, minlength=len(p)) / n
    assert ((frequency - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()  # hundreds of comparisons: 5 standard errors
    w = mixture.weights
    assert ((torch.bincount(k, minlength=len(w)) / n - w).abs() < 4 * (w * (1 - w) / n).sqrt()).all()


def test_nearest_prototype_is_the_smallest_hamming_distance():
    mixture, x = tiny(), every_image(3, 3)
    distance = (x != mixture.prototypes.transpose(0, 1)).flatten(2).sum(2)  # (512, 5)
    index, nearest = mixture.nearest_prototype(x)
    assert torch.equal(nearest, distance.min(1).values)
    assert torch.equal(distance.gather(1, index[:, None])[:, 0], nearest)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.tensor([[[0, 2]]]), torch.ones(1), 0.1), "0 and 1"),
        ((torch.eye(2).view(2, 1, 2), torch.ones(3), 0.1), "weights"),
        ((torch.eye(2).view(2, 1, 2), torch.tensor([1.0, 0.0]), 0.1), "positive"),
        ((torch.eye(2).view(2, 1, 2), torch.tensor([1.0, math.nan]), 0.1), "finite"),
        ((torch.eye(2).view(2, 1, 2), torch.ones(2), 0.5), "[0, 0.5)"),
        ((torch.eye(2).view(2, 1, 2), torch.ones(2), 0.1, torch.tensor([[1, 0, 0], [0, 0, 0]])), "black"),
        ((torch.eye(2).view(2, 1, 2), torch.ones(2), 0.1, torch.tensor([[3, 0, 0]]), 3), "at least 4 levels"),
    ],
)
def test_bad_mixtures_are_refused(arguments, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        FlipMixture(*arguments)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (torch.tensor([0.0]), "LongTensor (1,)"),
        (torch.tensor([0, 1]), "LongTensor (1,)"),
        (torch.tensor([2]), "classes 0..1, got 2"),
        (torch.tensor([-1]), "classes 0..1, got -1"),
        (3, "got int"),
    ],
)
def test_bad_classes_are_refused(y, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        tiny().log_prob(torch.zeros(1, 1, 3, 3, dtype=torch.long), y)
    assert words in str(error.value)


def rectangle(left, top, right, bottom, reverse=False):
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)][:: -1 if reverse else 1]
    return [(corners[i], corners[(i + 1) % 4]) for i in range(4)]


def test_rasterizing_known_shapes():
    ring = rasterize(np.array(rectangle(4.0, 6.0, 20.0, 20.0) + rectangle(8.0, 8.0, 16.0, 16.0, reverse=True)))
    expected = np.zeros((28, 28), dtype=np.uint8)
    expected[6:20, 4:20] = 1
    expected[8:16, 8:16] = 0  # the hole, wound the other way, stays open
    assert (ring == expected).all()
    overlapping = rasterize(np.array(rectangle(4.0, 6.0, 20.0, 20.0) + rectangle(8.0, 8.0, 16.0, 16.0)))
    assert overlapping.sum() == 16 * 14  # overlapping strokes do not cancel: nonzero winding, not even-odd
    for points, right, bottom in [(4, 4.5, 4.5), (6, 4.5, 4.75), (8, 4.5, 5.0), (16, 5.0, 5.0)]:
        assert rasterize(np.array(rectangle(4.0, 4.0, right, bottom))).sum() == (points >= INK), points


@pytest.mark.parametrize("slant", [-0.2, 0.0, 0.2])
@pytest.mark.parametrize("size", [12, 17, 20])
def test_digits_are_whole_centered_and_of_the_stated_height(size, slant):
    for font, digit in itertools.product(FONTS, range(10)):
        bitmap = rasterize(place(font, digit, size, slant))
        rows, columns = bitmap.any(1).nonzero()[0], bitmap.any(0).nonzero()[0]
        assert size - 1 <= rows[-1] - rows[0] + 1 <= size
        assert abs((rows[0] + rows[-1] + 1) / 2 - PIXELS / 2) <= 1
        assert abs((columns[0] + columns[-1] + 1) / 2 - PIXELS / 2) <= 1
        assert 0.04 < bitmap.mean() < 0.4 if size == 20 else bitmap.any()


def test_every_shifted_digit_is_the_centered_one_moved():
    table = tabulate(("cmr10", "DejaVuSans-Bold"), (20,), (0.2,), 3)
    bitmaps = table.bitmaps[table.prototype.numpy()]
    assert len({b.sum() for b in bitmaps[:49]}) == 1  # no ink is lost at the border
    for factors, bitmap in zip(table.combinations, bitmaps, strict=True):
        centered = rasterize(place(factors.font, factors.digit, factors.size, factors.slant))
        rows, columns = centered.nonzero()
        moved = np.zeros_like(centered)
        moved[rows + factors.dy, columns + factors.dx] = 1
        assert (bitmap == moved).all()


def test_the_prototypes_have_not_changed():
    data = load("glyphs", "test", n=1)
    assert data.prototypes_fingerprint == FINGERPRINT
    assert load("glyphs", "test", n=1, seed=5, flip=0.1, color=True).prototypes_fingerprint == FINGERPRINT
    assert load("glyphs", "test", n=1, shift=0).prototypes_fingerprint != FINGERPRINT


def test_equal_bitmaps_are_merged_with_summed_weight():
    data = load("glyphs", "test", n=1, fonts=("DejaVuSans", "DejaVuSansMono"), size=20, slant=0.2, shift=0, flip=0.0)
    assert len(data.prototypes) == 19  # the 1 is the same in both
    assert len(data.prototypes.flatten(1).unique(dim=0)) == 19
    weights = data.mixture.weights
    assert weights.tolist() == pytest.approx([1 / 20] * 2 + [2 / 20] + [1 / 20] * 16)
    assert data.entropy().nats == pytest.approx(18 * math.log(20) / 20 + 2 * math.log(10) / 20)
    assert data.prototype_factors["digit"].tolist() == [0, 0, 1, *(d for d in range(2, 10) for _ in range(2))]


def test_default_prototypes_are_all_different():
    data = load("glyphs", "test", flip=0.0)
    assert len(data.prototypes) == 10 * len(DEFAULT_FONTS) * 3 * 3 * 9
    assert data.entropy().nats == pytest.approx(math.log(len(data.prototypes)), abs=1e-9)
    assert torch.equal(data.x, data.prototypes[data.prototype])


@pytest.mark.parametrize("color", [False, True])
def test_entropy_is_the_mean_surprise_of_the_samples(color):
    data = load("glyphs", "train", size=18, slant=0.0, n=2000, color=color)
    entropy, surprise = data.entropy(), -data.log_prob(data.x)
    assert entropy.stderr < 0.01
    tolerance = 4 * math.hypot(surprise.std().item() / math.sqrt(len(data)), entropy.stderr)
    assert abs(surprise.mean().item() - entropy.nats) < tolerance
    given_digit = -data.log_prob(data.x, data.y)  # digits can be told apart almost surely: I(X; Y) is nearly ln 10
    assert (surprise - given_digit).mean().item() == pytest.approx(math.log(10), abs=0.01)


def test_flips_have_the_stated_rate_and_are_independent_of_the_shape():
    data = load("glyphs", "train", n=2000, flip=0.02)
    flipped = data.x != data.prototypes[data.prototype]
    n = flipped.numel()
    assert abs(flipped.double().mean().item() - 0.02) < 4 * math.sqrt(0.02 * 0.98 / n)
    ink = data.prototypes[data.prototype] == 1
    rate = flipped[ink].double().mean().item()
    assert abs(rate - 0.02) < 4 * math.sqrt(0.02 * 0.98 / ink.sum().item())
    index, distance = data.nearest_prototype(data.x[:500])
    assert (distance <= flipped[:500].flatten(1).sum(1)).all()
    assert (data.prototype_factors["digit"][index] == data.y[:500]).double().mean() > 0.99


def test_factors_are_uniform_and_belong_to_their_images():
    data = load("glyphs", "train", n=20000, size=(16, 20), shift=0, flip=0.0, color=("red", "blue"))
    for name, count in [("digit", 10), ("font", len(DEFAULT_FONTS)), ("size", 2), ("slant", 3), ("hue", 2), ("dx", 1)]:
        values = data.factors[name]
        values = values.tolist() if isinstance(values, torch.Tensor) else values
        assert len(values) == len(data)
        seen = {value: values.count(value) / len(data) for value in set(values)}
        assert len(seen) == count, name
        tolerance = 4 * math.sqrt((1 - 1 / count) / count / len(data)) + 1e-12
        assert all(abs(frequency - 1 / count) < tolerance for frequency in seen.values()), name
    assert torch.equal(data.factors["digit"], data.y)
    for i in range(20):
        f = {name: values[i] for name, values in data.factors.items()}
        shape = rasterize(
            place(f["font"], int(f["digit"]), int(f["size"]), float(f["slant"].double().round(decimals=3)))
        )
        expected = torch.tensor(PALETTE[f["hue"]])[:, None, None] * torch.from_numpy(shape)
        assert torch.equal(data.x[i], expected)


def test_factors_are_independent():
    """Chi-square of every pair of factors, and of each factor with the number of flipped pixels."""
    data = load("glyphs", "train", n=20000, flip=0.02, color=True)
    columns = {name: values.tolist() if isinstance(values, torch.Tensor) else values for name, values in
               data.factors.items()}  # fmt: skip
    flips = (data.x > 0).any(1).long().sub(data.prototypes[data.prototype][:, 0]).abs().flatten(1).sum(1)
    columns["flips"] = (flips.double().argsort().argsort() * 4 // len(data)).tolist()  # quarters
    counts = {name: len(set(values)) for name, values in columns.items()}
    fonts = len(DEFAULT_FONTS)
    assert counts == {"digit": 10, "font": fonts, "size": 3, "slant": 3, "dx": 3, "dy": 3, "hue": 6, "flips": 4}
    for a, b in itertools.combinations(columns, 2):
        rows = {value: i for i, value in enumerate(sorted(set(columns[a])))}
        cols = {value: i for i, value in enumerate(sorted(set(columns[b])))}
        table = np.zeros((len(rows), len(cols)))
        np.add.at(table, ([rows[v] for v in columns[a]], [cols[v] for v in columns[b]]), 1)
        expected = table.sum(1, keepdims=True) * table.sum(0) / len(data)
        chi_square = ((table - expected) ** 2 / expected).sum()
        freedom = (len(rows) - 1) * (len(cols) - 1)
        assert chi_square < freedom + 5 * math.sqrt(2 * freedom), (a, b)  # 28 pairs: 5 standard deviations


def test_color_leaves_the_shapes_as_they_are():
    plain, colored = load("glyphs", "test", n=50), load("glyphs", "test", n=50, color=True)
    assert colored.shape == (3, 28, 28)
    assert colored.levels == LEVELS_IN_COLOR == load("glyphs", "test", n=5, color="green").levels
    assert torch.equal((colored.x > 0).any(1, keepdim=True).long(), plain.x)
    torch.testing.assert_close(colored.log_prob(colored.x), plain.log_prob(plain.x) - math.log(len(PALETTE)))
    red, blue = (torch.tensor(PALETTE[name])[:, None, None] for name in ("red", "blue"))
    two_hues = torch.cat([red * plain.x[0, :, :14], blue * plain.x[0, :, 14:]], dim=1)[None]
    assert colored.log_prob(two_hues).item() == -math.inf
    one_hue = red * plain.x[:1]
    assert colored.log_prob(one_hue).item() == pytest.approx(plain.log_prob(plain.x[:1]).item() - math.log(6))
    other_red = (one_hue > 0).long()
    assert colored.log_prob(other_red).item() == -math.inf
    assert colored.nearest_prototype(two_hues)[0] == plain.nearest_prototype(plain.x[:1])[0]


def test_draws_repeat_and_differ_between_splits_and_seeds():
    draws = {(split, seed): load("glyphs", split, n=20, seed=seed).x for split in ("train", "validation", "test")
             for seed in (0, 1, 2)}  # fmt: skip
    for (a, x), (b, y) in itertools.combinations(draws.items(), 2):
        assert not torch.equal(x, y), (a, b)
        assert not (x[:, None] == y[None]).flatten(2).all(2).any(), (a, b)  # not one image in common
    assert torch.equal(load("glyphs", "test", n=20, seed=1).x, draws["test", 1])
    assert [len(load("glyphs", split)) for split in ("train", "validation", "test")] == [5000, 1000, 1000]


def test_fewer_images_are_the_first_of_more():
    few, many = (
        load("glyphs", "train", n=7, color=True),
        load("glyphs", "train", n=2300, color=True),
    )  # many: two chunks
    assert torch.equal(few.x, many.x[:7])
    assert few.factors["font"] == many.factors["font"][:7]
    again = load("glyphs", "train", n=2001, color=True)
    assert torch.equal(again.x, many.x[:2001])
    x, y = many.sample(5, torch.Generator().manual_seed(0))  # seed 0 of the training split
    assert torch.equal(x, many.x[:5])
    assert torch.equal(y, many.y[:5])


def test_matplotlib_is_left_alone():
    code = (
        "import sys, matplotlib;"
        "settings = lambda: {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'};"
        "before = settings();"  # reading 'backend' would load pyplot
        "from garm_course.datasets import load; load('glyphs', 'test', n=1);"
        "assert settings() == before;"
        "print([m for m in ('matplotlib.pyplot', 'matplotlib.font_manager') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_missing_fonts_are_reported(monkeypatch, tmp_path):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    tabulate.cache_clear()
    outline.cache_clear()
    with pytest.raises(FileNotFoundError, match="pip install matplotlib"):
        Glyphs("test", fonts="cmtt10")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fonts": "Comic Sans"}, ["'Comic Sans'", "DejaVuSans", "cmtt10"]),
        ({"fonts": ("cmr10", "cmr10")}, ["different"]),
        ({"fonts": ()}, ["font"]),
        ({"size": 11}, ["12..26", "got 11"]),
        ({"size": (16, 18.5)}, ["integer", "18.5"]),
        ({"size": 26, "shift": 3}, ["leaves the image", "smaller"]),
        ({"slant": 0.6}, ["-0.5..0.5", "0.6"]),
        ({"slant": math.nan}, ["-0.5..0.5"]),
        ({"size": 12, "slant": tuple(i / 10 for i in range(5)), "shift": 8}, ["158,950", "100,000", "fewer"]),
        ({"shift": -1}, ["0..8", "got -1"]),
        ({"flip": 0.5}, ["[0, 0.5)", "0.5"]),
        ({"flip": -0.1}, ["[0, 0.5)"]),
        ({"flip": math.nan}, ["[0, 0.5)"]),
        ({"flip": "1 %"}, ["[0, 0.5)"]),
        ({"color": "pink"}, ["'pink'", "red, orange, yellow, green, blue, purple"]),
        ({"n": 0}, ["1..1000000", "got 0"]),
        ({"n": 2.0}, ["integer"]),
        ({"n": True}, ["integer"]),
        ({"seed": -1}, ["seed", "got -1"]),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load("glyphs", "test", **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "x", [torch.zeros(1, 1, 28, 28), torch.full((1, 1, 28, 28), 2), torch.zeros(1, 1, 28, 27).long()]
)
def test_bad_images_are_refused(x):
    data = load("glyphs", "test", n=1)
    for method in (data.log_prob, data.nearest_prototype):
        with pytest.raises(ValueError, match="expected"):
            method(x)
