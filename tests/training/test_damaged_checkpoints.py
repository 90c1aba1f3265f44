"""A checkpoint that is not what a run has written is refused in one line that names it and what to do."""

import json
import random
import re

import pytest
import torch

from garm_course import datasets
from garm_course.autoregressive.nade import NADE
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.likelihood import fit
from garm_course.weights.sealed import read_tensors, sealed

BARS = datasets.load("bars_and_stripes")
SETTINGS = {"steps": 4, "batch_size": 8, "evaluate_every": 2}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def run(folder, resume=True):
    torch.manual_seed(0)
    model = NADE(BARS.shape, BARS.levels, hidden=4)
    fit(model, BARS, validation=BARS, checkpoints=Checkpoints(folder), resume=resume, **SETTINGS)
    return model


@pytest.fixture
def found(tmp_path):
    """The checkpoints of a run, the older one first."""
    run(tmp_path, resume=False)
    return Checkpoints(tmp_path).found()


def refused(path, before):
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        run(path.parent)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"delete it, and the run goes on from {before.name}")
    return str(caught.value)


def test_one_flipped_bit_anywhere_is_refused(found):
    before, path = found
    raw, rng = path.read_bytes(), random.Random(0)
    header = 8 + int.from_bytes(raw[:8], "little")
    for place in [*rng.sample(range(8, header), 30), *rng.sample(range(len(raw)), 60)]:
        data = bytearray(raw)
        data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(data))
        refused(path, before)
    path.write_bytes(raw)
    run(path.parent)


def test_without_the_damaged_one_the_run_goes_on_from_the_one_before(found):
    before, path = found
    whole = run(path.parent)
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, before)
    path.unlink()
    again = run(path.parent)
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in whole.state_dict().items())


def in_record(part, name, value):
    """Replace a value of a part in the record; None removes it."""

    def change(tensors, metadata):
        record = json.loads(metadata["record"])
        record[part][name] = value
        if value is None:
            del record[part][name]
        metadata["record"] = json.dumps(record)

    return change


def without_part(part):
    def change(tensors, metadata):
        record = json.loads(metadata["record"])
        del record[part]
        metadata["record"] = json.dumps(record)
        for name in [name for name in tensors if name.startswith(f"{part}.")]:
            del tensors[name]

    return change


def record_is(text):
    return lambda tensors, metadata: metadata.update(record=text)


def step_is(step):
    return lambda tensors, metadata: metadata.update(
        record=json.dumps({**json.loads(metadata["record"]), "step": step})
    )


def without_entry(name):
    return lambda tensors, metadata: metadata.pop(name)


def without_tensor(name):
    return lambda tensors, metadata: tensors.pop(name)


def tensor_is(name, tensor):
    return lambda tensors, metadata: tensors.update({name: tensor})


CHANGES = {
    "no settings": without_entry("settings"),
    "no record": without_entry("record"),
    "a foreign entry": lambda tensors, metadata: metadata.update(more="{}"),
    "a record that is null": record_is("null"),
    "a record that is a list": record_is("[]"),
    "a record that nests": record_is("[" * 100_000),
    "a record with a key twice": record_is('{"step": 4, "step": 4}'),
    "a part that is a list": record_is('{"step": 4, "model": []}'),
    "a step below 0": step_is(-5),
    "another step": step_is(10**9),
    "a step that is a text": step_is("4"),
    "a history of many steps": in_record("history", "steps", 10**9),
    "a history of negative steps": in_record("history", "steps", -5),
    "a history without steps": in_record("history", "steps", None),
    "a history with a foreign field": in_record("history", "kept", "x"),
    "a history with a text for a list": in_record("history", "train", "x"),
    "no history": without_part("history"),
    "no random states": without_part("random"),
    "no optimizer": without_part("optimizer_all"),
    "no groups": in_record("optimizer_all", "groups", None),
    "no weight": without_tensor("model.V"),
    "no averaged weight": without_tensor("average.V"),
    "no moments of a weight": without_tensor("optimizer_all.0.exp_avg"),
    "no state of torch": without_tensor("random.0.torch"),
    "no order": without_tensor("batches.order"),
    "no best weight": without_tensor("best.V"),
    "an averaged number": tensor_is("average.V", torch.zeros(())),
    "a short state of numpy": tensor_is("random.0.numpy", torch.zeros(1, dtype=torch.int64)),
    "too many batches taken": tensor_is("batches.taken", torch.tensor(10**6)),
    "a tensor of no part": tensor_is("more.x", torch.zeros(1)),
    "a tensor without a part": tensor_is("more", torch.zeros(1)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_no_run_has_written_is_refused_though_its_checksum_fits(found, change):
    before, path = found
    tensors, metadata = read_tensors(path, "")
    change(tensors, metadata)
    path.write_bytes(sealed(tensors, metadata))
    refused(path, before)


def test_a_checkpoint_without_its_checksum_is_refused(found):
    from safetensors.torch import save

    before, path = found
    tensors, metadata = read_tensors(path, "")
    del metadata["sha256"]
    path.write_bytes(save(tensors, metadata))
    assert "lacks 'sha256'" in refused(path, before)
