"""The training loop: everything that a run needs around its steps, of likelihood models and of games alike.

A step moves the weights once and returns its losses by name. What one step does stands elsewhere: in `likelihood.fit`,
or beside the networks of a game. Here is what makes a run dependable: averaged weights, a look every few steps, a stop
with a reason when a loss is no longer finite, progress, Ctrl-C, and checkpoints from which a run that was killed goes
on as if nothing had happened.

A program that reads a number of a device waits until the device has done all its work. So losses are read together, at
each look; that something is not finite is decided on the device, and from then on nothing moves (`Descent`).

In several processes each takes its part of every batch, and gradients are averaged after `backward`: the losses are
those of one process. Accelerate's wrapper for data parallel is not used, since penalties differentiate twice. What is
no weight (a codebook, the statistics of a batch normalization) is the first process's after each step.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from functools import partial
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from garm_course.inputs import check_settings, looked_at
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
from garm_course.training.tracking import Stop, Tracker


class NonFiniteLossError(RuntimeError):
    """A loss or a gradient became NaN or infinite; the message names it, and says which weights are kept."""


def plain_number(value: object) -> object:
    """A number of NumPy as one of Python, which JSON and generators know; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings that all trainings share.

    Attributes:
        steps: how many, at least 1.
        batch_size: examples of a step over all processes, at least 1; if there are fewer, all are taken.
        ema: decay of the moving average of the weights, in [0, 1); 0 switches it off.
        seed: of the order of the data, of noise and of dropout, an integer; torch's global generators are seeded, too.
        precision: "no" (that of the weights) or "bf16" (autocast in training; evaluation keeps that of the weights).
        checkpoints: where to save what is needed to go on after a kill; None saves nothing. An interrupt then saves the
            step it came in.
        resume: go on from the newest checkpoint; without one, start. On a CPU the run ends bit for bit as one that was
            never stopped. Settings that differ are refused; data and loss functions cannot be compared: pass the same.
        tracker: told the figures of every evaluation; it may end the run, see `tracking`.
        label: text of the progress bar.

    Raises:
        ValueError: for settings outside their ranges.
        TypeError: for checkpoints that are no `Checkpoints`, such as a path.
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
        for name, value in tuple(vars(self).items()):
            object.__setattr__(self, name, plain_number(value))
        check_settings(1, whole=True, steps=self.steps, batch_size=self.batch_size)
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema} is out of range: expected ema in [0, 1); 0 switches the average off")
        if self.precision not in ("no", "bf16"):
            raise ValueError(f'precision={self.precision} is out of range: expected precision "no" or "bf16"')
        if not isinstance(self.seed, Integral):
            raise ValueError(f"seed={self.seed} is out of range: expected an integer; write one, such as seed=0")
        if not isinstance(self.checkpoints, Checkpoints | None):
            raise TypeError(
                f"expected checkpoints=Checkpoints(folder), got {self.checkpoints!r}; "
                "from garm_course.training import Checkpoints"
            )

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
        """Go on from what `state()` returned.

        Raises:
            ValueError: for other fields, or a value of another type.
        """
        mine = self.state()
        for name in mine.keys() | state.keys():
            if type(mine.get(name)) is not type(state.get(name)):
                raise ValueError(f"{name!r:.60} is {state.get(name)!r:.60}, expected one like {mine.get(name)!r:.60}")
        for name, value in state.items():
            setattr(self, name, _entries(value))
        self.stopped = Record.stopped


def _entries(value: object) -> object:
    """Lists of [step, figure], as JSON has them, with tuples again."""
    if isinstance(value, dict):
        return {name: _entries(entries) for name, entries in value.items()}
    return [tuple(entry) for entry in value] if isinstance(value, list) else value


def numbers(scalars: list[Tensor]) -> list[float]:
    """Scalars of a device as numbers: the only place where a run waits for its device between two looks."""
    return torch.stack(scalars).tolist() if scalars else []


class Average:
    """The moving average of a network's weights."""

    def __init__(self, network: nn.Module, ema: float):
        self.network, self.ema = network, ema
        self.weights = {name: weight.detach().clone() for name, weight in network.state_dict().items()}
        parameters = dict(network.named_parameters(remove_duplicate=False))
        self._pairs: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}  # parameters move together, by type
        for name in self.weights.keys() & parameters.keys():
            for side, weight in zip(
                self._pairs.setdefault(parameters[name].dtype, ([], [])),
                (self.weights[name], parameters[name].detach()),
                strict=True,
            ):
                side.append(weight)
        self._buffers = [  # where they are, since a module may replace one
            (self.weights[f"{prefix}{name}"], module, name)
            for prefix, module in ((f"{p}." if p else "", m) for p, m in network.named_modules(remove_duplicate=False))
            for name in module._buffers
            if f"{prefix}{name}" in self.weights
        ]

    @torch.no_grad()
    def follow(self, step: int, failed: Tensor) -> None:
        """Move towards the weights after a step; a young average forgets the random start.

        Args:
            step: its number.
            failed: a scalar, 0; or 1, and the average stays as it is.
        """
        rate = 1 - min(self.ema, step / (step + 10)) if self.ema else 1.0
        for dtype, (averages, weights) in self._pairs.items():
            _lerp(averages, weights, (1 - failed.to(dtype)) * rate)
        for average, module, name in self._buffers:
            buffer = module._buffers[name]  # a counter, such as that of a batch normalization, is copied
            moved = average.lerp(buffer, rate) if buffer.is_floating_point() and rate < 1 else buffer
            average.copy_(torch.where(failed > 0, average, moved))

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
        """Go on from what `state()` returned.

        Raises:
            ValueError: for other weights than those of the network.
        """
        check_weights(state, self.weights)
        for name, weight in self.weights.items():
            weight.copy_(state[name])


def _lerp(averages: list[Tensor], weights: list[Tensor], rate: Tensor) -> None:
    """Move each average towards its weight by a rate in [0, 1], a scalar: at 0 and 1 exactly."""
    if hasattr(torch, "_foreach_lerp_"):  # in one call
        torch._foreach_lerp_(averages, weights, [rate] * len(weights))
        return
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight, rate)


def check_weights(state: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    """Refuse a state that has other names, shapes or types than some weights (ValueError)."""
    for name in weights.keys() | state.keys():
        one, other = (found.get(name) for found in (state, weights))
        if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
            raise ValueError(f"{name!r:.60} is missing, or does not belong there")
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            raise ValueError(
                f"{name} is {tuple(one.shape)} of {one.dtype}, expected {tuple(other.shape)} {other.dtype}"
            )


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
    descent: "Descent",
) -> None:
    """Take the steps of a plan; on return the model is on its own device, in evaluation mode, with averaged weights.

    Args:
        step: takes the step of a number 1..steps by `descent`, with the model in training mode; returns scalars by
            name, which stay on the device.
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
        descent: by which the steps descend; it knows the processes of the run.

    Raises:
        NonFiniteLossError: a loss or a gradient became NaN or infinite. It is found at the next look, and the weights
            are those of before.
        ValueError: a checkpoint is damaged or belongs to other settings.
        OSError: a checkpoint cannot be written.
    """
    from garm_course.progress_bar import progress

    checkpoints, team = plan.checkpoints, descent.team
    settings = {**settings, **plan.settings(), "processes": team.count, "model": description(model)}
    settings = {name: plain_number(value) for name, value in settings.items()}
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
    if checkpoints and plan.resume:
        checkpoints.resume(settings, state)
    unread: list[dict[str, Tensor]] = []  # the losses of the last steps, on the device
    spent, began = (history.seconds, history.cpu_seconds), (time.perf_counter(), time.process_time())

    def clock() -> None:
        history.seconds = spent[0] + time.perf_counter() - began[0]
        history.cpu_seconds = spent[1] + time.process_time() - began[1]

    def read() -> None:
        """Wait for the device: add the losses of the last steps to `sums`, or raise at the first that is not finite."""
        scalars = [value.reshape(()) for losses in unread for value in losses.values()]
        values = iter(numbers(scalars))
        for number, losses in enumerate(unread, history.steps - len(unread) + 1):
            for name, value in zip(losses, values, strict=False):
                if not math.isfinite(value):
                    raise NonFiniteLossError(
                        f"the {name} became {value} at step {number}; {history.kept()}. "
                        "Lower the learning rate, or look at the data"
                    )
                sums[name] = sums.get(name, 0.0) + value
            sums["steps"] = sums.get("steps", 0.0) + 1
        unread.clear()

    model.train()
    first = history.steps + 1
    try:
        with (
            progress(
                total=plan.steps, initial=history.steps, label=plan.label, unit="step", disable=not team.main
            ) as bar,
            deferred_interrupt(enabled=checkpoints is not None and team.count == 1) as interrupt,
        ):
            for number in range(first, plan.steps + 1):
                for name, optimizer in optimizers.items():
                    for group in optimizer.param_groups:
                        group["lr"] = peaks[name] * rate(number - 1)
                try:
                    with team.autocast(plan.precision), nullcontext() if number == first else looked_at():
                        losses = step(number)
                except FloatingPointError as error:  # the model has seen which term is not finite
                    read()
                    raise NonFiniteLossError(f"at step {number}: {error}; {history.kept()}") from None
                except Exception:
                    read()  # what went wrong before may be the reason
                    raise
                unread.append({name: team.mean(value) for name, value in losses.items()} | descent.figures)
                descent.figures = {}
                team.agree(model.buffers())
                average.follow(number, descent.failed)
                history.steps = number
                bar.update(1)
                if number % every == 0 or number == plan.steps:
                    read()
                    since = sums.pop("steps")
                    means = {name: total / since for name, total in sums.items()}
                    sums.clear()
                    with average.lent(), torch.no_grad():
                        model.eval()
                        figures = look(number, means)
                        model.train()
                    bar.set_postfix_str(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
                    if plan.tracker is not None and team.main:
                        try:
                            plan.tracker.log(number, figures)
                        except Stop as wish:
                            if team.count > 1:
                                raise
                            history.stopped = str(wish)
                    if history.stopped != Record.stopped:
                        break
                often = checkpoints and (checkpoints.every or every)
                if checkpoints and (number % often == 0 or number == plan.steps or interrupt.came):
                    read()
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


def check_trainable(**networks: nn.Module) -> None:
    """Refuse networks that no gradient can move (ValueError).

    Args:
        networks: all that are to be trained, by their names in the message.
    """
    if not torch.is_grad_enabled():
        raise ValueError(
            "gradients are switched off here, by torch.no_grad() or inference_mode(), so nothing can be trained; "
            "train outside of that block"
        )
    for name, network in networks.items():
        if not any(weight.requires_grad for weight in network.parameters()):
            raise ValueError(
                f"no weight of the {name} ({type(network).__name__}) can move: it has none, or all are frozen; "
                "unfreeze them with requires_grad_(True)"
            )


def fusible(network: nn.Module, device: torch.device) -> bool:
    """Whether PyTorch's fused optimizers, one pass over all weights, know this device and these weights."""
    known = device.type in ("cpu", "cuda", "mps", "xpu")
    return known and all(weight.is_floating_point() for weight in network.parameters())


class Descent:
    """Steps of gradient descent, until something is not finite: from then on no weight moves, and nothing waits.

    Args:
        team: the processes over which losses and gradients are averaged.

    Attributes:
        failed: a scalar on the device: 0, and 1 since a loss or the norm of a gradient was not finite.
        figures: the losses and norms of the gradients of this step, by name, for `run` to read at the next look.
    """

    def __init__(self, team: Processes):
        self.team, self.figures = team, {}
        self.failed = torch.zeros((), dtype=torch.float32, device=team.device)  # whatever the weights are

    def __call__(
        self, losses: dict[str, tuple[Sequence[torch.optim.Optimizer], Tensor]], clip: float = math.inf
    ) -> None:
        """One step of each player on its own loss.

        Of several losses each is differentiated in the weights of its own player only, before any of them moves.

        Args:
            losses: name of a player -> its optimizers, and a scalar of this process's part of the batch.
            clip: largest norm of each player's gradient.
        """
        for k, (name, (optimizers, loss)) in enumerate(losses.items(), start=1):
            weights = [weight for one in optimizers for group in one.param_groups for weight in group["params"]]
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            with self.team.autocast("no"):
                own = [weight for weight in weights if weight.requires_grad] if len(losses) > 1 else None
                loss.backward(inputs=own, retain_graph=k < len(losses))
            self.team.average_gradients(weights)
            self._note(f"{name}'s objective", self.team.mean(loss))
            self._note(f"{name}'s gradient's norm", nn.utils.clip_grad_norm_(weights, clip))
        for optimizers, _ in losses.values():
            for optimizer in optimizers:
                self._move(optimizer)
        torch.clear_autocast_cache()  # of the weights in 16 bits, which have moved

    def _note(self, name: str, value: Tensor) -> None:
        """Remember a figure, and whether it is finite; a player that moves twice in a step has the sum of both."""
        value = value.detach().reshape(())
        self.failed = torch.where(torch.isfinite(value), self.failed, 1.0)
        self.figures[name] = self.figures[name] + value if name in self.figures else value

    @torch.no_grad()
    def _move(self, optimizer: torch.optim.Optimizer) -> None:
        if all(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = self.failed  # as `torch.amp.GradScaler` tells it: 1 moves nothing
            optimizer.step()
            return
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        before = [weight.clone() for weight in weights]
        optimizer.step()
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(torch.where(self.failed > 0, old, weight))


def _random_states(team: Processes) -> dict[str, Tensor]:
    every = enumerate(team.gathered(random_states()))
    return {f"{rank}.{name}": tensor for rank, states in every for name, tensor in states.items()}


def _load_random_states(team: Processes, state: dict[str, Tensor]) -> None:
    own = f"{team.rank}."
    load_random_states({name.removeprefix(own): t for name, t in state.items() if name.startswith(own)})
