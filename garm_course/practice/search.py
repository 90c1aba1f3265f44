"""Search for settings: on a table of recorded trainings, where luck can be averaged out, and by real trainings.

`replay` plays a method of search on a recorded table many times, so that its regret has an error bar. `tune` trains,
through Optuna (`pip install "garm-course[tune]"`), whose storage several processes or machines may share.

Sources: Bergstra and Bengio (2012), "Random Search for Hyper-Parameter Optimization", JMLR 13; Jamieson and Talwalkar
(2016), arXiv 1502.07943 (successive halving); Li et al. (2020), arXiv 1810.05934 (ASHA); Bergstra et al. (2011),
"Algorithms for Hyper-Parameter Optimization", NIPS (TPE); Akiba et al. (2019), "Optuna", arXiv 1907.10902.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

METHODS = ("random", "median rule", "ASHA", "TPE", "TPE and median rule")


def halving(losses: Tensor, eta: int = 3) -> list[list[int]]:
    """Successive halving: every rung trains the best of the one before, 1 in `eta` of them; equation (20.3).

    Args:
        losses: (n, R), what each configuration has reached at each rung; smaller is better and NaN is worst.
        eta: at least 2.

    Returns:
        For each rung the configurations that are trained up to it, the first one all of them; at least one survives.

    Raises:
        ValueError: for an eta below 2 or losses of another shape.

    Example:
        >>> halving(torch.tensor([[3.0, 9.0], [1.0, 2.0], [2.0, 1.0]]))
        [[0, 1, 2], [1]]
    """
    if losses.ndim != 2 or not len(losses) or eta < 2:
        raise ValueError(f"expected losses (n, R) and eta >= 2, got {tuple(losses.shape)} and {eta}")
    rungs = [torch.arange(len(losses))]
    for rung in losses.nan_to_num(nan=math.inf).T[:-1]:
        alive = rungs[-1]
        rungs.append(alive[rung[alive].argsort(stable=True)[: max(1, len(alive) // eta)]])
    return [alive.tolist() for alive in rungs]


def expected_minimum(m: int) -> float:
    """c_m of equation (20.4): the best of m standard normal numbers lies at -c_m on average.

    Example:
        >>> round(expected_minimum(2), 4)  # 1 / sqrt(pi)
        0.5642
    """
    if m < 1:
        raise ValueError(f"expected m >= 1 tries, got {m}")
    t = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    density = m * normal.log_prob(t).exp() * normal.cdf(t) ** (m - 1)
    return torch.trapezoid(t * density, t).item()


@dataclass(frozen=True)
class Table:
    """Recorded trainings of every configuration of a grid.

    Attributes:
        settings: name -> its values, in order.
        steps: at which each training was looked at, the last one is its end.
        losses: (n, len(steps)), for all combinations, the last setting running fastest.
    """

    settings: dict[str, list]
    steps: list[int]
    losses: Tensor

    def __post_init__(self):
        n = math.prod(map(len, self.settings.values()))
        if tuple(self.losses.shape) != (n, len(self.steps)):
            raise ValueError(f"expected losses ({n}, {len(self.steps)}), got {tuple(self.losses.shape)}")

    def place(self, chosen: list[int]) -> int:
        """The row of a combination: an index into the values of each setting."""
        row = 0
        for index, values in zip(chosen, self.settings.values(), strict=True):
            row = row * len(values) + index
        return row

    def explained(self) -> dict[str, float]:
        """The share of the variance of the final losses that each setting explains alone."""
        final = self.losses[:, -1].view(*map(len, self.settings.values()))
        means = {
            name: final.mean([axis for axis in range(final.ndim) if axis != k]) for k, name in enumerate(self.settings)
        }
        return {name: (mean.var(correction=0) / final.var(correction=0)).item() for name, mean in means.items()}


def replay(table: Table, method: str, *, trainings: int, seed: int) -> Tensor:
    """The regret of one search on a table: how far its best finished training is from the table's best.

    The cost is counted in steps, and trainings that were stopped early are continued where they are taken up again.
    No configuration is trained twice by the random methods and ASHA.

    Args:
        table: recorded trainings.
        method: one of `METHODS`. The median rule stops a training that is worse than the median of those before it
            that were looked at at the same step, after five of them have finished. ASHA promotes a configuration to
            the next rung (a ninth, a third, all of the steps) as soon as it is among the best third of its rung.
        trainings: the budget in whole trainings.
        seed: of the search.

    Returns:
        (trainings,) nats after a cost of 1, 2, ... whole trainings; infinite as long as none has finished.

    Raises:
        ValueError: for an unknown method or a budget below 1. ImportError: TPE without Optuna.
    """
    if method not in METHODS or trainings < 1:
        raise ValueError(f"expected a method of {', '.join(METHODS)} and trainings >= 1, got {method!r}, {trainings}")
    found = _Found(table, trainings)
    rng = torch.Generator().manual_seed(seed)
    if method == "ASHA":
        _asha(found, torch.randperm(len(table.losses), generator=rng).tolist())
    elif method.startswith("TPE"):
        _with_sampler(found, seed, rule="median" in method)
    else:
        for row in torch.randperm(len(table.losses), generator=rng).tolist():
            if found.train(row, rule=method == "median rule") is None:
                break
    return found.regret()


class _Found:
    """What a search has spent, and the best that it has found."""

    def __init__(self, table: Table, trainings: int):
        self.table, self.left, self.spent = table, trainings * table.steps[-1], 0
        self.best = [(0, math.inf)]  # (steps spent, best final loss so far)
        self.seen: list[list[float]] = [[] for _ in table.steps]  # losses of all trainings at each look

    def pay(self, steps: int) -> bool:
        """Spend steps; False if there are not so many left."""
        if self.spent + steps > self.left:
            return False
        self.spent += steps
        return True

    def finish(self, loss: float) -> None:
        """A training has ended with this loss."""
        self.best.append((self.spent, min(loss, self.best[-1][1])))

    def train(self, row: int, *, rule: bool) -> float | None:
        """Train one configuration from the start: its last loss, or None if the budget ends meanwhile."""
        before, done = 0, len(self.seen[-1])
        for k, step in enumerate(self.table.steps):
            if not self.pay(step - before):
                return None
            before, loss = step, self.table.losses[row, k].item()
            others = sorted(self.seen[k])
            self.seen[k].append(loss)
            if rule and done >= 5 and step < self.table.steps[-1] and loss > others[len(others) // 2]:
                return loss
        self.finish(loss)
        return loss

    def regret(self) -> Tensor:
        """(trainings,) nats."""
        whole, least = self.table.steps[-1], self.table.losses[:, -1].min().item()
        after = [max(k for k, (spent, _) in enumerate(self.best) if spent <= whole * (m + 1)) for m in
                 range(self.left // whole)]  # fmt: skip
        return torch.tensor([self.best[k][1] - least for k in after])


def _asha(found: _Found, order: list[int]) -> None:
    """Asynchronous successive halving, eta = 3, on one worker."""
    steps = found.table.steps
    looks = [steps.index(min(steps, key=lambda step, r=r: abs(step - steps[-1] / 3**r))) for r in (2, 1, 0)]
    rungs: list[list[tuple[float, int]]] = [[] for _ in looks]  # (loss, row) of all that were trained up to a rung
    moved: list[set[int]] = [set() for _ in looks]
    while True:
        for r in (1, 0):  # from the top: is there one to promote?
            best = [row for _, row in sorted(rungs[r])[: len(rungs[r]) // 3] if row not in moved[r]]
            if best:
                row, target, cost = best[0], r + 1, steps[looks[r + 1]] - steps[looks[r]]
                moved[r].add(row)
                break
        else:
            if not order:
                return
            row, target, cost = order.pop(), 0, steps[looks[0]]
        if not found.pay(cost):
            return
        loss = found.table.losses[row, looks[target]].item()
        rungs[target].append((loss, row))
        if target == len(looks) - 1:
            found.finish(loss)


def _with_sampler(found: _Found, seed: int, *, rule: bool) -> None:
    """Optuna's TPE, which is told the last loss of every training, also of one that the rule stopped."""
    optuna = needs_optuna()
    space = {
        name: optuna.distributions.IntDistribution(0, len(values) - 1) for name, values in found.table.settings.items()
    }
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    while True:
        trial = study.ask(space)
        loss = found.train(found.table.place([trial.params[name] for name in space]), rule=rule)
        if loss is None:
            return
        study.tell(trial, loss)


def needs_optuna():
    """The module, quiet; ImportError with the command that installs it."""
    try:
        import optuna
    except ImportError:
        raise ImportError('searching needs Optuna: pip install "garm-course[tune]"') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
