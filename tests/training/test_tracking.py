"""Curves of a run for others to show: what TensorBoard reads is what the history says."""

import ast
import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from limits import PATIENCE

from garm_course import datasets
from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.autoregressive.made import MADE
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.training import tracking
from garm_course.training.games import fit_game
from garm_course.training.likelihood import fit
from garm_course.training.tracking import Lines, Several, Stop, open_tracker

BARS = datasets.load("bars_and_stripes")


def test_tensorboard_reads_the_history(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("GARM_PROGRESS", "0")
    torch.manual_seed(0)
    model = GatedPixelCNN(BARS.shape, BARS.levels, channels=8, layers=1)
    tracker = open_tracker("tensorboard", tmp_path / "logs", "bars", {"lr": 1e-2, "loss": "nll"})
    history = fit(model, BARS, validation=BARS, steps=9, batch_size=8, lr=1e-2, evaluate_every=3, tracker=tracker)
    tracker.close()
    events = EventAccumulator(str(tmp_path / "logs" / "bars"))
    events.Reload()
    for name, expected in (("train/nats", history.train), ("validation/nats", history.validation)):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]
    assert [event.value for event in events.Scalars("learning_rate")][-1] == pytest.approx(0, abs=1e-9)


def test_tensorboard_reads_the_losses_of_a_gan(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("GARM_PROGRESS", "0")
    torch.manual_seed(0)
    gan = MLPGAN(BARS.shape, BARS.levels, latents=4, hidden=(8,))
    tracker = open_tracker("tensorboard", tmp_path / "logs", "bars")
    history = fit_game(GANGame(gan), BARS, steps=6, batch_size=8, watch=lambda step, gan: step / 2, watch_every=2,
                       decay=True, tracker=tracker)  # fmt: skip
    tracker.close()
    events = EventAccumulator(str(tmp_path / "logs" / "bars"))
    events.Reload()
    for name, entries in history.terms.items():
        found = [(event.step, event.value) for event in events.Scalars(f"losses/{name}")]
        assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in entries]
    assert [event.value for event in events.Scalars("watched")] == [1, 2, 3]
    rates = [event.value for event in events.Scalars("learning_rate/0")]
    assert rates == pytest.approx([1e-3 * (1 - step / 6) for step in (1, 3, 5)])


WANDB = """
calls = []


class Run:
    def __init__(self):
        self.config = self

    def update(self, values, **how):
        calls.append(("config", values))

    def log(self, values, step, **how):
        calls.append(("log", step, values))

    def finish(self):
        print(calls)


def init(project, **how):
    calls.append(("init", project, how["mode"], how["dir"]))
    globals()["config"] = run
    return run


run = Run()
"""


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_weights_and_biases_gets_the_figures_offline(tmp_path, monkeypatch, mode):
    """In a process of its own, where nothing has started Accelerate, and with a package that writes down its calls."""
    (tmp_path / "wandb.py").write_text(WANDB)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    script = (
        "from garm_course.training.tracking import open_tracker\n"
        f"tracker = open_tracker('wandb', {str(tmp_path)!r}, 'bars', {{'lr': 1}})\n"
        "tracker.log(3, {'train/nats': 2.0})\n"
        "tracker.close()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout.splitlines()[-1]) == [
        ("init", "bars", mode or "offline", str(tmp_path)), ("config", {"lr": 1}), ("log", 3, {"train/nats": 2.0}),
    ]  # fmt: skip


def test_another_tracker_and_a_missing_package_are_told(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no tracker 'excel'; choose one of tensorboard, wandb, lines"):
        open_tracker("excel", tmp_path, "bars")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="tracking with wandb needs a package: pip install wandb"):
        open_tracker("wandb", tmp_path, "bars")
    assert importlib.util.find_spec("tensorboard")


def test_lines_are_there_at_once_and_read_back(tmp_path):
    lines = Lines(tmp_path / "logs" / "lines.jsonl")
    history = fit(MADE((1, 4, 4), 2, hidden=(8,)), BARS, validation=BARS, steps=6, evaluate_every=3, tracker=lines)
    read = [json.loads(line) for line in (tmp_path / "logs" / "lines.jsonl").read_text().splitlines()]
    lines.close()
    with pytest.raises(ValueError, match="closed file"):
        lines.log(9, {})
    assert [(line["step"], line["validation/nats"]) for line in read] == history.validation


def test_a_tracker_may_end_a_run_and_the_best_weights_are_kept():
    told = []

    class Impatient:
        def log(self, step, values):
            if step == 6:
                raise Stop("seen enough")

        def close(self):
            told.append("closed")

    class Listener(Impatient):
        def log(self, step, values):
            told.append(step)

    both = Several(Impatient(), Listener())
    history = fit(MADE((1, 4, 4), 2, hidden=(8,)), BARS, validation=BARS, steps=30, evaluate_every=3, tracker=both)
    both.close()
    assert (history.stopped, history.steps, told) == ("seen enough", 6, [3, 6, "closed", "closed"])
    assert history.best_step in (3, 6)
