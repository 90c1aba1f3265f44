"""A file that changed is refused in one line, and one that lies about its size costs no memory."""

import json
import random
import re
import resource
import struct
import sys

import pytest
import torch
from safetensors.torch import load, save

from garm_course.autoregressive.made import MADE
from garm_course.weights import FOLDER, load_pretrained, pretrained_names
from garm_course.weights.files import build_model, load_model, save_model
from garm_course.weights.sealed import read_tensors, sealed


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def written(request, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    save_model(MADE((1, 3, 3), 3, hidden=(20,)), path, {"seed": 3}, packed=request.param)
    return path


def refused(path):
    """The line with which a file is refused."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
    assert re.search(r"; (train|copy|update|use|choose)", str(caught.value)), str(caught.value)
    return str(caught.value)


def parts_of(path):
    """The tensors and the header's entries of a file."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    return load(raw), json.loads(raw[8 : 8 + size])["__metadata__"]


def resealed(path, tensors=None, **changes):
    """Write a file again as somebody would who knows how the checksum is made; None removes an entry."""
    old, metadata = parts_of(path)
    metadata = {**metadata, **changes}
    path.write_bytes(sealed(tensors or old, {k: v for k, v in metadata.items() if v is not None}))


def test_one_flipped_bit_anywhere_is_refused(written):
    raw, rng = written.read_bytes(), random.Random(0)
    header = 8 + int.from_bytes(raw[:8], "little")
    places = [*range(8, header, 7), *rng.sample(range(len(raw)), 300)]
    for place in places:
        data = bytearray(raw)
        data[place] ^= 1 << rng.randrange(8)
        written.write_bytes(bytes(data))
        refused(written)
    written.write_bytes(raw)
    load_model(written)


def test_the_checksum_is_that_of_the_whole_file(written):
    tensors, metadata = parts_of(written)
    assert re.fullmatch("[0-9a-f]{64}", metadata["sha256"])
    first, *_ = tensors
    written.write_bytes(save({**tensors, first: tensors[first] + 1}, metadata))
    assert "is not as it was written" in refused(written)


def test_a_file_of_version_0_1_has_no_checksum_and_is_read(written):
    tensors, metadata = parts_of(written)
    metadata.pop("sha256")
    written.write_bytes(save(tensors, metadata))
    assert load_model(written).record == {"seed": 3}


@pytest.mark.parametrize("name", pretrained_names())
def test_what_is_shipped_has_its_checksum(name):
    _, metadata = read_tensors(FOLDER / f"{name}.safetensors", "copy it again")
    assert "sha256" in metadata


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": None}, "no 'config'"),
        ({"record": None}, "no 'record'"),
        ({"model": None}, "unknown model None"),
        ({"more": "1"}, "'more' in its header, which does not belong there"),
        ({"record": "null"}, "the 'record' in its header is a NoneType"),
        ({"record": "1"}, "the 'record' in its header is a int"),
        ({"record": '"x"'}, "the 'record' in its header is a str"),
        ({"record": '{"a": 1, "a": 2}'}, "'a' twice"),
        ({"record": "[" * 100_000}, "nests too deeply"),
        ({"config": "[" * 100_000}, "nests too deeply"),
        ({"config": '{"a":' * 100_000}, "nests too deeply"),
        ({"config": "[]"}, "the 'config' in its header is a list"),
        ({"config": '{"shape": [1, 3, 3]}'}, "levels"),
    ],
)
def test_a_header_that_is_wrong_is_refused_though_its_checksum_fits(written, changes, words):
    resealed(written, **changes)
    assert words in refused(written)


def without_one(tensors):
    return dict(list(tensors.items())[1:])


def with_one_more(tensors):
    return {**tensors, "out.more": torch.zeros(2)}


def of_another_shape(tensors):
    return {**tensors, "out.bias": tensors["out.bias"][:-1].clone()}


def called_whole(tensors):
    return {**tensors, "out.bias": tensors["out.bias"].view(torch.int32)}


def with_a_foreign_part(tensors):
    return {**tensors, "out.weight/more": torch.zeros(2)}


@pytest.mark.parametrize("change", [without_one, with_one_more, of_another_shape, called_whole, with_a_foreign_part])
def test_tensors_that_do_not_fit_are_refused_though_their_checksum_fits(written, change):
    tensors, _ = parts_of(written)
    resealed(written, change(tensors))
    said = refused(written)
    if change is of_another_shape:
        assert "size mismatch for out.bias" in said


def test_a_tensor_that_is_there_twice_is_refused(written):
    raw = written.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + size]
    (one,) = re.findall(rb'"out.bias":\{[^}]*\}', header)
    doubled = header.replace(one, one + b"," + one)
    written.write_bytes(struct.pack("<Q", len(doubled)) + doubled + raw[8 + size :])
    refused(written)


def most_memory():
    """The most bytes that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


HOSTILE = [
    ("nade-bars_and_stripes", {"levels": 10**9}),
    ("nade-bars_and_stripes", {"shape": [1, 10**5, 10**5]}),
    ("nade-bars_and_stripes", {"shape": [10**9, 1, 1]}),
    ("nade-bars_and_stripes", {"n_classes": 10**9}),
    ("nade-bars_and_stripes", {"n_classes": -(10**30)}),
    ("nade-bars_and_stripes", {"hidden": 10**10}),
    ("nade-bars_and_stripes", {"hidden": 1e10}),
    ("nade-bars_and_stripes", {"hidden": "many"}),
    ("nade-bars_and_stripes", {"order": [0] * 16}),
    ("made-bars_and_stripes", {"hidden": [10**5, 10**5]}),
    ("made-bars_and_stripes", {"hidden": [30_000, 30_000]}),
    ("made-bars_and_stripes", {"hidden": [1] * 100_000}),
    ("made-bars_and_stripes", {"parts": {"out": ["made", {"parts": {}}]}}),
    ("gated_pixelcnn-bars_and_stripes", {"layers": 10**7}),
    ("gated_pixelcnn-bars_and_stripes", {"channels": 10**6}),
    ("gated_pixelcnn-bars_and_stripes", {"first_kernel": 10**9 + 1}),
    ("diagonal_bilstm-glyphs", {"layers": 10**7}),
    ("pixel_gru-digits", {"layers": 10**7}),
    ("photo_pixelcnnpp-patches", {"levels": 10**9}),
    ("photo_pixelcnnpp-patches", {"blocks": 10**7}),
    ("photo_pixelcnnpp-patches", {"mixtures": 10**9}),
    ("vae-digits", {"hidden": [10**5] * 3}),
    ("vae-digits", {"latents": 10**9}),
    ("cyclegan-digits", {"blocks": 10**7}),
    ("cyclegan-digits", {"width": 10**6}),
    ("conditional_dcgan-glyphs", {"channels": 10**6}),
    ("gan-digits", {"critic_hidden": [10**6, 10**6]}),
    ("classifier-digits", {"channels": 10**6}),
]


@pytest.mark.parametrize(("name", "change"), HOSTILE, ids=[f"{name} {str(c)[:40]}" for name, c in HOSTILE])
def test_a_hostile_configuration_costs_no_memory(tmp_path, name, change):
    path = tmp_path / "model.safetensors"
    path.write_bytes((FOLDER / f"{name}.safetensors").read_bytes())
    _, metadata = parts_of(path)
    resealed(path, config=json.dumps({**json.loads(metadata["config"]), **change}))
    load_pretrained(name)  # what is imported for it does not count
    before = most_memory()
    refused(path)
    assert most_memory() - before < 100e6
    assert torch.is_grad_enabled(), "as before, also where building stopped inside of no_grad"


def test_a_packed_shape_of_a_stranger_costs_no_memory(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((FOLDER / "made-digits.safetensors").read_bytes())
    tensors, _ = parts_of(path)
    name = next(key for key in tensors if key.endswith("/shape"))
    assert f"{name.removesuffix('shape')}there" in tensors
    for shape in ([10**5, 10**5], [2**31, 2**31], [-1, -1], [0, 0]):
        resealed(path, {**tensors, name: torch.tensor(shape)})
        before = most_memory()
        refused(path)
        assert most_memory() - before < 100e6


@pytest.mark.parametrize("name", pretrained_names())
def test_every_model_can_be_made_without_numbers(name):
    _, metadata = read_tensors(FOLDER / f"{name}.safetensors", "copy it again")
    config = json.loads(metadata["config"])
    with torch.device("meta"):
        model = build_model(metadata["model"], config)
    real = build_model(metadata["model"], config)
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert {k: (v.shape, v.dtype) for k, v in model.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in real.state_dict().items()
    }
