"""One training loop for all likelihood models of the course, on Hugging Face Accelerate.

`fit` is the ten lines that lesson 04 shows (batch, loss, backward, step) with what makes a run dependable around
them: an exponential moving average of the weights, early stopping on validation data, gradient clipping, a progress
bar, and a stop with a reason when the loss is no longer finite.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from garm_course.evaluation.likelihood import evaluate
from garm_course.modes import lent_weights


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
    label: str = "training",
) -> History:
    """Train a model in place; on return it holds the averaged weights that were best on the validation data.

    Adam with a cosine schedule (from lr to 0 over `steps`, after a warm-up of 5 %). It trains on the device that
    Accelerate finds and returns to its own, in evaluation mode. An interrupt (Ctrl-C) ends the run early: the best
    weights are kept and `History.stopped` says so.

    Args:
        model: a likelihood model: `log_prob(x)`, or `log_prob(x, y)` where its `n_classes` is not 0. Or a model with
            `elbo(x)`, together with a loss for it.
        data: training examples (x, y); the last incomplete batch of an epoch is left out.
        validation: held-out examples; without them the last averaged weights are kept and nothing stops early.
            The weights that are kept are those of the best NLL, or of the best ELBO for a model with latents, whatever
            the loss: leave them out where the loss has another optimum (a beta other than 1, free bits).
        loss: (model, x, y) -> scalar in nats per example. If it has an attribute `progress`, that is set to the
            fraction of the steps done before each step (for schedules such as KL annealing).
        steps: gradient steps. batch_size: examples a step.
        lr: peak learning rate. weight_decay: decoupled (AdamW). clip: largest gradient norm.
        ema: decay of the moving average of the weights, in [0, 1); 0 switches it off.
        evaluate_every: steps between evaluations. patience: evaluations without improvement before the run stops.
        seed: of the order of the data and of dropout (torch's global generators are seeded with it).
        precision: "no" (that of the weights) or "bf16" (autocast in training; evaluation keeps that of the weights).
        label: text of the progress bar.

    Returns:
        History.

    Raises:
        NonFiniteLossError: the loss or its gradient became NaN or infinite; the model keeps the best weights seen
            before.
        ValueError: for an empty data set or settings outside their ranges.
    """
    from accelerate import Accelerator

    from garm_course.display.progressbar import progress

    for name, examples in (("training", data), ("validation", validation)):
        if examples is not None and len(examples) == 0:
            raise ValueError(f"expected {name} data, got an empty data set")
    for name, value, ok in (("steps", steps, steps >= 1), ("batch_size", batch_size, batch_size >= 1),
                            ("lr", lr, lr > 0), ("ema", ema, 0 <= ema < 1), ("clip", clip, clip > 0),
                            ("evaluate_every", evaluate_every, evaluate_every >= 1),
                            ("patience", patience, patience is None or patience >= 1),
                            ("precision", precision, precision in ("no", "bf16"))):  # fmt: skip
        if not ok:
            raise ValueError(f"{name}={value} is out of range; see the documentation of fit()")
    torch.manual_seed(seed)
    accelerator = Accelerator()  # without a precision, which it would fix for the whole process
    order = torch.Generator().manual_seed(seed)
    size = min(batch_size, len(data))
    loader = DataLoader(data, batch_size=size, shuffle=True, drop_last=True, generator=order)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99))
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min((k + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * k / steps))
    )
    home = next(model.parameters()).device
    wrapped, optimizer, loader = accelerator.prepare(_Objective(model, loss), optimizer, loader)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    history, best, best_value, waited = History(), None, math.inf, 0
    running, since = 0.0, 0
    began, began_cpu = time.perf_counter(), time.process_time()
    model.train()
    batches = iter(loader)
    try:
        with progress(total=steps, label=label, unit="step") as bar:
            for step in range(1, steps + 1):
                try:
                    x, y = next(batches)
                except StopIteration:
                    batches = iter(loader)
                    x, y = next(batches)
                optimizer.zero_grad(set_to_none=True)
                if hasattr(loss, "progress"):
                    loss.progress = (step - 1) / steps
                kept = (
                    f"the best weights so far are kept (step {history.best_step})" if best else "the weights are kept"
                )
                try:
                    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=precision == "bf16"):
                        value = wrapped(x, y)
                except FloatingPointError as error:  # the model has seen which term is not finite
                    raise NonFiniteLossError(f"at step {step}: {error}; the {kept}") from None
                number = value.item()
                if math.isfinite(number):
                    accelerator.backward(value)
                    norm = float(accelerator.clip_grad_norm_(model.parameters(), clip))
                if not (math.isfinite(number) and math.isfinite(norm)):
                    term = f"loss became {number}" if not math.isfinite(number) else f"gradient's norm became {norm}"
                    raise NonFiniteLossError(
                        f"the {term} at step {step}; the {kept}. Lower the learning rate ({lr}) or look at the data"
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
                            nats = evaluate(model, validation).nats
                        history.validation.append((step, nats))
                        waited += 1
                        if nats < best_value:
                            best_value, waited, history.best_step = nats, 0, step
                            best = {k: v.clone() for k, v in average.items()}
                        bar.set_postfix_str(f"train {history.train[-1][1]:.2f}, validation {nats:.2f} nats")
                        if patience is not None and waited >= patience:
                            history.stopped = f"no improvement in {patience} evaluations"
                            break
    except KeyboardInterrupt:
        history.stopped = f"interrupted at step {history.steps}"
    finally:
        history.seconds, history.cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
        if best is None:
            best, history.best_step = average, history.steps
        model.load_state_dict(best)
        model.to(home).eval()
    return history
