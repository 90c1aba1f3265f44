"""Models on disk: what comes back is what was saved, and what cannot be read or written is told in one line."""

import errno
import json
import os
import zipfile

import pytest
import torch
from safetensors.torch import save

from garm_course import load_pretrained
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.datasets import source_of
from garm_course.models import CLASSES, model_class
from garm_course.recipes.catalog import RECIPES
from garm_course.recipes.kinds import kind_of
from garm_course.weights import FOLDER, pretrained_names
from garm_course.weights import files as checkpoints
from garm_course.weights.files import load_model, save_model, write_atomically
from garm_course.weights.sealed import sealed


def build(cls=GatedPixelCNN, n_classes=2, **options):
    torch.manual_seed(0)
    return cls((1, 3, 4), 3, n_classes, **{"channels": 4, "layers": 1, "first_kernel": 5, **options})


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(build(), path, {"seed": 3, "name": "größe"})
    return path


def edit_header(path, seal=True, **changes):
    """Write the file again with other metadata, with a checksum that fits or with the old one; None removes a key."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    write = sealed if seal else save
    path.write_bytes(write(tensors, {k: v for k, v in metadata.items() if v is not None}))


def refused(path, error, message, **options):
    with pytest.raises(error, match=message) as caught:
        load_model(path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("n_classes", [0, 2])
def test_a_model_comes_back_as_it_was(tmp_path, cls, dtype, n_classes):
    model = build(cls, n_classes, dropout=0.2, encoding="one_hot").to(dtype)
    record = {"nats": 1.5, "history": [[1, 2.0]], "text": "ä\n"}
    save_model(model, tmp_path / "m.safetensors", record)
    back = load_model(tmp_path / "m.safetensors")
    assert type(back) is cls
    assert (back.config, back.record, back.training) == (model.config, record, False)
    assert {p.dtype for p in back.parameters()} == {dtype}
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items())
    x, y = torch.randint(3, (4, 1, 3, 4)), (torch.arange(4) % 2 if n_classes else None)
    assert torch.equal(back.log_prob(x, y), model.eval().log_prob(x, y))


def test_nothing_is_pickled(saved):
    data = saved.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])  # readable without torch
    assert header["__metadata__"]["format"] == "garm-course 1"
    assert json.loads(header["__metadata__"]["config"]) == build().config


def test_loading_draws_nothing_from_the_callers_generator(saved):
    # a lesson that loads a model before it trains one must not change what it trains
    state = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 1000, -1])
def test_a_truncated_file_is_told(saved, keep):
    data = saved.read_bytes()
    saved.write_bytes(data[:keep])
    refused(saved, ValueError, "truncated or no safetensors file.*train or copy it again")


def test_files_of_something_else_are_told(saved, tmp_path):
    refused(tmp_path / "none.safetensors", FileNotFoundError, "no model file .*none.safetensors; train one")
    refused(tmp_path, FileNotFoundError, "no model file")
    other = tmp_path / "other.safetensors"
    other.write_bytes(save({"w": torch.zeros(2)}))
    refused(other, ValueError, "was not written by this course")
    other.write_text("{}")
    refused(other, ValueError, "truncated or no safetensors file")
    with zipfile.ZipFile(other, "w") as archive:  # what the zip format of PyTorch looks like from outside
        archive.writestr("archive/data.bin", b"\x80\x02}")
    refused(other, ValueError, "truncated or no safetensors file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "garm-course 99"}, "was not written by this course"),
        (
            {"model": "diffusion"},
            "unknown model 'diffusion'; known: fvsbn, made, nade, .*gated_pixelcnn, .*, vae, vqvae, two_stage",
        ),
        ({"model": None}, "unknown model None"),
        ({"model": "pixelcnn"}, "configuration in .* does not fit a pixelcnn"),
        ({"config": "{"}, "configuration in .* does not fit a gated_pixelcnn"),
        ({"config": None}, "configuration in .* does not fit"),
        ({"config": '{"shape": [1, 3, 4], "levels": 3, "colour": 1}'}, "configuration in .*colour"),
        ({"config": '{"shape": [1, 3, 4], "levels": 1}'}, "configuration in .* at least 2"),
        ({"record": "["}, "configuration in .* does not fit"),
    ],
)
def test_damaged_headers_are_told(saved, changes, message):
    edit_header(saved, **changes)
    refused(saved, ValueError, message)


def test_weights_of_another_configuration_are_told(saved):
    wider = json.dumps(build(channels=8).config)
    edit_header(saved, config=wider)
    refused(saved, ValueError, "weights in .* do not fit its configuration .*size mismatch.*train it again")


def test_another_model_than_expected_is_told(saved):
    assert load_model(saved, expected="gated_pixelcnn").name == "gated_pixelcnn"
    refused(saved, ValueError, "holds a gated_pixelcnn, expected a pixelcnn", expected="pixelcnn")


def test_only_models_of_the_library_are_saved(tmp_path):
    class Mine(GatedPixelCNN):
        pass

    for model in (torch.nn.Linear(2, 2), Mine((1, 3, 4), 3, channels=4, layers=1)):
        with pytest.raises(ValueError, match=r"cannot save a (Linear|Mine); known models: fvsbn, .*, gated_pixelcnn"):
            save_model(model, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("where", ["mkstemp", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(saved, monkeypatch, code, where):
    before = saved.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(checkpoints.tempfile if where == "mkstemp" else checkpoints.os, where, fail)
    with pytest.raises(OSError, match=r"cannot write .*model.safetensors \(.*\); free some space") as caught:
        save_model(build(PixelCNN), saved)
    assert caught.value.errno == code
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name], "a temporary file was left"


def test_an_interrupt_while_writing_leaves_what_was_there(saved, monkeypatch):
    before = saved.read_bytes()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(build(PixelCNN), saved)
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1


def test_folders_that_cannot_be_written_are_told(tmp_path):
    (tmp_path / "file").write_text("a regular file")
    for path in (tmp_path / "none" / "m.safetensors", tmp_path / "file" / "m.safetensors"):
        with pytest.raises(OSError, match=r"cannot write .*m.safetensors \((No such file|Not a dir).*choose another"):
            write_atomically(path, b"1")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    with path.open("rb") as reader:  # whoever reads meanwhile reads the old one to its end
        write_atomically(path, b"new and longer")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", pretrained_names())
def test_a_pretrained_model_reaches_its_recorded_figures(name):
    from garm_course import datasets

    model = load_pretrained(name)
    record = model.record
    assert name == f"{record['model']}-{record['data']}"
    assert not model.training
    data = datasets.load(record["data"], "validation", **record["data_options"]["validation"])
    kind = kind_of(record)
    found = kind.headline(kind.measure(model, data, "validation")).value
    tensors, _ = checkpoints.read_tensors(FOLDER / f"{name}.safetensors", "")
    single = not any(tensor.dtype in (torch.float16, torch.int8) for tensor in tensors.values())
    off = abs(found - kind.headline(record["validation"]).value)
    # half precision or eight bits: .02, or a thousandth where the figure is large (192 colors of 256 levels).
    # Samples and reconstructions are rounded to levels, so that some pixels jump: a hundredth of their distance; and
    # some codes of images are others.
    relative = {"samples": 1e-2, "reconstruction": 3e-2}.get(record.get("kind"), 1e-3)
    assert off < (1e-3 if single else max(0.02, relative * found))
    assert record["budget"] != "smoke"
    assert record["command"].startswith("garm train ")


def test_what_is_shipped_is_recorded_and_small():
    assert set(pretrained_names()) <= {name for name, recipe in RECIPES.items() if source_of(recipe.data) is None}
    sizes = [(FOLDER / f"{name}.safetensors").stat().st_size for name in pretrained_names()]
    assert max(sizes) <= 1_000_000
    assert sum(sizes) <= 16_000_000


def test_a_model_that_is_recorded_but_not_shipped_is_answered_with_the_command_that_trains_it():
    with pytest.raises(ValueError, match="'fvsbn-glyphs' is not shipped; train it: garm train fvsbn --data glyphs"):
        load_pretrained("fvsbn-glyphs")


def test_an_unknown_pretrained_model_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no pretrained model 'dalle'") as caught:
        load_pretrained("dalle")
    assert all(name in str(caught.value) for name in pretrained_names())


def test_every_model_has_its_name():
    assert all(model_class(name).name == name for name in CLASSES)


@pytest.mark.parametrize("name", pretrained_names())
def test_constants_of_a_pretrained_model_are_not_rounded_with_its_weights(name):
    model = load_pretrained(name)
    fresh = dict(checkpoints.build_model(model.name, model.config).named_buffers())
    for key, buffer in model.named_buffers():
        if key not in model.state_dict():
            assert torch.equal(buffer, fresh[key]), key
