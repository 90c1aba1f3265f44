"""Runs of recipes: a run is a folder with `model.safetensors` and `result.json`, complete or absent.

The weights have their configuration and the record of the run with them; the result has figures, settings, versions,
hardware and the command. Choices are made on the validation split; the test split is looked at by
`evaluate_run(..., "test")`, once, when a run is recorded.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from torch import nn

from garm_course import datasets
from garm_course.recipes.kinds import find_kind, kind_of
from garm_course.recipes.provenance import hardware, versions
from garm_course.recipes.recipe import Recipe, Run
from garm_course.recipes.settings import changed, written
from garm_course.training.games import AdversarialHistory
from garm_course.training.likelihood import History
from garm_course.training.loop import NonFiniteLossError
from garm_course.training.tracking import open_tracker
from garm_course.weights.files import complete_config, load_model, save_model, write_atomically


class InterruptedRun(RuntimeError):
    """A run was interrupted (Ctrl-C); the message says what was saved and how to go on."""

    exit_code = 130  # as a shell has it


def train(
    recipe: Recipe,
    out: Path | str,
    *,
    budget: str = "quick",
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    save_every: int | None = None,
    precision: str = "no",
    track: str | None = None,
    chosen: dict | None = None,
) -> tuple[nn.Module, dict]:
    """Train a recipe and write its run folder.

    While it runs, checkpoints are written to the folder's `checkpoints`, and deleted when the result is there. In
    several processes (`torchrun`) the first one writes; all return the model, and the others an empty result.

    Args:
        recipe: see `find`.
        out: folder of the run; it is made if it does not exist.
        budget: "smoke" (two steps), "quick" (a minute or less) or "full".
        seed: of weights, order of the data and dropout.
        overwrite: replace a run that is in the folder already.
        resume: go on with the run in the folder where its newest checkpoint stands; without one, start. A run that is
            finished already comes back as it is.
        save_every: steps between checkpoints, None for every evaluation.
        precision: "no" or "bf16", see `fit`.
        track: "tensorboard", "wandb" or None; files go to the folder's `logs`.
        chosen: settings in place of the recipe's, see `settings.changed`.

    Returns:
        The model with its best validation weights, and the result that was written.

    Raises:
        FileExistsError: the folder holds a run already, or one that was not finished or is still going on. OSError: the
            folder cannot be written. ValueError: a checkpoint is damaged or belongs to another run.
        InterruptedRun: Ctrl-C.
        NonFiniteLossError: the loss became NaN or infinite; the best weights until then are in `last_good.safetensors`.
    """
    recipe.settings(budget)  # refuses a budget that there is not, before a folder is made
    recipe, added = changed(recipe, chosen or {}), f' --set "{written(chosen)}"' if chosen else ""
    command = f"garm train {recipe.model} --data {recipe.data} --budget {budget} --seed {seed}{added}"
    with alone_in(out) if _is_first() else nullcontext():
        return _train(recipe, Path(out), command, budget, seed, overwrite, resume, save_every, precision, track)


def _train(
    recipe: Recipe, out: Path, command: str, budget: str, seed: int, overwrite: bool, resume: bool,
    save_every: int | None, precision: str, track: str | None,
) -> tuple[nn.Module, dict]:  # fmt: skip
    """What `train` does when the folder is its own."""
    settings = recipe.settings(budget)
    main, kind = _is_first(), find_kind(recipe.kind)
    if resume and not overwrite and (out / "result.json").exists():
        result = read_result(out)
        if result.get("command") != command:
            raise FileExistsError(
                f"{out} holds another run ({result.get('command')}); choose another folder with --out"
            )
        if main:
            _tidy(out)
            shutil.rmtree(out / "checkpoints", ignore_errors=True)
        return load_model(out / "model.safetensors", expected=result.get("class")), result if main else {}
    if main:
        _prepare_folder(out, overwrite, resume)
    tracker = None
    if track and main:
        tracker = open_tracker(track, out / "logs", recipe.name, {"budget": budget, "seed": seed, **_words(settings)})
    run = Run(out / "checkpoints", save_every, resume, precision, tracker)
    data = {split: recipe.load(split) for split in ("train", "validation")}
    model = recipe.build(seed)
    try:
        history = recipe.fit(model, data, settings, seed, run=run)
    except NonFiniteLossError as error:
        if main:
            save_model(model, out / "last_good.safetensors", {"model": recipe.model, "data": recipe.data, "seed": seed})
        raise NonFiniteLossError(f"{error}. The best weights so far are in {out / 'last_good.safetensors'}") from None
    finally:
        if tracker:
            tracker.close()
    if history.stopped.startswith("interrupted"):
        saved = any(run.checkpoints.rglob("step-*.safetensors"))
        how = f"go on with: {command} --out {out} --resume" if saved else "it was too early to save anything"
        raise InterruptedRun(f"{history.stopped}; {how}")
    if not main:
        return model, {}
    result = {
        "model": recipe.model,
        "class": model.name,
        "data": recipe.data,
        "budget": budget,
        "seed": seed,
        "kind": recipe.kind,
        **{split: kind.measure(model, data[split], split) for split in data},
        "baselines": kind.baselines(data["train"], data["validation"]),
        "floor": kind.floor(data["train"]),
        "seconds": round(history.seconds, 1),
        "cpu_seconds": round(history.cpu_seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "config": model.config,
        "data_options": {split: recipe.options(split) for split in datasets.SPLITS},
        "training": {
            **settings,
            "loss": list(recipe.loss),
            "stopped": history.stopped,
            "best_step": getattr(history, "best_step", history.steps),
        },
        "history": _history(history),
        "versions": versions(),
        "hardware": hardware(),
        "command": command,
    }
    save_model(model, out / "model.safetensors", _record(result))
    (out / "result.json").unlink(missing_ok=True)  # of an overwritten run: it must not stand beside new weights
    write_result(out, result)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return model, result


def evaluate_run(run: Path | str, split: str = "test") -> dict:
    """Evaluate the model of a run folder on a split and add the figure to its `result.json`.

    Args:
        run: the folder.
        split: "train", "validation" or "test".

    Returns:
        The result, with the figures of `split`.

    Raises:
        FileNotFoundError: the folder holds no run.
        ValueError: an unknown split or kind of result, a damaged file, or a model that is not the one of the result.
    """
    run = Path(run)
    result = read_result(run)
    kind = kind_of(result)
    model = load_model(run / "model.safetensors", expected=result.get("class"))
    if model.config != complete_config(model.name, result["config"]):
        raise ValueError(f"{run / 'model.safetensors'} is not the model of {run / 'result.json'}; train the run again")
    if split not in result["data_options"]:
        raise ValueError(f"no split {split!r}; choose one of {', '.join(result['data_options'])}")
    data = datasets.load(result["data"], split, **result["data_options"][split])
    result[split] = kind.measure(model, data, split)
    write_result(run, result)
    return result


def read_result(run: Path | str) -> dict:
    """The `result.json` of a run folder.

    Raises:
        FileNotFoundError: the folder holds no run. ValueError: the file is damaged.
    """
    path = Path(run) / "result.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} is no folder of a run (it has no result.json); make one with `garm train`")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not even text
        raise ValueError(f"{path} is damaged ({error}); train the run again") from None
    missing = [k for k in ("model", "data", "config", "data_options", "baselines")
               if not isinstance(result, dict) or k not in result]  # fmt: skip
    if missing:
        raise ValueError(f"{path} is no result of `garm train` (it lacks {', '.join(missing)}); train the run again")
    return result


def write_result(run: Path, result: dict) -> None:
    """Write `result.json` of a run folder, completely or not at all."""
    write_atomically(Path(run) / "result.json", (json.dumps(result, indent=1) + "\n").encode())


def _is_first() -> bool:
    """Whether this is the only process of the run, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def _words(settings: dict) -> dict:
    """Settings as a tracker takes them."""
    return {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in settings.items()}


@contextmanager
def alone_in(out: Path | str) -> Iterator[None]:
    """Hold the folder of a run, which is made if it does not exist; whoever comes second is told who has it.

    The system lets go of the lock when a process dies, however it dies.

    Raises:
        FileExistsError: another run has it.
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    out = Path(out)
    lock, holder = FileLock(out / ".run.lock"), out / ".run.holder"
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8")[:100] if holder.is_file() else "which has just begun"
        raise FileExistsError(
            f"{out} is in use by another run ({who}); wait for its end, or choose another folder with --out"
        ) from None
    except OSError as error:
        raise OSError(f"cannot write in {out} ({error.strerror}); choose another folder with --out") from None
    try:
        with suppress(OSError):  # a full disk is told by what matters
            holder.write_text(f"process {os.getpid()} on {platform.node() or 'this machine'}", encoding="utf-8")
        yield
    finally:
        for path in (holder, out / ".run.lock"):
            with suppress(OSError):  # Windows does not delete what is open
                path.unlink()
        lock.release()


def _tidy(out: Path) -> None:
    """Delete what a killed run left half written."""
    for name in (".writable", "model.safetensors", "result.json", "last_good.safetensors"):
        for path in out.glob(f".{name}.*"):  # as `write_atomically` calls them
            path.unlink(missing_ok=True)


def _prepare_folder(out: Path, overwrite: bool, resume: bool = False) -> None:
    """Make the folder and try to write in it, before minutes are spent on training."""
    if (out / "result.json").exists() and not overwrite:
        raise FileExistsError(f"{out} holds a run already; choose another folder with --out, or add --overwrite")
    if any((out / "checkpoints").rglob("step-*.safetensors")):
        if not (resume or overwrite):
            raise FileExistsError(
                f"{out} holds a run that was not finished; go on with --resume, or start anew with --overwrite"
            )
        if not resume:
            shutil.rmtree(out / "checkpoints")
    try:
        _tidy(out)
        write_atomically(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise OSError(f"cannot write in {out} ({error.strerror}); choose another folder with --out") from None


def _history(history: History | AdversarialHistory) -> dict:
    if isinstance(history, AdversarialHistory):
        return {"terms": history.terms}
    return {"train": history.train, "validation": history.validation}


def _record(result: dict) -> dict:
    """The part of a result that travels with the weights."""
    return {k: v for k, v in result.items() if k != "history"}
