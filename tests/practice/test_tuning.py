"""Search by trainings: spaces as text, workers that share a study, kills, storages that go."""

import math
import signal
import subprocess
import sys

import pytest

from garm_course import recipes
from garm_course.practice.tuning import parse_space, tune
from garm_course.recipes.tuning import tune_recipe
from garm_course.training.tracking import Stop

optuna = pytest.importorskip("optuna", reason="needs Optuna, of the extra `tune`")
SPACE = parse_space("x=-3..3.5; k=1|2")
WORKER = """
import sys, time
from garm_course.practice.tuning import parse_space, tune
def slow(chosen, pruner):
    for _ in range(2_000_000): pass
    print(chosen["x"], flush=True)
    if len(sys.argv) > 3: time.sleep(600)
    return chosen["x"] ** 2 + chosen["k"]
study = tune(slow, parse_space("x=-3..3.5; k=1|2"), trials=int(sys.argv[2]), storage=sys.argv[1])
"""


def square(chosen, pruner):
    return chosen["x"] ** 2 + chosen["k"]


def test_the_best_of_a_study_is_found_and_repeats_with_its_seed():
    one, two = (tune(square, SPACE, trials=30, seed=0) for _ in range(2))
    assert one.best_params == two.best_params
    assert one.best_params["k"] == 1
    assert one.best_value < 1.3


def test_a_study_goes_on_where_it_was_and_is_not_begun_twice(tmp_path):
    for storage in (f"sqlite:///{tmp_path}/a.db", f"journal:{tmp_path}/a.log"):
        first = tune(square, SPACE, trials=3, storage=storage)
        kept = [(trial.number, trial.value) for trial in first.trials]
        second = tune(square, SPACE, trials=5, storage=storage)
        assert [(trial.number, trial.value) for trial in second.trials][:3] == kept
        assert len(second.trials) == 5
        assert len(tune(square, SPACE, trials=2, storage=storage).trials) == 5, "it has enough"
        with pytest.raises(ValueError, match="searches another space"):
            tune(square, parse_space("x=0..1.5; k=1|2"), trials=9, storage=storage)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite:///", "journal:"])
def test_two_workers_on_a_new_storage_and_a_kill_lose_nothing(tmp_path, kind):
    storage = f"{kind}{tmp_path / 'study'}"
    start = lambda: subprocess.Popen(  # noqa: E731
        [sys.executable, "-c", WORKER, storage, "12"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    doomed, other = start(), start()
    doomed.stdout.readline()  # its first trial is nearly done
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    _, err = other.communicate()
    assert other.returncode == 0, err
    assert "Traceback" not in err
    study = tune(square, SPACE, trials=12, storage=storage)
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len(done) >= 12
    assert "RUNNING" not in {trial.state.name for trial in study.trials}
    assert not list(tmp_path.glob("*.worker-*"))
    assert all(trial.value == pytest.approx(square(trial.params, None)) for trial in done)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite:///", "journal:"])
def test_the_trial_of_a_killed_worker_does_not_run_for_ever(tmp_path, kind):
    storage = f"{kind}{tmp_path / 'study'}"
    command = [sys.executable, "-c", WORKER, storage, "9", "hang"]
    doomed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    doomed.stdout.readline()  # it is in the middle of its first trial
    doomed.kill()
    doomed.wait()
    study = tune(square, SPACE, trials=2, storage=storage)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert not list(tmp_path.glob("*.worker-*"))


def test_a_trial_of_a_worker_that_still_works_is_left_alone(tmp_path):
    storage, seen = f"journal:{tmp_path / 'study'}", []

    def starts_another(chosen, pruner):
        if not seen:
            seen.append("outer")
            study = tune(square, SPACE, trials=1, storage=storage)
            seen.append([trial.state.name for trial in study.trials])
        return square(chosen, pruner)

    tune(starts_another, SPACE, trials=2, storage=storage)
    assert seen[1] == ["RUNNING", "COMPLETE"]


def test_a_storage_that_goes_in_the_middle_is_told(tmp_path):
    file = tmp_path / "study.db"

    def vandal(chosen, pruner):
        file.write_bytes(b"no database" * 1000)
        return 1.0

    with pytest.raises(OSError, match=r"the storage sqlite:.* is gone"):
        tune(vandal, SPACE, trials=3, storage=f"sqlite:///{file}")
    with pytest.raises(ValueError, match="cannot be read"):
        tune(square, SPACE, trials=3, storage=f"sqlite:///{file}")
    for bad in ("sqlite:////nowhere/x.db", "journal:/nowhere/x", "file"):
        with pytest.raises(ValueError, match="expected a storage sqlite:///FILE or journal:FILE"):
            tune(square, SPACE, trials=3, storage=bad)


def test_pruned_trials_count_and_the_run_ends_in_good_order():
    def falls(chosen, pruner):
        for step in range(10):
            try:
                pruner.log(step, {"validation/nats": chosen["x"] ** 2 - step, "learning_rate": 1.0})
            except Stop:
                assert pruner.pruned
                return 1e9  # what is returned of a pruned trial counts for nothing
        return chosen["x"] ** 2 - 9

    study = tune(falls, SPACE, trials=20, seed=0, prune=True)
    states = [trial.state.name for trial in study.trials]
    assert states.count("PRUNED") > 3
    assert len(states) == 20
    assert study.best_value < -8


def test_failures_end_a_study_and_are_told():
    with pytest.raises(FileNotFoundError, match="my own"):
        tune(lambda chosen, pruner: open("/nowhere/my own"), SPACE, trials=2)  # noqa: SIM115
    with pytest.raises(RuntimeError, match="trials of 'tune' failed"):
        tune(lambda chosen, pruner: math.nan, SPACE, trials=2)


@pytest.mark.slow
def test_a_recipe_is_searched_by_its_validation_figure():
    recipe = recipes.find("made", "digits")
    space = parse_space("lr=1e-3..1e-2 log; hidden=[16]|[32]")
    study = tune_recipe(recipe, space, budget="smoke", steps=6, trials=2, seed=0)
    assert study.best_params["hidden"] in ("[16]", "[32]")
    assert 90 < study.best_value < 64 * math.log(17)


@pytest.mark.parametrize(
    ("model", "space", "words"),
    [("gan", "lr=1e-3..1e-2", "has no validation likelihood"), ("made", "depth=1..3", "no setting 'depth'; it knows")],
)
def test_recipes_and_settings_that_do_not_fit_are_told(model, space, words):
    with pytest.raises(ValueError, match=words):
        tune_recipe(recipes.find(model, "digits"), parse_space(space), trials=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the search space is empty"),
        (" ; ", "the search space is empty"),
        ("lr", "cannot read 'lr'"),
        ("=1..2", "cannot read"),
        ("lr=1..", "cannot read"),
        ("lr=1..2 lin", "cannot read"),
        ("lr=2..1", "expected low < high"),
        ("lr=0..1 log", "both above 0"),
        ("lr=1..inf", "expected low < high"),
        ("hidden=32", "leaves nothing to search"),
        ("lr=1..2; lr=1..3", "lr twice"),
    ],
)
def test_spaces_that_cannot_be_searched_are_told(text, words):
    with pytest.raises(ValueError, match=words):
        parse_space(text)


def test_ranges_know_what_they_are():
    whole, real, log, words = parse_space("n=1..9; x=0..0.5; lr=1e-4..1 log; encoding=thermometer|scaled")
    assert (whole.whole, real.whole, log.log, words.choices) == (True, False, True, ("thermometer", "scaled"))


def test_without_optuna_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "garm-course\[tune\]"'):
        tune(square, SPACE, trials=1)


def test_a_seeded_search_that_goes_on_draws_new_trials(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    for trials in (3, 6):
        study = tune(lambda chosen, pruner: chosen["x"] ** 2, parse_space("x=0..1.5"), trials=trials, storage=storage,
                     seed=0)  # fmt: skip
    assert len({trial.params["x"] for trial in study.trials}) == 6
