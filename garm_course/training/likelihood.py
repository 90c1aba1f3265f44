"""Training of likelihood models.

`fit` is the ten lines that lesson 04 shows (batch, loss, backward, step) in the loop that all trainings share, see
`loop`, with a schedule, gradient clipping, and early stopping on validation data. The same lines run on a laptop and on
several GPUs of several machines.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from garm_course.datasets import Dataset as CourseData
from garm_course.datasets.pairs import as_pairs, plain, take
from garm_course.evaluation.likelihood import check_scores, evaluate, told_more
from garm_course.inputs import check_settings
from garm_course.training.batches import Batches
from garm_course.training.checkpoints import Part
from garm_course.training.loop import Descent, Plan, Record, check_trainable, check_weights, fusible, plain_number, run
from garm_course.training.optimizers import optimizers
from garm_course.training.processes import Processes


@dataclass
class History(Record):
    """What happened during a run: losses in nats per example."""

    train: list[tuple[int, float]] = field(default_factory=list)  # (step, mean loss since the last entry)
    validation: list[tuple[int, float]] = field(default_factory=list)  # (step, NLL with averaged weights)
    best_step: int = 0

    def kept(self) -> str:
        """Which weights a run that ends now keeps, in words."""
        return f"the best weights so far are kept (step {self.best_step})" if self.best_step else "the weights are kept"


def negative_log_likelihood(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """-log p(x), or -log p(x | y) for a model told a class or a caption: nats per example, averaged over the batch."""
    return -(model.log_prob(x, y) if told_more(model) else model.log_prob(x)).mean()


def _check_validation(data: Dataset) -> None:
    """Refuse now what could not be evaluated later; the course's own data need no look at an example."""
    if len(data) == 0:
        raise ValueError("expected validation data, got an empty data set; leave it out to keep the last weights")
    data = plain(data)
    if not isinstance(data, CourseData):
        take(data, [0])


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    validation: Dataset | None = None,
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor] = negative_log_likelihood,
    lr: float = 2e-3,
    muon: float | None = None,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    ema: float = 0.995,
    evaluate_every: int = 100,
    patience: int | None = None,
    **plan: object,
) -> History:
    """Train a model in place; on return it holds the averaged weights that were best on the validation data.

    AdamW, or Muon and AdamW, with a cosine schedule (from the peak rate to 0 over `steps`, after a warm-up of 5 %). It
    trains on the device that Accelerate finds and returns to its own, in evaluation mode. An interrupt (Ctrl-C) ends
    the run early: the best weights are kept and `History.stopped` says so.

    Started by `torchrun` or `accelerate launch` in several processes, each takes its part of every batch, and the
    losses are those of one process; the first process alone evaluates, saves and shows progress.

    Args:
        model: a likelihood model: `log_prob(x)`, or `log_prob(x, y)` where its `n_classes` is not 0. Or a model with
            `elbo(x)`, together with a loss for it.
        data: training examples (x, y), or x alone for a model without classes: any data set with a length, also a
            tensor or a NumPy array, see `datasets.pairs.as_pairs`. The last incomplete batch of an epoch is left out.
        validation: held-out examples; without them the last averaged weights are kept and nothing stops early.
            The weights that are kept are those of the best NLL, or of the best ELBO for a model with latents, whatever
            the loss: leave them out where the loss has another optimum (a beta other than 1, free bits).
        loss: (model, x, y) -> scalar in nats per example. If it has an attribute `progress`, that is set to the
            fraction of the steps done before each step (for schedules such as KL annealing).
        lr: peak learning rate of AdamW, above 0.
        muon: peak learning rate of Muon for the hidden matrices, above 0 (.02 is usual), and AdamW for the rest, see
            `optimizers`; None for AdamW alone.
        weight_decay: decoupled (AdamW), at least 0.
        clip: largest gradient norm, above 0.
        ema: decay of the moving average of the weights, in [0, 1); 0 switches it off.
        evaluate_every: steps between evaluations, at least 1.
        patience: evaluations without improvement before the run stops, at least 1; None to take all steps.
        plan: steps (1000), batch_size (64), seed (0), precision, checkpoints, resume, tracker, label: see `loop.Plan`.

    Returns:
        History.

    Raises:
        NonFiniteLossError: the loss or its gradient became NaN or infinite; the model keeps the best weights seen
            before.
        ValueError: for an empty data set, settings outside their ranges, weights that cannot move (frozen, or under
            `no_grad`), a batch that the processes cannot share, or a checkpoint that is damaged or belongs to other
            settings.
        TypeError: for an unknown option, what is no data set (a DataLoader), or a model without `log_prob`.
        OSError: a checkpoint cannot be written.
    """
    plan = Plan.of(ema=ema, **plan)
    lr, muon, weight_decay, clip = map(plain_number, (lr, muon, weight_decay, clip))
    check_settings(0, above=True, lr=lr, muon=1 if muon is None else muon, clip=clip)
    check_settings(0, weight_decay=weight_decay)
    check_settings(1, whole=True, evaluate_every=evaluate_every, patience=1 if patience is None else patience)
    check_trainable(model=model)
    if loss is negative_log_likelihood:
        check_scores(model, "log_prob")
    if validation is not None:
        check_scores(model, "log_prob", "elbo")
        _check_validation(as_pairs(validation))
    descent = Descent(team := Processes())
    order = torch.Generator().manual_seed(plan.seed)
    batches = Batches(data, plan.batch_size, order, team=team)
    torch.manual_seed(plan.seed + 1_000_003 * team.rank)  # of dropout: another one in each process
    parts = optimizers(model, lr=lr, muon=muon, weight_decay=weight_decay, fused=fusible(model, team.device))
    history, best, warmup = History(), {}, max(1, plan.steps // 20)

    def rate(done: int) -> float:
        return min((done + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * done / plan.steps))

    def step(number: int) -> dict[str, Tensor]:
        x, y = next(batches)
        if hasattr(loss, "progress"):
            loss.progress = (number - 1) / plan.steps
        value = loss(model, x, y)
        descent({"model": (list(parts.values()), value)}, clip)
        return {"loss": value}

    def look(number: int, means: dict[str, float]) -> dict[str, float]:
        history.train.append((number, means["loss"]))
        figures = {"train/nats": means["loss"], "learning_rate": lr * rate(number)}
        if validation is None:
            return figures
        nats = team.of_the_first(lambda: evaluate(model, validation).nats)
        if nats < dict(history.validation).get(history.best_step, math.inf):
            history.best_step = number
            best.update({name: weight.clone() for name, weight in model.state_dict().items()})
        history.validation.append((number, nats))
        waited = sum(entry > history.best_step for entry, _ in history.validation)
        if patience is not None and waited >= patience:
            history.stopped = f"no improvement in {patience} evaluations"
        return {**figures, "validation/nats": nats}

    def go_on(state: dict[str, Tensor]) -> None:
        if state:
            check_weights(state, model.state_dict())
        best.update(state)

    try:
        run(
            step, model, plan, history, averaged=model, optimizers=parts, rate=rate, look=look,
            every=evaluate_every, state={"batches": batches, "best": Part(best.copy, go_on)}, descent=descent,
            settings={"lr": lr, "muon": muon, "weight_decay": weight_decay, "clip": clip,
                      "evaluate_every": evaluate_every, "patience": patience, "examples": len(data)},
        )  # fmt: skip
    finally:
        if best:
            model.load_state_dict(best)
        else:
            history.best_step = history.steps
    return history
