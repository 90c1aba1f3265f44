"""The training loop: everything that a run needs around its steps, of likelihood models and of games alike.

A step moves the weights once and returns its losses by name. What one step does stands elsewhere: in `likelihood.fit`,
or beside the networks of a game. Here is what makes a run dependable: averaged weights, a look every few steps, a stop
with a reason when a loss is no longer finite, progress, Ctrl-C, and checkpoints from which a run that was killed goes
on as if nothing had happened.

In several processes each takes its part of every batch, and gradients are averaged after `backward`: the losses are
those of one process. Accelerate's wrapper for data parallel is not used, since penalties differentiate twice. What is
no weight (a codebook, the statistics of a batch normalization) is the first process's after each step.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial

import torch
from torch import Tensor, nn

from garm_course.inputs import check_settings
from garm_course.training.checkpoints import (
    Checkpoints,
    Part,
    description,
    load_optimizer_state,
    load_random_states,
    optimizer_state,
    random_states,
)
from garm_course.training.interrupts import deferred_interrupt
from garm_course.training.processes import Processes
from garm_course.training.tracking import Tracker


class NonFiniteLossError(RuntimeError):
    """A loss or a gradient became NaN or infinite; the message names it, and says which weights are kept."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings that all trainings share.

    Attributes:
        steps: how many, at least 1.
        batch_size: examples of a step over all processes, at least 1; if there are fewer, all are taken.
        ema: decay of the moving average of the weights, in [0, 1); 0 switches it off.
        seed: of the order of the data, of noise and of dropout: torch's global generators are seeded with it.
        precision: "no" (that of the weights) or "bf16" (autocast in training; evaluation keeps that of the weights).
        checkpoints: where to save what is needed to go on after a kill; None saves nothing. An interrupt then saves the
            step it came in.
        resume: go on from the newest checkpoint; without one, start. On a CPU the run ends bit for bit as one that was
            never stopped. Settings that differ are refused; data and loss functions cannot be compared: pass the same.
        tracker: curves for TensorBoard or Weights & Biases, see `tracking.Tracker`.
        label: text of the progress bar.

    Raises:
        ValueError: for settings outside their ranges.
    """

    steps: int = 1000
    batch_size: int = 64
    ema: float = 0.0
    seed: int = 0
    precision: str = "no"
    checkpoints: Checkpoints | None = None
    resume: bool = False
    tracker: Tracker | None = None
    label: str = "training"

    @classmethod
    def of(cls, **options: object) -> "Plan":
        """The plan with these options; TypeError for an unknown one."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise TypeError(f"no option {name!r}; all trainings know {', '.join(known)}")
        return cls(**options)

    def __post_init__(self):
        check_settings(1, whole=True, steps=self.steps, batch_size=self.batch_size)
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema} is out of range: expected ema in [0, 1); 0 switches the average off")
        if self.precision not in ("no", "bf16"):
            raise ValueError(f'precision={self.precision} is out of range: expected precision "no" or "bf16"')

    def settings(self) -> dict:
        """What a run that goes on must have in common with the one before."""
        return {name: getattr(self, name) for name in ("steps", "batch_size", "ema", "seed", "precision")}


@dataclass
class Record:
    """What happened during any run; histories add their losses to it."""

    seconds: float = 0.0  # wall clock
    cpu_seconds: float = 0.0  # of this process, over all threads
    steps: int = 0
    stopped: str = "all steps done"

    def kept(self) -> str:
        """Which weights a run that ends now keeps, in words."""
        return "the averaged weights of before are kept"

    def state(self) -> dict:
        """All fields, as JSON can hold them."""
        return asdict(self)

    def resume(self, state: dict) -> None:
        """Go on from what `state()` returned."""
        for name, value in state.items():
            setattr(self, name, _entries(value))
        self.stopped = Record.stopped


def _entries(value: object) -> object:
    """Lists of [step, figure], as JSON has them, with tuples again."""
    if isinstance(value, dict):
        return {name: _entries(entries) for name, entries in value.items()}
    return [tuple(entry) for entry in value] if isinstance(value, list) else value


class Average:
    """The moving average of a network's weights."""

    def __init__(self, network: nn.Module, ema: float):
        self.network, self.ema = network, ema
        self.weights = {name: weight.detach().clone() for name, weight in network.state_dict().items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move towards the weights after a step; a young average forgets the random start."""
        rate = 1 - min(self.ema, step / (step + 10)) if self.ema else 1.0
        for name, weight in self.network.state_dict().items():
            if weight.is_floating_point() and rate < 1:
                self.weights[name].lerp_(weight, rate)
            else:  # a counter, such as that of a batch normalization
                self.weights[name].copy_(weight)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give the network its average inside the block, and its own weights again after it."""
        own = {name: weight.detach().clone() for name, weight in self.network.state_dict().items()}
        self.network.load_state_dict(self.weights)
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return self.weights

    def resume(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state()` returned."""
        for name, weight in self.weights.items():
            weight.copy_(state[name])


def run(
    step: Callable[[int], dict[str, Tensor]],
    model: nn.Module,
    plan: Plan,
    history: Record,
    *,
    averaged: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    rate: Callable[[int], float],
    look: Callable[[int, dict[str, float]], dict[str, float]],
    every: int,
    state: dict[str, Part],
    settings: dict,
    team: Processes,
) -> None:
    """Take the steps of a plan; on return the model is on its own device, in evaluation mode, with averaged weights.

    Args:
        step: takes the step of a number 1..steps, with the model in training mode; returns scalars by name.
        model: all that is trained.
        plan: see `Plan`.
        history: it gets the number of steps, the time and the reason of the end.
        averaged: the part of the model that holds averaged weights on return.
        optimizers: by name.
        rate: steps done -> share of its own learning rate that each optimizer takes in the next one.
        look: called with a step and the mean losses since the last time, with averaged weights in evaluation mode;
            returns figures for the progress bar and the tracker. It ends the run by setting `history.stopped`.
        every: steps between looks, and between checkpoints that do not say how often.
        state: further parts of the run that are saved with it, by name.
        settings: what a checkpoint must have in common with this run, besides the plan and the model.
        team: the processes of the run.

    Raises:
        NonFiniteLossError: a loss became NaN or infinite.
        ValueError: a checkpoint is damaged or belongs to other settings.
        OSError: a checkpoint cannot be written.
    """
    from garm_course.progress_bar import progress

    checkpoints = plan.checkpoints
    settings = {**settings, **plan.settings(), "processes": team.count, "model": description(model)}
    saved = checkpoints.latest(settings) if checkpoints and plan.resume else None
    home = next(model.parameters()).device
    model.to(team.device)
    team.agree([*model.parameters(), *model.buffers()])
    average, sums = Average(averaged, plan.ema), {}
    peaks = {name: optimizer.param_groups[0]["lr"] for name, optimizer in optimizers.items()}
    state = {
        "model": Part(model.state_dict, model.load_state_dict),
        "average": average,
        **{f"optimizer_{name}": Part(partial(optimizer_state, one), partial(load_optimizer_state, one))
           for name, one in optimizers.items()},
        **state,
        "sums": Part(sums.copy, sums.update),
        "history": history,
        "random": Part(partial(_random_states, team), partial(_load_random_states, team)),  # last: the others may draw
    }  # fmt: skip
    for name, part in state.items() if saved else ():
        part.resume(saved[name])
    spent, began = (history.seconds, history.cpu_seconds), (time.perf_counter(), time.process_time())

    def clock() -> None:
        history.seconds = spent[0] + time.perf_counter() - began[0]
        history.cpu_seconds = spent[1] + time.process_time() - began[1]

    model.train()
    try:
        with (
            progress(
                total=plan.steps, initial=history.steps, label=plan.label, unit="step", disable=not team.main
            ) as bar,
            deferred_interrupt(enabled=checkpoints is not None and team.count == 1) as interrupt,
        ):
            for number in range(history.steps + 1, plan.steps + 1):
                for name, optimizer in optimizers.items():
                    for group in optimizer.param_groups:
                        group["lr"] = peaks[name] * rate(number - 1)
                try:
                    with team.autocast(plan.precision):
                        losses = step(number)
                except FloatingPointError as error:  # the model has seen which term is not finite
                    raise NonFiniteLossError(f"at step {number}: {error}; {history.kept()}") from None
                losses = {name: team.mean(value).item() for name, value in losses.items()}
                for name, value in losses.items():
                    if not math.isfinite(value):
                        raise NonFiniteLossError(
                            f"the {name} became {value} at step {number}; {history.kept()}. "
                            "Lower the learning rate, or look at the data"
                        )
                team.agree(model.buffers())
                average.follow(number)
                history.steps = number
                for name, value in {**losses, "steps": 1}.items():
                    sums[name] = sums.get(name, 0.0) + value
                bar.update(1)
                if number % every == 0 or number == plan.steps:
                    since = sums.pop("steps")
                    means = {name: total / since for name, total in sums.items()}
                    sums.clear()
                    with average.lent(), torch.no_grad():
                        model.eval()
                        figures = look(number, means)
                        model.train()
                    bar.set_postfix_str(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
                    if plan.tracker is not None and team.main:
                        plan.tracker.log(number, figures)
                    if history.stopped != Record.stopped:
                        break
                often = checkpoints and (checkpoints.every or every)
                if checkpoints and (number % often == 0 or number == plan.steps or interrupt.came):
                    clock()
                    now = {name: part.state() for name, part in state.items()}
                    if team.main:
                        checkpoints.save(number, settings, now)
                if interrupt.came:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        history.stopped = f"interrupted at step {history.steps}"
    finally:
        clock()
        averaged.load_state_dict(average.weights)
        model.to(home).eval()


def descend(
    losses: list[tuple[torch.optim.Optimizer, Tensor]], team: Processes, clip: float | None = None
) -> Tensor | None:
    """One step of gradient descent of each optimizer on its own loss; what is not finite moves nothing.

    Of several losses each is differentiated in the weights of its own optimizer only, before any of them moves.

    Args:
        losses: pairs of an optimizer and a scalar, of this process's part of the batch.
        team: the processes over which losses and gradients are averaged.
        clip: largest norm of each gradient, or None.

    Returns:
        The norm of the last gradient before it was clipped; None without `clip`, or if a loss is not finite.
    """
    norm = None
    if not all(torch.isfinite(team.mean(loss)) for _, loss in losses):
        return norm
    for k, (optimizer, loss) in enumerate(losses, start=1):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        with team.autocast("no"):
            own = [weight for weight in weights if weight.requires_grad] if len(losses) > 1 else None
            loss.backward(inputs=own, retain_graph=k < len(losses))
        team.average_gradients(weights)
        if clip is not None:
            norm = nn.utils.clip_grad_norm_(weights, clip)
            if not torch.isfinite(norm):
                return norm
    for optimizer, _ in losses:
        optimizer.step()
    torch.clear_autocast_cache()  # of the weights in 16 bits, which have moved
    return norm


def _random_states(team: Processes) -> dict[str, Tensor]:
    every = enumerate(team.gathered(random_states()))
    return {f"{rank}.{name}": tensor for rank, states in every for name, tensor in states.items()}


def _load_random_states(team: Processes, state: dict[str, Tensor]) -> None:
    own = f"{team.rank}."
    load_random_states({name.removeprefix(own): t for name, t in state.items() if name.startswith(own)})
