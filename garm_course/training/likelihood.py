"""One training loop for all likelihood models of the course, on Hugging Face Accelerate.

`fit` is the ten lines that lesson 04 shows (batch, loss, backward, step) with what makes a run dependable around
them: an exponential moving average of the weights, early stopping on validation data, gradient clipping, a progress
bar, a stop with a reason when the loss is no longer finite, and checkpoints from which a run that was killed goes on
as if nothing had happened. The same lines run on a laptop and on several GPUs of several machines.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from garm_course.evaluation.likelihood import evaluate
from garm_course.evaluation_mode import lent_weights
from garm_course.training.batches import Batches
from garm_course.training.checkpoints import (
    Checkpoints,
    description,
    load_optimizer_state,
    load_random_states,
    optimizer_state,
    part,
    prefixed,
    random_states,
)
from garm_course.training.interrupts import deferred_interrupt
from garm_course.training.processes import Processes
from garm_course.training.tracking import Tracker


@dataclass
class History:
    """What happened during a run: losses in nats per example."""

    train: list[tuple[int, float]] = field(default_factory=list)  # (step, mean loss since the last entry)
    validation: list[tuple[int, float]] = field(default_factory=list)  # (step, NLL with averaged weights)
    seconds: float = 0.0  # wall clock
    cpu_seconds: float = 0.0  # of this process, over all threads
    steps: int = 0
    best_step: int = 0
    stopped: str = "all steps done"

    def newest(self) -> dict[str, float]:
        """The last entries by name, for a tracker."""
        entries = {"train/nats": self.train, "validation/nats": self.validation}
        return {name: found[-1][1] for name, found in entries.items() if found}


def negative_log_likelihood(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """-log p(x), or -log p(x | y) for a class-conditional model: nats per example, averaged over the batch."""
    return -(model.log_prob(x, y) if getattr(model, "n_classes", 0) else model.log_prob(x)).mean()


class NonFiniteLossError(RuntimeError):
    """The loss or its gradient became NaN or infinite; the model holds the best weights seen before."""


class _Objective(nn.Module):
    """`forward` computes the loss, so that wrappers which hook `forward` (data parallel) see all of it."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Tensor, Tensor], Tensor]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(self.model, x, y)


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    validation: Dataset | None = None,
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor] = negative_log_likelihood,
    steps: int = 1000,
    batch_size: int = 64,
    lr: float = 2e-3,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    ema: float = 0.995,
    evaluate_every: int = 100,
    patience: int | None = None,
    seed: int = 0,
    precision: str = "no",
    accumulate: int = 1,
    channels_last: bool = False,
    compiled: bool = False,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    tracker: Tracker | None = None,
    label: str = "training",
) -> History:
    """Train a model in place; on return it holds the averaged weights that were best on the validation data.

    Adam with a cosine schedule (from lr to 0 over `steps`, after a warm-up of 5 %). It trains on the device that
    Accelerate finds and returns to its own, in evaluation mode. An interrupt (Ctrl-C) ends the run early: the best
    weights are kept and `History.stopped` says so.

    Started by `torchrun` or `accelerate launch` in several processes, each takes its part of every batch, and the
    losses are those of one process; the first process alone evaluates, saves and shows progress.

    Args:
        model: a likelihood model: `log_prob(x)`, or `log_prob(x, y)` where its `n_classes` is not 0. Or a model with
            `elbo(x)`, together with a loss for it.
        data: training examples (x, y); the last incomplete batch of an epoch is left out.
        validation: held-out examples; without them the last averaged weights are kept and nothing stops early.
            The weights that are kept are those of the best NLL, or of the best ELBO for a model with latents, whatever
            the loss: leave them out where the loss has another optimum (a beta other than 1, free bits).
        loss: (model, x, y) -> scalar in nats per example. If it has an attribute `progress`, that is set to the
            fraction of the steps done before each step (for schedules such as KL annealing).
        steps: gradient steps. batch_size: examples a step, over all processes.
        lr: peak learning rate. weight_decay: decoupled (AdamW). clip: largest gradient norm.
        ema: decay of the moving average of the weights, in [0, 1); 0 switches it off.
        evaluate_every: steps between evaluations. patience: evaluations without improvement before the run stops.
        seed: of the order of the data and of dropout (torch's global generators are seeded with it).
        precision: "no" (that of the weights) or "bf16" (autocast in training; evaluation keeps that of the weights).
        accumulate: parts into which a batch is cut to save memory; their gradients add up to that of the batch.
        channels_last: keep the weights of convolutions with their channels last, which some GPUs prefer.
        compiled: run the model through `torch.compile`; it pays in long runs on a GPU.
        checkpoints: where to save what is needed to go on after a kill; None saves nothing. An interrupt then saves the
            step it came in.
        resume: go on from the newest checkpoint; without one, start. On a CPU the run ends bit for bit as one that was
            never stopped. Settings that differ are refused; data and loss cannot be compared: pass the same.
        tracker: curves for TensorBoard or Weights & Biases, see `tracking.Tracker`.
        label: text of the progress bar.

    Returns:
        History.

    Raises:
        NonFiniteLossError: the loss or its gradient became NaN or infinite; the model keeps the best weights seen
            before.
        ValueError: for an empty data set, settings outside their ranges, a batch that the processes cannot share, or a
            checkpoint that is damaged or belongs to other settings. OSError: a checkpoint cannot be written.
    """
    from garm_course.progress import progress

    for name, examples in (("training", data), ("validation", validation)):
        if examples is not None and len(examples) == 0:
            raise ValueError(f"expected {name} data, got an empty data set")
    for name, value, ok in (("steps", steps, steps >= 1), ("batch_size", batch_size, batch_size >= 1),
                            ("lr", lr, lr > 0), ("ema", ema, 0 <= ema < 1), ("clip", clip, clip > 0),
                            ("evaluate_every", evaluate_every, evaluate_every >= 1),
                            ("patience", patience, patience is None or patience >= 1),
                            ("precision", precision, precision in ("no", "bf16")),
                            ("accumulate", accumulate, accumulate >= 1)):  # fmt: skip
        if not ok:
            raise ValueError(f"{name}={value} is out of range; see the documentation of fit()")
    team = Processes()
    accelerator, rank, processes, main = team.accelerator, team.rank, team.count, team.main
    order = torch.Generator().manual_seed(seed)
    batches = Batches(data, batch_size, order, rank=rank, processes=processes)
    if batches.size // processes < accumulate:
        raise ValueError(f"accumulate={accumulate} parts of {batches.size // processes} examples; use fewer parts")
    settings = {
        "steps": steps, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "clip": clip, "ema": ema,
        "evaluate_every": evaluate_every, "patience": patience, "seed": seed, "precision": precision,
        "accumulate": accumulate, "processes": processes, "examples": len(data), "model": description(model),
    }  # fmt: skip
    saved = checkpoints.latest(settings) if checkpoints and resume else None
    torch.manual_seed(seed + 1_000_003 * rank)  # of dropout: another one in each process
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99))
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min((k + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * k / steps))
    )
    home = next(model.parameters()).device
    if channels_last:
        model.to(memory_format=torch.channels_last)
    objective = _Objective(model, loss)
    wrapped, optimizer = accelerator.prepare(torch.compile(objective) if compiled else objective, optimizer)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    history, best, best_value, waited = History(), None, math.inf, 0
    running, since = 0.0, 0
    if saved:
        tensors, record = saved
        with torch.no_grad():
            model.load_state_dict(part("model", tensors))
        average = {k: v.to(average[k].device) for k, v in part("average", tensors).items()}
        best = {k: v.to(average[k].device) for k, v in part("best", tensors).items()} or None
        load_optimizer_state(optimizer, part("optimizer", tensors), record["groups"])
        schedule.load_state_dict({**schedule.state_dict(), **record["schedule"]})
        batches.resume(part("batches", tensors))
        history = History(**{**record["history"], "stopped": History.stopped})
        history.train, history.validation = ([tuple(e) for e in h] for h in (history.train, history.validation))
        best_value, waited, running, since = (record[k] for k in ("best_value", "waited", "running", "since"))
        load_random_states(part(f"random{rank}", tensors))
    spent, spent_cpu = history.seconds, history.cpu_seconds
    began, began_cpu = time.perf_counter(), time.process_time()

    def clock() -> None:
        history.seconds = spent + time.perf_counter() - began
        history.cpu_seconds = spent_cpu + time.process_time() - began_cpu

    def save() -> None:
        randoms = team.gathered(random_states())
        if not main:
            return
        clock()
        moments, groups = optimizer_state(optimizer)
        tensors = {
            **prefixed("model", model.state_dict()), **prefixed("average", average), **prefixed("best", best or {}),
            **prefixed("optimizer", moments), **prefixed("batches", batches.state()),
        }  # fmt: skip
        for k, states in enumerate(randoms):
            tensors |= prefixed(f"random{k}", states)
        plan = {k: v for k, v in schedule.state_dict().items() if k in ("last_epoch", "_step_count", "_last_lr")}
        record = {
            "groups": groups, "schedule": plan, "history": asdict(history), "best_value": best_value,
            "waited": waited, "running": running, "since": since,
        }  # fmt: skip
        checkpoints.save(history.steps, settings, tensors, record)

    model.train()
    try:
        with (
            progress(total=steps, initial=history.steps, label=label, unit="step", disable=not main) as bar,
            deferred_interrupt(enabled=checkpoints is not None and processes == 1) as interrupt,
        ):
            for step in range(history.steps + 1, steps + 1):
                x, y = (t.to(accelerator.device) for t in next(batches))
                optimizer.zero_grad(set_to_none=True)
                if hasattr(loss, "progress"):
                    loss.progress = (step - 1) / steps
                kept = (
                    f"the best weights so far are kept (step {history.best_step})" if best else "the weights are kept"
                )
                try:
                    number = _backward(team, wrapped, x, y, accumulate, precision)
                except FloatingPointError as error:  # the model has seen which term is not finite
                    raise NonFiniteLossError(f"at step {step}: {error}; {kept}") from None
                if math.isfinite(number):
                    norm = float(accelerator.clip_grad_norm_(model.parameters(), clip))
                if not (math.isfinite(number) and math.isfinite(norm)):
                    term = f"loss became {number}" if not math.isfinite(number) else f"gradient's norm became {norm}"
                    raise NonFiniteLossError(
                        f"the {term} at step {step}; {kept}. Lower the learning rate ({lr}) or look at the data"
                    )
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    decay = min(ema, step / (step + 10))  # a young average forgets the random start
                    for name, weight in model.state_dict().items():
                        if weight.is_floating_point():
                            average[name].lerp_(weight, 1 - decay)
                        else:  # a counter, such as that of a batch normalization
                            average[name].copy_(weight)
                running, since = running + number, since + 1
                bar.update(1)
                history.steps = step
                if step % evaluate_every == 0 or step == steps:
                    history.train.append((step, running / since))
                    running, since = 0.0, 0
                    if validation is not None:
                        with lent_weights(model, average):
                            nats = team.of_the_first(lambda: evaluate(model, validation).nats)
                        history.validation.append((step, nats))
                        waited += 1
                        if nats < best_value:
                            best_value, waited, history.best_step = nats, 0, step
                            best = {k: v.clone() for k, v in average.items()}
                        bar.set_postfix_str(f"train {history.train[-1][1]:.2f}, validation {nats:.2f} nats")
                    if tracker is not None and main:
                        tracker.log(step, {**history.newest(), "learning_rate": optimizer.param_groups[0]["lr"]})
                    if patience is not None and waited >= patience:
                        history.stopped = f"no improvement in {patience} evaluations"
                        break
                if checkpoints and (
                    step % (checkpoints.every or evaluate_every) == 0 or step == steps or interrupt.came
                ):
                    save()
                if interrupt.came:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        history.stopped = f"interrupted at step {history.steps}"
    finally:
        clock()
        if best is None:
            best, history.best_step = average, history.steps
        model.load_state_dict(best)
        model.to(home).eval()
    return history


def _backward(team: Processes, wrapped: nn.Module, x: Tensor, y: Tensor, parts: int, precision: str) -> float:
    """Add the gradient of the batch, part by part; the loss, averaged over all processes. Not finite: no gradient."""
    total = 0.0
    chunks = list(zip(x.chunk(parts), y.chunk(parts), strict=True))
    for k, (x_k, y_k) in enumerate(chunks):
        with (
            nullcontext() if k == len(chunks) - 1 else team.accelerator.no_sync(wrapped),
            team.autocast(precision),
        ):
            value = wrapped(x_k, y_k)
        share = value if len(chunks) == 1 else value * (len(x_k) / len(x))
        number = team.mean(share).item()
        total += number
        if not math.isfinite(number):
            return number
        team.accelerator.backward(share)
    return total
