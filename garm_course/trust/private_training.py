"""Training with differential privacy, in the loop that all trainings share.

A step draws its examples by itself (Poisson), asks `privacy.dp_sgd_grad` for the private gradient, and hands the
descent a loss that has exactly this gradient. What happens to a private gradient afterwards (Adam, schedules,
averages) costs no privacy.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from garm_course.datasets.pairs import as_pairs, plain, take
from garm_course.evaluation.likelihood import check_scores
from garm_course.inputs import check_settings
from garm_course.training.checkpoints import Part
from garm_course.training.loop import Descent, Plan, Record, check_trainable, fusible, run
from garm_course.training.processes import Processes
from garm_course.trust.privacy import clipped_sum, example_nll, noisy_mean, poisson_batch


@dataclass
class PrivateHistory(Record):
    """What happened during a run. These figures are computed from the data without noise: whoever trained the model may
    look at them, to publish them breaks the promise."""

    drawn: list[tuple[int, float]] = field(default_factory=list)  # (step, mean number of examples since the last entry)
    norms: list[tuple[int, float]] = field(default_factory=list)  # (step, mean norm of an example's gradient)
    clipped: list[tuple[int, float]] = field(default_factory=list)  # (step, mean share of examples that were clipped)


def fit_private(
    model: nn.Module,
    data: Dataset,
    *,
    C: float,
    sigma: float,
    lr: float = 2e-3,
    look_every: int = 50,
    chunk: int = 64,
    **plan: object,
) -> PrivateHistory:
    """Train a likelihood model by DP-SGD with Adam, in place; `privacy.epsilon` says what that promises.

    Every step draws each example with the probability rate = batch_size / N. The rate falls to 0 along a cosine, after
    a warm-up of 5 %, as in `fit`.

    Args:
        model: with `log_prob(x) -> (B,)` in nats, and without classes.
        data: N training examples, see `datasets.pairs.as_pairs`.
        C: largest norm of an example's gradient, above 0; infinity does not clip.
        sigma: noise multiplier, at least 0; without noise there is no privacy, and epsilon is infinite.
        lr: peak learning rate, above 0.
        look_every: steps between entries of the history.
        chunk: examples whose gradients are in memory at a time.
        plan: steps (1000), batch_size (64, the expected one), ema (0), seed (0), checkpoints, resume, tracker, label:
            see `training.Plan`. In several processes all compute the same.

    Returns:
        PrivateHistory.

    Raises:
        NonFiniteLossError: a gradient became NaN or infinite.
        ValueError: for settings out of range, noise without a clip, an empty data set, a model with classes, or weights
            that cannot move.
        TypeError: for an unknown option, what is no data set, or a model without `log_prob`.

    Source:
        Abadi et al. (2016), arXiv 1607.00133; settings: Ponomareva et al. (2023), "How to DP-fy ML", arXiv 2303.00654.
    """
    plan = Plan.of(**plan)
    check_settings(0, above=True, C=C, lr=lr)
    check_settings(0, sigma=sigma)
    check_settings(1, whole=True, look_every=look_every)
    if sigma and math.isinf(C):
        raise ValueError("expected a finite C with noise, whose size is sigma * C; choose the clip, or sigma=0")
    check_trainable(model=model)
    check_scores(model, "log_prob")
    if getattr(model, "n_classes", 0):
        raise ValueError("expected a model without classes; build it with n_classes=0")
    data = plain(as_pairs(data))
    if len(data) == 0:
        raise ValueError("expected training data, got an empty data set")
    descent, history = Descent(team := Processes()), PrivateHistory()
    x = take(data, list(range(len(data))))[0].to(team.device)
    rate = min(1.0, plan.batch_size / len(x))
    draws = torch.Generator().manual_seed(plan.seed)  # of examples and of noise
    torch.manual_seed(plan.seed)  # of dropout
    adam = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.99), fused=fusible(model, team.device))
    loss, warmup = example_nll(model), max(1, plan.steps // 20)

    def step(number: int) -> dict[str, Tensor]:
        rows = poisson_batch(len(x), rate, draws).to(x.device)
        weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        total, norms = clipped_sum(loss, weights, x[rows], C, chunk)
        noise = {
            name: torch.randn(weight.shape, generator=draws, dtype=weight.dtype).to(weight.device)
            for name, weight in (weights if sigma else {}).items()
        }
        private = noisy_mean(total, C, sigma, noise, rate * len(x))
        objective = sum((private[name] * weight).sum() for name, weight in weights.items())
        descent({"model": ([adam], objective)})
        n = max(1, len(norms))
        drawn = torch.tensor(float(len(norms)), device=x.device)
        return {"drawn": drawn, "norm": norms.sum() / n, "clipped": (norms > C).sum() / n}

    def look(number: int, means: dict[str, float]) -> dict[str, float]:
        history.drawn.append((number, means["drawn"]))
        history.norms.append((number, means["norm"]))
        history.clipped.append((number, means["clipped"]))
        return {"gradient_norm": means["norm"], "clipped": means["clipped"]}

    run(
        step, model, plan, history, averaged=model, optimizers={"all": adam}, look=look, every=look_every,
        rate=lambda done: min((done + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * done / plan.steps)), descent=descent,
        state={"draws": Part(lambda: {"state": draws.get_state()}, lambda state: draws.set_state(state["state"]))},
        settings={"lr": lr, "C": C, "sigma": sigma, "look_every": look_every, "examples": len(x)},
    )  # fmt: skip
    return history
