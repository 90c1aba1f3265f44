"""The challenge: honest players are scored right, and each cheat ends as it should, with its name."""

import math

import numpy as np
import pytest
import torch

from garm_course.datasets import load
from garm_course.grading import challenge as referee
from garm_course.grading.challenge import (
    CLOSED,
    PLAYER,
    TASKS,
    ask_twice,
    blind_log_probs,
    challenge,
    example_player,
    turn,
    turn_back,
)
from garm_course.grading.sandbox import Foul, Sandbox, tree_seconds, walls

LEVELS, D = 3, 5
IMAGES = torch.cartesian_prod(*[torch.arange(LEVELS)] * D)  # all 243
TABLE = torch.randn(D, LEVELS**D, LEVELS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def rng(seed=0):
    return np.random.default_rng(seed)


def honest(prefix, i):
    """Logits from a table of all prefixes."""
    place = (prefix[:, :i] * LEVELS ** torch.arange(i)).sum(1)
    return TABLE[i, place]


def peeks(prefix, i):
    return honest(prefix, i) + 9 * torch.nn.functional.one_hot(prefix[:, i], LEVELS)


def reads_ahead(prefix, i):
    return honest(prefix, i) + (prefix[:, -1:] == 0) * torch.eye(LEVELS)[0]


def looks_at_the_first(prefix, i):
    return honest(prefix, i) + 0.1 * prefix[0, 0] * torch.eye(LEVELS)[0]


def looks_at_the_mean(prefix, i):
    return honest(prefix, i) + prefix[:, : i + 1].double().mean() * torch.eye(LEVELS)[0]


class Learner:
    """Counts what it was shown, and answers from the counts."""

    def __init__(self):
        self.seen = torch.zeros(D, LEVELS)

    def __call__(self, prefix, i):
        if i:
            self.seen[i - 1] += torch.bincount(prefix[:, i - 1], minlength=LEVELS)
        return (self.seen[i] + 1).log().expand(len(prefix), -1).double()


def draws(prefix, i):
    return honest(prefix, i) + torch.randn(len(prefix), LEVELS)


# --- what the questions find -----------------------------------------------------------------------------------------


def test_an_honest_player_gets_its_likelihood_and_all_images_sum_to_one():
    exact = sum(honest(IMAGES, i).log_softmax(1).gather(1, IMAGES[:, i : i + 1])[:, 0] for i in range(D))
    found, apart = ask_twice(honest, IMAGES, LEVELS, rng())
    assert torch.allclose(found, exact, atol=1e-12)
    assert apart < 1e-12
    assert abs(found.exp().sum().item() - 1) < 1e-12


@pytest.mark.parametrize("player", [lambda x, i: honest(x, i) + 3, lambda x, i: 5 * honest(x, i)], ids=["+3", "x5"])
def test_no_arithmetic_on_logits_gains_mass(player):
    found, _ = ask_twice(player, IMAGES, LEVELS, rng())
    assert abs(found.exp().sum().item() - 1) < 1e-12


@pytest.mark.parametrize("player", [peeks, reads_ahead, looks_at_the_first, looks_at_the_mean, Learner(), draws])
def test_who_does_not_answer_from_the_prefix_alone_is_found(player):
    torch.manual_seed(0)
    with pytest.raises(Foul, match=r"asked again about half of the images, .* must depend on the prefix alone"):
        ask_twice(player, IMAGES[:100], LEVELS, rng())


def test_peeking_gains_nothing_since_the_answer_is_hidden():
    plain, peeked = (blind_log_probs(player, IMAGES, LEVELS, rng()).mean() for player in (honest, peeks))
    assert peeked < plain


def test_a_player_sees_noise_behind_the_prefix_and_each_image_once_a_position():
    shown = []
    blind_log_probs(lambda x, i: shown.append((x.clone(), i)) or honest(x, i), IMAGES, LEVELS, rng())
    assert [i for _, i in shown] == list(range(D))
    for x, i in shown:
        known = {tuple(row) for row in IMAGES[:, :i].tolist()}
        assert {tuple(row) for row in x[:, :i].tolist()} == known
        assert not torch.equal(x, IMAGES)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_told(value):
    with pytest.raises(Foul, match="position 0 are not finite"):
        blind_log_probs(lambda x, i: torch.full((len(x), LEVELS), value), IMAGES, LEVELS, rng())


def test_eight_forms_are_eight_and_keep_the_pixels():
    x = load("digits", "test").x[:3]
    forms = [turn(x, form) for form in range(8)]
    assert len({form.numpy().tobytes() for form in forms}) == 8
    assert torch.equal(forms[0], x)
    assert all(torch.equal(turn_back(form, k), x) for k, form in enumerate(forms))
    assert all(torch.equal(form.flatten(1).sort(1).values, x.flatten(1).sort(1).values) for form in forms)


def test_the_images_of_the_ranking_are_drawn_from_the_secret_and_their_probability_is_known():
    one, two = TASKS["glyphs"].test(1), TASKS["glyphs"].test(2)
    assert not torch.equal(one.x, two.x)
    assert torch.isfinite(one.log_prob(one.x[:2])).all()


# --- what the walls refuse: one child, to which each cheat is given in turn -------------------------------------------

CHEATS = {
    "open_sklearn_file": (
        "import sklearn, os; open(os.path.dirname(sklearn.__file__) + '/datasets/data/digits.csv.gz', 'rb')",
        "digits.csv.gz must not be read: what you train on is what you are given",
    ),
    "numpy_reads_it": (
        "import sklearn, os, numpy; numpy.loadtxt(os.path.dirname(sklearn.__file__) + '/datasets/data/digits.csv.gz')",
        "must not be read",
    ),
    "os_open": (
        "import sklearn, os; os.open(os.path.dirname(sklearn.__file__) + '/datasets/data/digits.csv.gz', os.O_RDONLY)",
        "must not be read",
    ),
    "sklearn_loader": ("from sklearn.datasets import load_digits", "sklearn.datasets is closed"),
    "course_loader": ("from garm_course.datasets import load", "garm_course.datasets is closed"),
    "course_loader_by_attribute": ("import garm_course; garm_course.load('digits', 'test')", "garm_course.datasets is"),
    "recorded_weights": ("from garm_course import load_pretrained; load_pretrained('made-digits')", "is closed"),
    "weights_file": (
        "import garm_course, os; open(os.path.dirname(garm_course.__file__) + '/weights/made-digits.safetensors')",
        "must not be read",
    ),
    "list_weights": (
        "import garm_course, os; os.listdir(os.path.dirname(garm_course.__file__) + '/weights')",
        "must not",
    ),
    "read_other_processes": ("open('/proc/1/environ')", "must not be read"),
    "read_home": ("import os; os.listdir('/root')", "must not be read"),
    "write_elsewhere": ("open('/tmp/../var/tmp/left-behind', 'w')", "must not be written"),
    "replace_the_course": (
        "import garm_course; open(garm_course.__file__, 'a')",
        "must not be written",
    ),
    "rename": ("import os; open('a', 'w').close(); os.rename('a', '/var/tmp/left-behind')", "must not be written"),
    "fork": ("import os; os.fork()", "os.fork is closed: a player has no new processes"),
    "multiprocessing": (
        "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
        "is closed",
    ),
    "program": ("import subprocess; subprocess.run(['id'])", "a player has no programs"),
    "shell": ("import os; os.system('id')", "a player has no programs"),
    "socket": ("import socket; socket.socket()", "a player has no sockets"),
    "download": ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')", "a player has no sockets"),
    "kill": ("import os; os.kill(os.getppid(), 9)", "a player has no signals"),
    "memory": ("x = bytearray(1 << 40)", "MemoryError"),
    "torch_memory": ("import torch; torch.ones(1 << 38)", "RuntimeError"),
    "exit": ("import sys; sys.exit(0)", "it calls exit()"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "no_model": ("x = 1", "has no attribute 'Model'"),
    "syntax": ("def (", "SyntaxError"),
}
FINE = """
class Model:
    def __init__(self, shape, levels): self.levels = levels; {init}
    def fit(self, x, y, seconds, seed): {fit}
    def logits(self, prefix, i):
        import torch
        {logits}
"""


def player(init="pass", fit="pass", logits="return torch.zeros(len(prefix), self.levels)"):
    return FINE.format(init=init, fit=fit, logits=logits)


def train(sandbox, source, seconds=20.0):
    values = {"source": source, "n": 2, "y": [0, 1], "shape": [1, 2, 2], "levels": LEVELS}
    return sandbox.ask("train", {**values, "seconds": seconds, "seed": 0}, bytes(8), seconds=seconds)


def ask(sandbox, seconds=20.0):
    return sandbox.ask("logits", {"n": 2, "levels": LEVELS, "i": 1}, bytes(8), seconds=seconds)


@pytest.fixture(scope="module")
def child():
    with Sandbox(PLAYER, {"hidden": referee._hidden(), "modules": CLOSED}, memory=2 << 30) as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", CHEATS)
def test_the_child_refuses_and_says_what(child, name):
    source, words = CHEATS[name]
    with pytest.raises(Foul) as refused:
        train(child, source + "\n" + player() * (name != "no_model"))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert train(child, player()) == b"", "the next player is not hurt"


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        (
            "return torch.zeros(len(prefix), self.levels + 1)",
            "logits at position 1 of shape (2, 3) in a floating type, got (2, 4)",
        ),
        ("return torch.zeros(10**6, self.levels)", "got (1000000, 3)"),
        ("return torch.zeros(len(prefix), self.levels, dtype=torch.long)", "in torch.int64"),
        ("return torch.zeros(len(prefix), self.levels, dtype=torch.complex64)", "in torch.complex64"),
        ("return 'much'", "TypeError"),
        ("return None", "RuntimeError"),
        ("return 1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_answers_that_are_no_logits_are_told(child, logits, words):
    train(child, player(logits=logits))
    with pytest.raises(Foul) as refused:
        ask(child)
    assert words in str(refused.value)


def test_what_a_player_prints_goes_nowhere_and_hurts_nobody(child, capfd):
    train(child, "print('x' * 10000)\nimport sys; sys.stderr.write('y')\n" + player(fit="print('fit')"))
    assert len(ask(child)) == 2 * LEVELS * 8
    assert capfd.readouterr() == ("", "")


def test_a_player_may_write_into_its_folder_and_build_on_the_library(child):
    build = "import torch; from garm_course.autoregressive import MADE; self.made = MADE(shape, levels)"
    logits = "open('note', 'w').write('x'); return self.made(prefix.view(-1, 1, 2, 2)).flatten(1, 3)[:, i]"
    train(child, player(init=build, logits=logits))
    assert len(ask(child)) == 2 * LEVELS * 8


# --- children that have to be ended ----------------------------------------------------------------------------------


@pytest.fixture
def lonely():
    with Sandbox(PLAYER, {"hidden": [], "modules": []}, wait=4.0) as sandbox:
        yield sandbox


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (player(fit="\n        while True: pass"), "more than 0.3 seconds of a processor"),
        ("import time\ntime.process_time = float\n" + player(fit="\n        while True: pass"), "more than"),
        (
            player(fit="\n        import threading\n        def spin():\n            while True: pass\n"
                   "        [threading.Thread(target=spin, daemon=True).start() for _ in range(4)]\n        spin()"),
            "more than 0.3 seconds of a processor, all its processes together",
        ),
        (player(fit="import time; time.sleep(10**6)"), "it waited for 4 s without computing"),
        (player(fit="import os; os._exit(0)"), "its process ended with code 0"),
        (player(fit="import ctypes; ctypes.string_at(0)"), "its process"),
        (player(fit="import os, sys; os.write(int(sys.argv[2]), bytes(9)); os.write(int(sys.argv[2]), bytes(90))"),
         "it wrote into the pipe"),
    ],
    ids=["loop", "own clock", "threads", "sleep", "exit", "crash", "pipe"],
)  # fmt: skip
def test_a_child_that_does_not_answer_is_ended(lonely, source, words):
    with pytest.raises(Foul) as refused:
        train(lonely, source, seconds=0.3)
    assert words in str(refused.value)
    assert lonely._process.poll() is not None


@pytest.mark.slow
def test_training_in_the_first_question_takes_the_time_of_the_questions(tmp_path):
    file = tmp_path / "late.py"
    file.write_text(player(logits="\n        while True: pass"))
    with pytest.raises(Foul, match="seconds of a processor"):
        challenge(file, seconds=0.5, n_train=20, n_test=4)


@pytest.mark.slow
def test_the_example_is_honest_and_learns(tmp_path):
    file = tmp_path / "example.py"
    file.write_text(example_player())
    first, second = (challenge(file, seconds=1, n_test=20, seed=7) for _ in range(2))
    assert first.test_sha256 == second.test_sha256
    assert first.repeat < 1e-3
    assert first.likelihood.nats < 64 * math.log(17) - 40, "far below the uniform distribution"
    assert 0 < first.cpu_seconds < 2
    assert first.kl is None
    assert first.walls == walls()
    other = challenge(file, seconds=0.2, n_train=50, n_test=20, seed=8)
    assert other.test_sha256 != first.test_sha256


@pytest.mark.slow
def test_known_probabilities_give_the_divergence(tmp_path, monkeypatch):
    data = load("bars_and_stripes", "train")
    monkeypatch.setitem(TASKS, "bars", referee.Task("", lambda: data, lambda seed: data, turned=False))
    file = tmp_path / "uniform.py"
    file.write_text(player())
    result = challenge(file, "bars", seconds=5)
    assert result.likelihood.nats == pytest.approx(16 * math.log(2))
    assert result.kl.nats == pytest.approx(16 * math.log(2) - math.log(30))


# --- at the door -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_played_is_told_before_anything_starts(tmp_path):
    large, strange = tmp_path / "large.py", tmp_path / "strange.py"
    large.write_text("#" * 40_000)
    strange.write_bytes(b"\xff\xfe")
    for file, error, words in (
        (tmp_path / "none.py", ValueError, "there is no file .*none.py; garm challenge --example"),
        (large, Foul, "40,000 bytes, more than 32,000"),
        (strange, Foul, "no text in UTF-8"),
    ):
        with pytest.raises(error, match=words):
            challenge(file)
    with pytest.raises(ValueError, match="digits or glyphs, got 'mnist'"):
        challenge(large, "mnist")
    for seconds in (0, -1, math.inf, "long"):
        with pytest.raises(ValueError, match="seconds > 0"):
            challenge(large, seconds=seconds)


def test_processor_time_is_that_of_a_tree():
    import os

    there = os.path.isdir("/proc")
    assert tree_seconds(os.getpid()) > 0 if there else tree_seconds(os.getpid()) is None
    assert tree_seconds(2**22 + 1) == (0 if there else None)


def test_without_proc_the_clock_is_read_and_who_computes_is_not_said_to_wait(monkeypatch):
    monkeypatch.setattr("garm_course.grading.sandbox.tree_seconds", lambda pid: None)
    monkeypatch.setattr("garm_course.grading.sandbox.START", 600.0)
    with Sandbox(PLAYER, {"hidden": [], "modules": []}, wait=0.01) as child:
        assert child.seconds() > 0
        with pytest.raises(Foul, match=r"more than 0\.2 seconds"):
            train(child, player(fit="import time; time.sleep(10**6)"), seconds=0.2)


def test_a_player_learns_nothing_of_the_seed_that_draws_the_test_set(tmp_path, monkeypatch):
    told = []

    class Recorder:
        def __init__(self, *_, **__): ...

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def seconds(self):
            return 0.0

        def ask(self, word, values, data, *, seconds):
            if word == "train":
                told.append(values["seed"])
                return b""
            return bytes(8 * values["n"] * values["levels"])

    monkeypatch.setattr(referee, "Sandbox", Recorder)
    (tmp_path / "player.py").write_text(player())
    images = {challenge(tmp_path / "player.py", seed=7, n_train=4, n_test=4).test_sha256 for _ in range(2)}
    assert len(images) == 1
    assert len({*told, 7}) == 3
