"""Runs that are stopped, killed or run out of disk, and go on as if nothing had happened, bit for bit."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from launching import one_and_two

from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.latent.vqvae import ConvVQVAE, VQLoss
from garm_course.training.batches import Batches
from garm_course.training.checkpoints import Checkpoints, load_random_states, random_states
from garm_course.training.interrupts import deferred_interrupt
from garm_course.training.likelihood import fit, negative_log_likelihood
from garm_course.weights import files as files

BARS = datasets.load("bars_and_stripes")
SETTINGS = {"lr": 0.1, "steps": 12}
FAST = {"steps": 17, "batch_size": 8, "lr": 1e-2, "evaluate_every": 3, "patience": 6}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def build(seed=0, data=BARS, **options):
    torch.manual_seed(seed)
    return GatedPixelCNN(data.shape, data.levels, **{"channels": 8, "layers": 1, "dropout": 0.3, **options})


def rng(seed):
    return torch.Generator().manual_seed(seed)


def team(rank, count):
    """One of several processes on the CPU."""
    return SimpleNamespace(rank=rank, count=count, device=torch.device("cpu"))


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def figures(history):
    return (history.train, history.validation, history.steps, history.best_step, history.stopped)


class Killed(BaseException):
    """Not an Exception: nothing in the library may catch it."""


def stopping_at(call):
    """A loss that ends the run at its call-th call, and draws from every global generator."""
    calls = []

    def loss(model, x, y):
        calls.append(0)
        if len(calls) == call:
            raise Killed
        return negative_log_likelihood(model, x, y)

    return loss


def never():
    return stopping_at(0)


@pytest.mark.parametrize("every", [1, 3, 4, 20])
@pytest.mark.parametrize("stop", [1, 2, 4, 8, 13, 17])
def test_a_run_that_goes_on_ends_bit_for_bit_as_one_that_never_stopped(tmp_path, stop, every):
    whole = build()
    expected = fit(whole, BARS, validation=BARS, loss=never(), **FAST)
    where = Checkpoints(tmp_path, every)
    with pytest.raises(Killed):
        fit(build(), BARS, validation=BARS, loss=stopping_at(stop), checkpoints=where, **FAST)
    torch.rand(7)  # what happened in between must not matter
    model = build(seed=9 if where.found() else 0)  # its weights do not matter if there is a checkpoint
    history = fit(model, BARS, validation=BARS, loss=never(), checkpoints=where, resume=True, **FAST)
    assert equal(weights(model), weights(whole))
    assert figures(history) == figures(expected)
    assert history.cpu_seconds > 0


def test_a_run_may_be_stopped_again_and_again(tmp_path):
    whole = build()
    expected = fit(whole, BARS, validation=BARS, loss=never(), **FAST)
    where, stops = Checkpoints(tmp_path, 2), 0
    for _ in range(40):
        model = build()
        try:
            history = fit(model, BARS, validation=BARS, loss=stopping_at(4), checkpoints=where, resume=True, **FAST)
            break
        except Killed:
            stops += 1
    assert stops >= 5
    assert equal(weights(model), weights(whole))
    assert figures(history) == figures(expected)


def test_a_run_that_has_ended_computes_nothing_again(tmp_path):
    where, model = Checkpoints(tmp_path), build()
    first = fit(model, BARS, validation=BARS, checkpoints=where, **FAST)
    again = build(seed=5)
    second = fit(again, BARS, validation=BARS, loss=stopping_at(1), checkpoints=where, resume=True, **FAST)
    assert equal(weights(again), weights(model))
    assert figures(first) == figures(second)


def test_checkpoints_change_nothing(tmp_path):
    plain, saving = build(), build()
    a = fit(plain, BARS, validation=BARS, **FAST)
    b = fit(saving, BARS, validation=BARS, checkpoints=Checkpoints(tmp_path, 1), **FAST)
    assert equal(weights(plain), weights(saving))
    assert figures(a) == figures(b)


def test_data_that_are_drawn_afresh_go_on_with_their_draws(tmp_path):
    def data():
        return datasets.augment(datasets.load("digits", "train"), shift=1)

    options = {"steps": 9, "batch_size": 300, "evaluate_every": 2, "lr": 1e-3}  # more than two epochs
    whole = build(data=data())
    expected = fit(whole, data(), **options)
    with pytest.raises(Killed):
        fit(build(data=data()), data(), loss=stopping_at(7), checkpoints=Checkpoints(tmp_path), **options)
    model = build(data=data())
    history = fit(model, data(), checkpoints=Checkpoints(tmp_path), resume=True, **options)
    assert equal(weights(model), weights(whole))
    assert figures(history) == figures(expected)


def test_a_model_with_buffers_and_draws_of_its_own_goes_on(tmp_path):
    glyphs = datasets.load("glyphs", "train", n=64)

    def vqvae():
        torch.manual_seed(0)
        return ConvVQVAE(glyphs.shape, glyphs.levels, n_codes=16, dim=4)

    options = {"steps": 6, "batch_size": 16, "evaluate_every": 2}
    whole = vqvae()
    fit(whole, glyphs, loss=VQLoss(), **options)

    def killed(model, x, y, inner=VQLoss(), calls=[]):  # noqa: B006, B008  one loss, one count
        calls.append(0)
        if len(calls) == 5:
            raise Killed
        return inner(model, x, y)

    with pytest.raises(Killed):
        fit(vqvae(), glyphs, loss=killed, checkpoints=Checkpoints(tmp_path), **options)
    model = vqvae()
    fit(model, glyphs, loss=VQLoss(), checkpoints=Checkpoints(tmp_path), resume=True, **options)
    assert equal(weights(model), weights(whole))


def test_the_last_checkpoints_are_kept(tmp_path):
    fit(build(), BARS, validation=BARS, checkpoints=Checkpoints(tmp_path / "deep" / "er", 2, keep=3), **FAST)
    assert sorted(p.name for p in (tmp_path / "deep" / "er").iterdir()) == [
        f"step-{step:09d}.safetensors" for step in (14, 16, 17)
    ]
    Checkpoints(tmp_path / "deep" / "er").remove()
    assert not (tmp_path / "deep" / "er").exists()


def test_a_checkpoint_holds_no_pickle_and_says_what_it_is(tmp_path):
    fit(build(), BARS, checkpoints=Checkpoints(tmp_path), **{**FAST, "steps": 3})
    (path,) = Checkpoints(tmp_path).found()
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    assert header["format"] == "garm-course run 2"
    assert json.loads(header["settings"])["lr"] == 1e-2
    assert json.loads(header["record"])["step"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.02}, "lr 0.01, now 0.02"),
        ({"batch_size": 9, "seed": 3}, "batch_size 8, now 9, seed 0, now 3"),
        ({"model": {"channels": 4}}, "model config channels 8, now 4, "),
        ({"clip": 2.0}, "clip 1.0, now 2.0"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_and_stays(tmp_path, change, message):
    fit(build(), BARS, checkpoints=Checkpoints(tmp_path), **FAST)
    before = [path.read_bytes() for path in Checkpoints(tmp_path).found()]
    model = build(**change.pop("model", {}))
    with pytest.raises(ValueError, match=f"belongs to a run with other settings .*{message}"):
        fit(model, BARS, checkpoints=Checkpoints(tmp_path), resume=True, **{**FAST, **change})
    assert [path.read_bytes() for path in Checkpoints(tmp_path).found()] == before


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"not a checkpoint" * 9])
def test_a_damaged_checkpoint_is_refused_and_names_the_one_before(tmp_path, damage):
    whole = build()
    fit(whole, BARS, validation=BARS, checkpoints=Checkpoints(tmp_path, 3), **FAST)
    before, last = Checkpoints(tmp_path).found()
    last.write_bytes(damage(last.read_bytes()))
    with pytest.raises(ValueError, match=f"{last.name} is truncated .*, and the run goes on from {before.name}"):
        fit(build(), BARS, validation=BARS, checkpoints=Checkpoints(tmp_path, 3), resume=True, **FAST)
    last.unlink()
    model = build()
    fit(model, BARS, validation=BARS, checkpoints=Checkpoints(tmp_path, 3), resume=True, **FAST)
    assert equal(weights(model), weights(whole))


def test_a_model_file_is_no_checkpoint(tmp_path):
    files.save_model(build(), tmp_path / "step-000000003.safetensors")
    with pytest.raises(ValueError, match=r"is no checkpoint of a run .* the run starts again"):
        fit(build(), BARS, checkpoints=Checkpoints(tmp_path), resume=True, **FAST)


def test_a_checkpoint_of_an_earlier_version_is_refused_and_says_what_to_do(tmp_path):
    from safetensors.torch import save_file

    metadata = {"format": "garm-course run 1", "settings": "{}", "record": "{}"}
    save_file({"model.weight": torch.zeros(1)}, tmp_path / "step-000000003.safetensors", metadata)
    with pytest.raises(ValueError, match=r"of an earlier garm-course.* finish the run with that version, or delete"):
        fit(build(), BARS, checkpoints=Checkpoints(tmp_path), resume=True, **FAST)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    where, replace, calls = Checkpoints(tmp_path, 3), os.replace, []

    def full(source, target):
        calls.append(0)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match=r"step-000000009.safetensors .No space left on device.; free some space"):
        fit(build(), BARS, checkpoints=where, **FAST)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step-{s:09d}.safetensors" for s in (3, 6)]
    monkeypatch.undo()
    model, whole = build(), build()
    fit(model, BARS, checkpoints=where, resume=True, **FAST)
    fit(whole, BARS, **FAST)
    assert equal(weights(model), weights(whole))


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot make the folder .*choose another one"):
        fit(build(), BARS, checkpoints=Checkpoints(tmp_path / "file" / "run"), **FAST)


@pytest.mark.parametrize("options", [{"keep": 0}, {"every": 0}])
def test_numbers_of_checkpoints_out_of_range(tmp_path, options):
    with pytest.raises(ValueError, match="expected keep >= 1 and every >= 1"):
        Checkpoints(tmp_path, **options)


def test_ctrl_c_saves_the_step_it_came_in(tmp_path):
    whole = build()
    fit(whole, BARS, validation=BARS, loss=never(), **FAST)
    calls = []

    def pressed(model, x, y):
        calls.append(0)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return negative_log_likelihood(model, x, y)

    where, before = Checkpoints(tmp_path, 100), signal.getsignal(signal.SIGINT)
    history = fit(build(), BARS, validation=BARS, loss=pressed, checkpoints=where, **FAST)
    assert history.stopped == "interrupted at step 5"
    assert [path.stem for path in where.found()] == ["step-000000005"]
    model = build()
    fit(model, BARS, validation=BARS, checkpoints=where, resume=True, **FAST)
    assert equal(weights(model), weights(whole))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait():
    with deferred_interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.came
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(enabled=False):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_is_ignored_stays_ignored():
    """A script that runs in the background must not be stopped by a Ctrl-C that is meant for something else."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as interrupt:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
            assert not interrupt.came
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_random_states_come_back():
    import random

    import numpy as np

    def draws():
        return torch.rand(2).tolist(), random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()  # noqa: NPY002

    torch.manual_seed(1), random.seed(1), np.random.seed(1)  # noqa: NPY002
    draws()  # an odd number of normal draws: one waits
    states = random_states()
    expected = draws()
    torch.manual_seed(2), random.seed(2), np.random.seed(2)  # noqa: NPY002
    load_random_states({k: v.clone() for k, v in states.items()})
    assert draws() == expected


SCRIPT = """
import os, signal, sys
import torch
from garm_course import datasets
from garm_course.weights import files as checkpoints
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.weights.files import save_model
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.likelihood import fit

torch.set_num_threads(1)
folder, deaths = sys.argv[1], int(sys.argv[2])  # killed in the save with this number; 0: never
replace, saves = os.replace, []

def deadly(source, target):
    saves.append(0)
    if len(saves) == deaths:
        os.kill(os.getpid(), signal.SIGKILL)  # the file is written, but not in its place yet
    replace(source, target)

checkpoints.os.replace = deadly
data = datasets.load("bars_and_stripes")
torch.manual_seed(0)
model = GatedPixelCNN(data.shape, data.levels, channels=8, layers=1, dropout=0.3)
fit(model, data, validation=data, steps=60, batch_size=8, lr=1e-2, evaluate_every=10,
    checkpoints=Checkpoints(folder + "/checkpoints", 1), resume=True)
save_model(model, folder + "/model.safetensors")
"""


def run(folder, deaths=0, kill_after=None):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", SCRIPT, str(folder), str(deaths)]
    process = subprocess.Popen(command, env={**os.environ, "GARM_PROGRESS": "0"})
    if kill_after is not None:  # as soon as the checkpoint of this step is there
        while not (folder / "checkpoints" / f"step-{kill_after:09d}.safetensors").exists() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    return process.wait()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_at_any_moment_even_in_a_save_a_run_ends_with_the_same_file(tmp_path):
    assert run(tmp_path / "whole") == 0
    expected = weights(files.load_model(tmp_path / "whole" / "model.safetensors"))
    folder = tmp_path / "killed"
    assert run(folder, deaths=1) == -signal.SIGKILL  # before there is any checkpoint
    assert Checkpoints(folder / "checkpoints").found() == []
    assert run(folder, deaths=5) == -signal.SIGKILL
    assert len(list((folder / "checkpoints").glob(".step-*"))) >= 1  # what it was writing
    assert run(folder, kill_after=17) == -signal.SIGKILL
    assert run(folder, deaths=20) == -signal.SIGKILL
    assert run(folder) == 0
    assert equal(weights(files.load_model(folder / "model.safetensors")), expected)
    assert list((folder / "checkpoints").glob(".step-*")) == []


def test_the_order_of_batches_is_that_of_a_data_loader_and_can_go_on():
    from torch.utils.data import DataLoader, TensorDataset

    for n, size in ((20, 5), (23, 5), (7, 100), (64, 64)):
        data = TensorDataset(torch.arange(n), torch.arange(n))
        loader = DataLoader(data, batch_size=min(size, n), shuffle=True, drop_last=True,
                            generator=torch.Generator().manual_seed(3))  # fmt: skip
        expected = [x.tolist() for _ in range(3) for x, _ in loader]
        batches = Batches(data, size, rng(3))
        found = []
        for k in range(len(expected)):
            if k % 2:
                state, batches = batches.state(), Batches(data, size, rng(8))
                batches.resume(state)
            found.append(next(batches)[0].tolist())
        assert found == expected


def test_processes_share_each_batch_equally():
    from torch.utils.data import TensorDataset

    data = TensorDataset(torch.arange(22), torch.arange(22))
    whole = Batches(data, 6, rng(1))
    parts = [Batches(data, 6, rng(1), team=team(rank, 3)) for rank in range(3)]
    for _ in range(10):
        assert torch.cat([next(part)[0] for part in parts]).tolist() == next(whole)[0].tolist()
    with pytest.raises(ValueError, match="divisible by 4 processes, got 6; 4 would do"):
        Batches(data, 6, rng(1), team=team(0, 4))


TWO = """
import json, sys
import torch
from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.latent.vqvae import ConvVQVAE, VQLoss
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.likelihood import fit

torch.set_num_threads(1)
data = datasets.load("bars_and_stripes")
torch.manual_seed(0)
model = GatedPixelCNN(data.shape, data.levels, channels=8, layers=1)
history = fit(model, data, validation=data, steps=12, batch_size=10, lr=1e-2, evaluate_every=2,
              checkpoints=Checkpoints(sys.argv[1] + "/checkpoints", 4))
total = sum(p.double().abs().sum().item() for p in model.parameters())
glyphs = datasets.load("glyphs", "train", n=64)
vqvae = ConvVQVAE(glyphs.shape, glyphs.levels, n_codes=16, dim=4)
fit(vqvae, glyphs, loss=VQLoss(), steps=3, batch_size=16)
state = {name: value.double().sum().item() for name, value in vqvae.state_dict().items()}
found = {"train": history.train, "validation": history.validation, "weights": total, "vqvae": state}
"""


def test_two_processes_give_the_losses_of_one(tmp_path):
    one, first, second = one_and_two(TWO, tmp_path)
    for folder in ("one", "two"):
        assert len(Checkpoints(tmp_path / folder / "checkpoints").found()) == 2
    for found in (first, second):
        for split in ("train", "validation"):
            assert [v for _, v in found[split]] == pytest.approx([v for _, v in one[split]], abs=1e-5)
        assert found["weights"] == pytest.approx(one["weights"], rel=1e-6)
    assert first["weights"] == second["weights"]
    assert first["vqvae"] == second["vqvae"]  # a codebook is no weight: both have that of the first process


def test_a_checkpoint_says_nothing_of_this_machine(tmp_path):
    fit(build(), BARS, checkpoints=Checkpoints(tmp_path), **{**FAST, "steps": 3})
    (path,) = Checkpoints(tmp_path).found()
    assert str(Path.home()).encode() not in path.read_bytes()
