"""Weights in eight bits: how far they are rounded, what stays exact, and what a mask saves."""

import pytest
import torch

from garm_course.autoregressive.made import FVSBN, MADE
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.weights.files import load_model, save_model
from garm_course.weights.packing import LEVELS, drop_masked, pack, unpack
from garm_course.weights.sealed import sealed


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(3, 7), (5, 2, 3, 3), (1, 1), (4, 0)])
def test_weights_come_back_within_half_a_scale(shape, rng):
    weights = torch.randn(shape, generator=rng) * torch.logspace(-6, 6, shape[0]).view(-1, *[1] * (len(shape) - 1))
    back = unpack(pack({"w": weights}))["w"]
    assert back.shape == weights.shape
    assert back.dtype == torch.float32
    if weights.numel():
        scales = weights.flatten(1).abs().amax(1) / LEVELS
        assert ((back - weights).flatten(1).abs() <= scales[:, None] * 0.5001).all()
        largest = weights.flatten(1).abs().argmax(1, keepdim=True)  # it defines the scale
        torch.testing.assert_close(back.flatten(1).gather(1, largest), weights.flatten(1).gather(1, largest))


def test_packing_twice_rounds_once(rng):
    once = unpack(pack({"w": torch.randn(6, 20, generator=rng)}))
    twice = unpack(pack(once))
    torch.testing.assert_close(once["w"], twice["w"], rtol=1e-6, atol=0)


def test_vectors_and_whole_numbers_stay_as_they_are(rng):
    tensors = {"bias": torch.randn(5, generator=rng), "count": torch.arange(6).view(2, 3), "one": torch.tensor(0.1)}
    back = unpack(pack(tensors))
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in tensors.items())


def test_zeros_come_back_as_zeros_and_cost_one_bit(rng):
    weights = torch.randn(64, 64, generator=rng).tril()
    parts = pack({"w": weights})
    back = unpack(parts)["w"]
    assert torch.equal(back.triu(1), torch.zeros(64, 64))
    size = sum(part.numel() * part.element_size() for part in parts.values())
    assert size <= 64 * 64 / 8 + 64 * 65 / 2 + 64 * 4 + 16
    assert torch.equal(unpack(pack({"w": torch.zeros(3, 4)}))["w"], torch.zeros(3, 4))


def test_weights_without_zeros_cost_one_byte(rng):
    parts = pack({"w": torch.randn(64, 64, generator=rng)})
    assert sum(part.numel() * part.element_size() for part in parts.values()) <= 64 * 64 + 64 * 4 + 16


def test_what_cannot_be_packed_or_unpacked_is_told(rng):
    with pytest.raises(ValueError, match="w has weights that are not finite"):
        pack({"w": torch.tensor([[1.0, float("nan")]])})
    parts = pack({"w": torch.randn(20, 20, generator=rng).tril()})
    without = {k: v for k, v in parts.items() if k != "w/there"}
    short = {**parts, "w/numbers": parts["w/numbers"][:-1]}
    for damaged in (without, short, {**parts, "w/there": parts["w/there"][:3]}, {**parts, "w/scales": torch.ones(5)}):
        with pytest.raises(ValueError, match="the packed weights w are damaged"):
            unpack(damaged)


@pytest.mark.parametrize("make", [FVSBN, MADE, GatedPixelCNN])
def test_a_packed_model_is_loaded_like_any_other(make, tmp_path, rng):
    torch.manual_seed(0)
    model = make((1, 4, 4), 3).eval()
    x = torch.randint(0, 3, (8, 1, 4, 4), generator=rng)
    exact = model.log_prob(x)
    drop_masked(model)
    torch.testing.assert_close(model.log_prob(x), exact)  # what a mask removes did nothing
    sizes = []
    for packed in (False, True):
        save_model(model, tmp_path / "m.safetensors", {"seed": 1}, packed=packed)
        sizes.append((tmp_path / "m.safetensors").stat().st_size)
        back = load_model(tmp_path / "m.safetensors")
        assert back.record == {"seed": 1}
        assert not back.training
        torch.testing.assert_close(back.log_prob(x), exact, atol=0.2 if packed else 1e-5, rtol=0)
    assert sizes[1] < 0.7 * sizes[0]


def test_a_damaged_packed_file_is_told(tmp_path):
    from safetensors.torch import safe_open

    path = tmp_path / "m.safetensors"
    save_model(FVSBN((1, 4, 4), 3), path, packed=True)
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys() if not key.endswith("scales")}  # noqa: SIM118
        metadata = file.metadata()
    path.write_bytes(sealed(tensors, metadata))
    with pytest.raises(ValueError, match=r"m.safetensors: the packed weights .* are damaged .*copy it again"):
        load_model(path)
