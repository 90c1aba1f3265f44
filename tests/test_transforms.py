"""Transforms: what they promise of values, ranges, inverses and errors, and the figures of the lessons."""

import math

import pytest
import torch

from garm_course.transforms import (
    coordinates,
    dequantize,
    mu_law_decode,
    mu_law_encode,
    one_hot,
    place,
    scale,
    thermometer,
    to_raster,
    to_uint8,
    unscale,
)

LEVELS = [2, 3, 16, 17, 255, 256]


@pytest.mark.parametrize("levels", LEVELS)
def test_encodings_hold_the_level_and_nothing_else(levels):
    x = torch.randint(levels, (3, 2, 4, 5), generator=torch.Generator().manual_seed(0))
    assert one_hot(x, levels).shape == (*x.shape, levels)
    assert torch.equal(one_hot(x, levels).argmax(-1), x)
    assert torch.equal(one_hot(x, levels).sum(-1), torch.ones(x.shape))
    columns = thermometer(x, levels)
    assert columns.shape == (*x.shape, levels - 1)
    assert torch.equal(columns.sum(-1).long(), x)
    assert (columns.diff(dim=-1) <= 0).all()  # mercury has no gaps


def test_near_levels_share_features_on_a_thermometer_only():
    x = torch.arange(17)
    distance = (x[:, None] - x).abs()
    assert torch.equal(torch.cdist(thermometer(x, 17), thermometer(x, 17), p=1).long(), distance)
    assert torch.equal(torch.cdist(one_hot(x, 17), one_hot(x, 17), p=1).long(), 2 * (distance > 0))


@pytest.mark.parametrize("levels", LEVELS)
def test_scaling_there_and_back(levels):
    x = torch.arange(levels)
    z = scale(x, levels)
    assert z.dtype == torch.float32
    assert (z.min().item(), z.max().item()) == (-1, 1)
    assert torch.allclose(z, -z.flip(0), atol=1e-6)
    assert torch.equal(unscale(z, levels), x)
    within = 0.49 * 2 / (levels - 1)  # any number in the middle of a bin
    assert torch.equal(unscale(z + within, levels), x)
    assert torch.equal(unscale(z - within, levels), x)


def test_bytes_are_clipped_and_rounded_and_never_wrap():
    x = torch.tensor([-math.inf, -1.5, -1.0, -0.999, 0.1, 0.999, 1.0, 1.01, 7.0, math.inf])
    assert to_uint8(x).tolist() == [0, 0, 0, 0, 140, 255, 255, 255, 255, 255]
    assert to_uint8(x).dtype == torch.uint8
    assert torch.equal(to_uint8(scale(torch.arange(256), 256)).long(), torch.arange(256))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dequantizing_stays_in_the_bin(levels, dtype):
    x = torch.arange(levels).repeat(4)
    u = torch.tensor([0.0, 0.5, 0.999, 1 - torch.finfo(dtype).eps / 2], dtype=dtype).repeat_interleave(levels)
    z = dequantize(x, u, levels)
    assert z.dtype == dtype
    assert torch.equal((levels * z).floor().long(), x)
    assert (z >= 0).all()
    assert (z < 1).all()


def test_dequantizing_is_uniform_in_the_bin():
    n = 20_000
    u = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = dequantize(torch.full((n,), 2), u, 4)
    assert abs(z.mean().item() - 0.625) < 4 * 0.25 / math.sqrt(12 * n)
    assert z.std().item() == pytest.approx(0.25 / math.sqrt(12), rel=4 / math.sqrt(2 * n))


def test_mu_law_has_the_values_of_its_formula():
    x = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    for value, level in zip(x.tolist(), mu_law_encode(x).tolist(), strict=True):
        f = math.copysign(math.log1p(255 * abs(value)) / math.log(256), value)
        assert abs(level - (f + 1) * 127.5) <= 0.5 + 1e-9
    assert mu_law_encode(torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("mu", [1, 15, 255, 65535])
def test_decoding_and_encoding_again_gives_the_level_back(mu):
    q = torch.arange(mu + 1)
    x = mu_law_decode(q, mu)
    assert (x.diff() > 0).all()
    assert (x[0].item(), x[-1].item()) == (-1, 1)
    assert torch.equal(mu_law_encode(x.double(), mu), q)
    assert torch.allclose(x, -x.flip(0), atol=1e-7)


def test_mu_law_is_off_by_what_is_documented():
    x = torch.linspace(-1, 1, 1_000_001, dtype=torch.float64)
    error = (mu_law_decode(mu_law_encode(x)) - x).abs()
    assert error.max().item() == pytest.approx(0.0216, abs=0.0001)
    assert error[x.abs() < 0.01].max().item() == pytest.approx(0.000303, abs=2e-6)


def test_a_quiet_sine_survives_mu_law_but_not_eight_linear_bits():
    x = 0.01 * torch.sin(2 * math.pi * 440 / 8000 * torch.arange(8000, dtype=torch.float64))

    def signal_to_noise(y):
        return 10 * math.log10(x.square().mean() / (x - y).square().mean())

    assert signal_to_noise(mu_law_decode(mu_law_encode(x)).double()) == pytest.approx(33.7, abs=0.3)
    assert signal_to_noise(scale(unscale(x, 256), 256).double()) == pytest.approx(9.3, abs=0.3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: one_hot(torch.tensor([0.0]), 2), ["LongTensor", "torch.float32", "x.long()"]),
        (lambda: one_hot([0], 2), ["LongTensor", "list"]),
        (lambda: one_hot(torch.tensor([2]), 2), ["0..1", "2..2"]),
        (lambda: thermometer(torch.tensor([-1, 0]), 17), ["0..16", "-1..0"]),
        (lambda: thermometer(torch.tensor([0]), 1), ["at least 2", "got 1"]),
        (lambda: scale(torch.tensor([0]), 2.0), ["integer", "2.0"]),
        (lambda: scale(torch.tensor([255]), 17), ["0..16", "255"]),
        (lambda: unscale(torch.tensor([0]), 17), ["floating-point", "torch.int64"]),
        (lambda: to_uint8(torch.tensor([math.nan])), ["NaN"]),
        (lambda: dequantize(torch.tensor([0]), torch.tensor([1.0]), 2), ["[0, 1)", "1..1", "torch.rand"]),
        (lambda: dequantize(torch.tensor([0]), torch.tensor([-0.1]), 2), ["[0, 1)"]),
        (lambda: dequantize(torch.tensor([0, 1]), torch.tensor([0.5]), 2), ["(2,)", "(1,)"]),
        (lambda: mu_law_encode(torch.tensor([1200], dtype=torch.int16)), ["[-1, 1]", "torch.int16", "32768"]),
        (lambda: mu_law_encode([0.5]), ["floating-point", "list"]),
        (lambda: mu_law_encode(torch.tensor([math.nan])), ["NaN"]),
        (lambda: mu_law_encode(torch.tensor([0.0]), 0), ["at least 1", "got 0"]),
        (lambda: mu_law_decode(torch.tensor([256])), ["0..255", "256..256", "reduce"]),
        (lambda: mu_law_decode(torch.tensor([0.5])), ["LongTensor"]),
    ],
)
def test_bad_input_is_refused_in_one_line(call, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_nothing_becomes_nothing():
    x = torch.empty(0, 3, dtype=torch.long)
    assert one_hot(x, 4).shape == (0, 3, 4)
    assert thermometer(x, 4).shape == (0, 3, 3)
    assert dequantize(x, torch.empty(0, 3), 4).shape == (0, 3)


def test_every_raster_position_has_its_own_place_and_words():
    for shape in ((5,), (2, 3), (3, 2, 4), (1, 2, 3), (2, 3, 4, 2)):
        raster = to_raster(torch.arange(math.prod(shape)).view(1, *shape), len(shape))[0]
        for i, number in enumerate(raster.tolist()):
            at = coordinates(i, shape)
            names = ["position"] if len(shape) == 1 else ["channel", "frame", "row", "column"]
            index = [at[name] for name in names if name in at]
            assert torch.arange(math.prod(shape)).view(shape)[tuple(index)] == number
    assert place(5, (3, 2, 4)) == "row 0, column 1, channel 2"
    assert place(5, (1, 2, 4)) == "row 1, column 1"
    assert place(2, (5,)) == "position 2"
