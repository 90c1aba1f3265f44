"""Search by real trainings, through Optuna: any number of processes or machines may work on one study.

Everything that is known of a study is in its storage: a database (`sqlite:///FILE` and what else SQLAlchemy knows) or a
journal (`journal:FILE`, also on network disks). A worker that is killed loses the trial it was training, and nothing
else; who runs the same command again goes on. Beside such a file each worker holds a lock of its own, which the system
frees when the worker ends, however it ends: the next worker to start finds the trials whose lock is free, and marks
them as failed.
"""

import json
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from garm_course.practice.search import needs_optuna
from garm_course.training.tracking import Stop


@dataclass(frozen=True)
class Setting:
    """The values that a setting may take.

    Attributes:
        name: of the setting.
        low: smallest value of a range.
        high: largest value.
        log: draw uniformly in the logarithm, equation (20.1).
        whole: whole numbers.
        choices: instead of a range, its values.
    """

    name: str
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False
    choices: tuple = ()

    def suggest(self, trial: object) -> object:
        """A value for a trial of Optuna."""
        if self.choices:  # a storage takes words and numbers, and lists as text
            known = {
                json.dumps(choice) if isinstance(choice, list | dict) else choice: choice for choice in self.choices
            }
            return known[trial.suggest_categorical(self.name, tuple(known))]
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name}={'|'.join(json.dumps(choice) for choice in self.choices)}"
        return f"{self.name}={self.low:g}..{self.high:g}{' log' if self.log else ''}"


def parse_space(text: str) -> tuple[Setting, ...]:
    """A search space from text.

    Args:
        text: settings, separated by semicolons: "lr=1e-4..1e-1 log; hidden=32|64|128; dropout=0..0.5". A range of two
            whole numbers gives whole numbers; choices are JSON or words.

    Raises:
        ValueError: for what cannot be read, an empty space or range, or a setting named twice.

    Example:
        >>> [str(setting) for setting in parse_space("lr=1e-4..1e-1 log; hidden=32|64; direct=true|false")]
        ['lr=0.0001..0.1 log', 'hidden=32|64', 'direct=true|false']
    """
    settings = [_setting(part.strip()) for part in text.split(";") if part.strip()]
    if not settings:
        raise ValueError('the search space is empty; write settings such as "lr=1e-4..1e-1 log; hidden=32|64|128"')
    names = [setting.name for setting in settings]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the search space has {name} twice; leave one out")
    return tuple(settings)


def _setting(text: str) -> Setting:
    name, equals, values = (part.strip() for part in text.partition("="))
    wrong = ValueError(f'cannot read {text!r} of the search space; write "lr=1e-4..1e-1 log" or "hidden=32|64|128"')
    if not name.isidentifier() or not equals or not values:
        raise wrong
    if ".." not in values:
        choices = tuple(read_value(one.strip()) for one in values.split("|"))
        if len(choices) < 2:
            raise ValueError(f"{text!r} leaves nothing to search; give a range, or two choices or more")
        return Setting(name, choices=choices)
    ends, _, log = values.partition(" ")
    if log.strip() not in ("", "log"):
        raise wrong
    try:
        low, high = map(float, ends.split(".."))
    except ValueError:
        raise wrong from None
    if not low < high or (log and low <= 0) or not math.isfinite(high):
        raise ValueError(f"expected low < high{', both above 0' if log else ''}, in {text!r}")
    whole = all(end.strip().lstrip("-").isdigit() for end in ends.split(".."))
    return Setting(name, low, high, log=bool(log), whole=whole)


def read_value(text: str) -> object:
    """A value from text: JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


class Pruner:
    """A tracker that tells Optuna the validation figure of every evaluation, and ends a run that it prunes.

    Args:
        trial: of Optuna.
        name: of the figure that counts.
    """

    def __init__(self, trial: object, name: str = "validation/nats"):
        self.trial, self.name, self.pruned = trial, name, False

    def log(self, step: int, values: dict[str, float]) -> None:
        """Report one figure; raises `Stop` where the trial is to end."""
        if self.name in values:
            self.trial.report(values[self.name], step)
            if self.trial.should_prune():
                self.pruned = True
                raise Stop("pruned")

    def close(self) -> None:
        """There is nothing to close."""


def tune(
    objective: Callable[[dict, Pruner], float],
    space: tuple[Setting, ...],
    *,
    trials: int,
    storage: str | None = None,
    name: str = "tune",
    seed: int | None = None,
    prune: bool = False,
) -> object:
    """Search with Optuna's TPE until a study has so many finished trials, over all its workers.

    Args:
        objective: (settings, pruner) -> a figure of the validation data, the smaller the better; NaN counts as failed.
            It hands the pruner to `fit` as its tracker.
        space: from `parse_space`.
        trials: finished or pruned ones that the study has in the end.
        storage: "sqlite:///FILE", "journal:FILE" or None for this process's memory.
        name: of the study in its storage.
        seed: of the sampler; workers that share a study must not share it: None.
        prune: stop trials that are worse than the median of earlier ones at the same step.

    Returns:
        The study of Optuna; `best_params` and `best_value` are what it found.

    Raises:
        ValueError: for fewer trials than one, a storage that cannot be read, or a study of this name with another
            space. OSError: the storage is gone. RuntimeError: no trial finished. ImportError: Optuna is missing.
    """
    optuna = needs_optuna()
    if trials < 1:
        raise ValueError(f"expected at least 1 trial, got {trials}")
    study = _study(optuna, storage, name, seed, prune)
    words = [str(setting) for setting in space]
    if study.user_attrs.setdefault("space", words) != words:
        there = "; ".join(study.user_attrs["space"])
        raise ValueError(f"the study {name!r} searches another space ({there}); choose another name or storage")
    if seed is not None and study.trials:  # a sampler that began again would draw the first trials again
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), constant_liar=storage is not None)
    states = optuna.trial.TrialState
    done = (states.COMPLETE, states.PRUNED)

    failed, failures = 0, []  # errors of the objective, which are not the storage's

    def one(worker: str) -> bool:  # whether it failed
        trial = study.ask()
        trial.set_user_attr("worker", worker)
        pruner = Pruner(trial)
        try:
            value = objective({setting.name: setting.suggest(trial) for setting in space}, pruner)
        except Exception as error:
            failures.append(error)
            study.tell(trial, state=states.FAIL)
            raise
        if pruner.pruned or math.isnan(value):
            study.tell(trial, state=states.PRUNED if pruner.pruned else states.FAIL)
            return not pruner.pruned
        study.tell(trial, value)
        return False

    try:
        study.set_user_attr("space", words)
        with _working(_file(storage)) as worker:
            _fail_orphans(study, _file(storage), states)
            while len(study.get_trials(deepcopy=False, states=done)) < trials:
                if failed >= 3 + trials:
                    raise RuntimeError(
                        f"{failed} trials of {name!r} failed; narrow the space, or look at the messages above"
                    )
                failed += one(worker)
    except (optuna.exceptions.StorageInternalError, OSError) as error:
        if error in failures:
            raise
        raise OSError(
            f"the storage {storage} is gone ({str(error).splitlines()[0]:.100}); what it held before is kept where it "
            "is: start again when it is back"
        ) from None
    if not study.get_trials(deepcopy=False, states=(states.COMPLETE,)):
        raise RuntimeError(f"no trial of {name!r} finished; give more trials, or do not prune")
    return study


def _file(storage: str | None) -> Path | None:
    """The file of a storage that is one."""
    kind, _, file = (storage or "").partition(":")
    return Path(file.removeprefix("///")) if kind in ("sqlite", "journal") and file else None


def _lock_of(file: Path, worker: str) -> Path:
    return file.with_name(f"{file.name}.worker-{worker}")


@contextmanager
def _working(file: Path | None) -> Iterator[str]:
    """The name of this worker, whose lock is held as long as it works; "" where there is no file to stand beside."""
    from filelock import FileLock

    if file is None:
        yield ""
        return
    worker = uuid.uuid4().hex[:8]
    with FileLock(_lock_of(file, worker)):
        yield worker
    _lock_of(file, worker).unlink(missing_ok=True)


def _fail_orphans(study, file: Path | None, states) -> None:
    """Mark trials as failed whose worker has been killed: its lock is free."""
    from filelock import FileLock, Timeout

    if file is None:
        return
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        lock = _lock_of(file, trial.user_attrs.get("worker", ""))
        if lock.exists():
            try:
                with FileLock(lock, timeout=0):
                    study.tell(trial.number, state=states.FAIL, skip_if_finished=True)
            except Timeout:
                continue
            lock.unlink(missing_ok=True)


def _study(optuna, storage: str | None, name: str, seed: int | None, prune: bool):
    """The study, made under a lock: two workers that make the tables of one new database at once stumble."""
    from filelock import FileLock

    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=storage is not None)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5) if prune else optuna.pruners.NopPruner()
    options = {"study_name": name, "sampler": sampler, "pruner": pruner, "load_if_exists": True}
    if storage is None:
        return optuna.create_study(**options)
    kind, _, rest = storage.partition(":")
    place = _file(storage)
    if not rest or (place and not place.parent.is_dir()):
        raise ValueError(
            f"expected a storage sqlite:///FILE or journal:FILE in a folder that is there, got {storage!r}"
        )
    try:
        with FileLock(f"{place}.starting") if place else FileLock(Path.home() / ".garm-tune.lock"):
            if kind == "journal":
                backend = optuna.storages.journal.JournalFileBackend(str(place))
                return optuna.create_study(storage=optuna.storages.JournalStorage(backend), **options)
            engine = {"connect_args": {"timeout": 300}} if kind == "sqlite" else {}
            return optuna.create_study(storage=optuna.storages.RDBStorage(storage, engine_kwargs=engine), **options)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"the storage {storage} cannot be read: {str(error).splitlines()[0]:.150}") from None
