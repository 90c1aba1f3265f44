"""Compression: bit for bit, within two bits of the information, and an error in place of every wrong image."""

import math

import pytest
import torch
from small_models import MODELS, small_model

from garm_course.autoregressive.sampling import compression
from garm_course.autoregressive.sampling.arithmetic_coding import Decoder, Encoder, cumulative_counts
from garm_course.autoregressive.sampling.compression import compress, decompress

CASES = [((1, 4, 3), 5, 0), ((1, 3, 4), 2, 3), ((3, 2, 3), 4, 2)]


def model_and_images(cls=MODELS[-1], shape=(1, 4, 3), levels=5, n_classes=0, n=9):
    model = small_model(cls, shape, levels, n_classes, dtype=torch.float32)
    x = torch.randint(levels, (n, *shape), generator=torch.Generator().manual_seed(0))
    return model, x, torch.arange(n) % n_classes if n_classes else None


@pytest.mark.parametrize(("shape", "levels", "n_classes"), CASES)
@pytest.mark.parametrize("cls", MODELS)
def test_images_come_back_bit_for_bit_at_most_two_bits_above_their_information(cls, shape, levels, n_classes):
    model, x, y = model_and_images(cls, shape, levels, n_classes)
    stream = compress(model, x, y)
    assert torch.equal(decompress(model, stream.data, y), x)
    with torch.no_grad():
        ideal = -model.log_prob(x, y).double() / math.log(2)
    excess = torch.tensor(stream.bits) - ideal  # far below 0 where a pixel is less probable than 2^-32
    assert (excess < 2).all()


def test_samples_cost_what_the_model_says_and_one_image_works_alone():
    model, _, _ = model_and_images()
    x = model.sample(1, rng=torch.Generator().manual_seed(1))
    stream = compress(model, x)
    assert len(stream.bits) == 1
    assert torch.equal(decompress(model, stream.data), x)


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_any_choices_survive_the_coder(levels):
    rng = torch.Generator().manual_seed(levels)
    log_p = (12 * torch.randn(500, levels, generator=rng, dtype=torch.float64)).log_softmax(-1)  # many near 0 or 1
    value = torch.randint(levels, (500,), generator=rng)
    counts = cumulative_counts(log_p).tolist()
    encoder, information = Encoder(), 0.0
    for row, v in zip(counts, value.tolist(), strict=True):
        encoder.encode(row[v], row[v + 1])
        information += 32 - math.log2(row[v + 1] - row[v])
    code, length = encoder.finish()
    assert information - 1e-3 < length < information + 2
    decoder, found = Decoder(code, length), []
    for row in counts:
        target = decoder.target()
        v = next(k for k in range(levels) if row[k + 1] > target)
        decoder.consume(row[v], row[v + 1])
        found.append(v)
    assert found == value.tolist()


def test_a_message_does_not_depend_on_what_follows_it():
    encoder = Encoder()
    for start, end in [(0, 1 << 20), (1 << 31, 3 << 30), (5, 6)]:
        encoder.encode(start, end)
    code, length = encoder.finish()
    for tail in (0, 1, 0b1011, (1 << 40) - 1):  # whatever comes next in the stream
        decoder = Decoder(code << 40 | tail, length + 40)
        for start, end in [(0, 1 << 20), (1 << 31, 3 << 30), (5, 6)]:
            assert start <= decoder.target() < end
            decoder.consume(start, end)


def test_counts_leave_a_part_for_every_level_and_sum_to_two_to_the_thirty_second():
    log_p = torch.tensor([[0.0, -800.0, -30.0], [-1.1, -1.1, -1.1], [-math.inf, 0.0, -math.inf]])
    counts = cumulative_counts(log_p)
    assert (counts.diff() >= 1).all()
    assert counts[:, 0].tolist() == [0, 0, 0]
    assert counts[:, -1].tolist() == [2**32] * 3
    torch.testing.assert_close(counts[1].diff() / 2**32, torch.full((3,), 1 / 3))


def test_no_changed_bit_and_no_cut_gives_an_image():
    model, x, _ = model_and_images()
    data = compress(model, x).data
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"cut or altered|do not start as one"):
            decompress(model, bytes(damaged))
    for end in (0, 7, 8, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match=r"cut or altered|do not start as one"):
            decompress(model, data[:end])
    with pytest.raises(ValueError, match="cut or altered"):
        decompress(model, data + b"\0")


def test_a_stream_of_another_model_or_of_other_classes_is_refused():
    model, x, y = model_and_images(n_classes=3)
    data = compress(model, x, y).data
    with pytest.raises(ValueError, match="other classes y"):
        decompress(model, data, y.flip(0))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(ValueError, match="another model"):
        decompress(model, data, y)


def test_the_order_in_which_a_configuration_was_written_does_not_matter():
    model, x, _ = model_and_images()
    data = compress(model, x).data
    model.config = dict(reversed(model.config.items()))
    assert torch.equal(decompress(model, data), x)


def test_probabilities_that_differ_are_noticed(monkeypatch):
    model, x, _ = model_and_images()
    data = compress(model, x).data
    monkeypatch.setattr(compression, "cumulative_counts", lambda log_p: cumulative_counts(0.9 * log_p))
    with pytest.raises(ValueError, match="arithmetic rounds differently"):
        decompress(model, data)


def test_what_does_not_fit_the_model_is_refused():
    model, x, _ = model_and_images()
    with pytest.raises(TypeError, match="LongTensor"):
        compress(model, x.float())
    with pytest.raises(ValueError, match=r"levels 0..4"):
        compress(model, x + 3)
    with pytest.raises(ValueError, match=r"no classes|n_classes"):
        compress(model, x, torch.zeros(len(x), dtype=torch.long))
    with pytest.raises(ValueError, match="do not start as one"):
        decompress(model, b"PNG" * 40)
    with pytest.raises(ValueError, match=r"earlier format, GARM-AC1; decode it with version 0\.1 and encode"):
        decompress(model, b"GARM-AC1" + compress(model, x).data[8:])


def test_a_model_that_diverged_is_refused():
    model, x, _ = model_and_images()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = math.nan
    with pytest.raises(ValueError, match="its training diverged"):
        compress(model, x)
