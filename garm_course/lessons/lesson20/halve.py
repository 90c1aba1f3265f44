"""Successive halving: which configurations are trained up to each rung; equation (20.3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def halve(losses: Tensor, eta: int) -> list[list[int]]:
    """Keep one configuration in eta at each rung, the best by what was measured there.

    Args:
        losses: (n, R), the validation loss of configuration i at rung r; NaN for one that diverged.
        eta: at least 2.

    Returns:
        R lists: the indices that are trained up to rung r, best first from the second list on.

    >>> halve(torch.tensor([[3.0, 1.0], [1.0, 2.0], [2.0, 3.0]]), 3)
    [[0, 1, 2], [1]]
    """
    alive = list(range(len(losses)))
    rungs = [alive]
    for r in range(losses.shape[1] - 1):
        order = losses[alive, r].nan_to_num(nan=torch.inf).argsort()
        alive = [alive[i] for i in order[: max(1, len(alive) // eta)].tolist()]
        rungs.append(alive)
    return rungs


def _with(
    key: Callable = lambda losses, i, r: losses[i, r].nan_to_num(nan=torch.inf).item(),
    many: Callable = lambda k, eta: max(1, k // eta),
    first: Callable = lambda n, key: list(range(n)),
    pool: Callable = lambda alive, n: alive,
    names: Callable = lambda order, alive: order,
):
    """An answer with another part."""

    def answer(losses: Tensor, eta: int) -> list[list[int]]:
        n, R = losses.shape
        alive = first(n, lambda i: key(losses, i, 0))
        rungs = [alive]
        for r in range(R - 1):
            order = sorted(pool(alive, n), key=lambda i: key(losses, i, r))[: many(len(alive), eta)]
            alive = names(order, alive)
            rungs.append(alive)
        return rungs

    return answer


def _next_rung(losses: Tensor, eta: int) -> list[list[int]]:
    alive = list(range(len(losses)))
    rungs = [alive]
    for r in range(1, losses.shape[1]):
        alive = sorted(alive, key=lambda i: losses[i, r].nan_to_num(nan=torch.inf).item())[: max(1, len(alive) // eta)]
        rungs.append(alive)
    return rungs


def _only_last(losses: Tensor, eta: int) -> list[int]:
    return halve(losses, eta)[-1]


def _by_masks(losses: Tensor, eta: int) -> list[list[int]]:
    inside = torch.ones(len(losses), dtype=torch.bool)
    rungs = [inside.nonzero().flatten().tolist()]
    for r in range(losses.shape[1] - 1):
        value = losses[:, r].masked_fill(losses[:, r].isnan(), torch.inf).masked_fill(~inside, torch.inf)
        keep = value.topk(max(1, int(inside.sum()) // eta), largest=False).indices
        inside = torch.zeros_like(inside).index_fill(0, keep, True)
        rungs.append(inside.nonzero().flatten().tolist())
    return rungs


def _tensors(losses: Tensor, eta: int) -> list[Tensor]:
    alive = torch.arange(len(losses))
    rungs = [alive]
    for r in range(losses.shape[1] - 1):
        alive = alive[losses[alive, r].argsort()[: max(1, len(alive) // eta)]]  # torch sorts NaN to the end
        rungs.append(alive)
    return rungs


def _indices(answer: Callable, losses: Tensor, eta: int) -> list[list[int]]:
    """The rungs with their indices in order, since the order inside of a rung is free."""
    rungs = answer(losses, eta)
    if type(rungs) not in (list, tuple) or not all(isinstance(rung, (list, tuple, set, Tensor)) for rung in rungs):
        return rungs
    return [sorted(int(i) for i in rung) for rung in rungs]


def _table(n: int, R: int, seed: int) -> Tensor:
    """Losses that fall along the rungs and cross each other."""
    return 100 + 10 * random(n, R, seed=seed) - 5 * torch.arange(R)


def _diverged(losses: Tensor, *at: tuple[int, int]) -> Tensor:
    losses = losses.clone()
    for i, r in at:
        losses[i, r:] = torch.nan
    return losses


NINE = _diverged(_table(9, 3, seed=2), (0, 0), (4, 0))
LONELY = torch.full((5, 3), torch.nan, dtype=torch.float64)
LONELY[3] = torch.tensor([9.0, 8.0, 7.0])
NAN = "The run that did not diverge is lost: NaN is the worst loss, so replace it by infinity before you sort."

EXERCISE = Exercise(
    name="halve",
    lesson="20",
    reference=halve,
    rule="Rung 0 trains all n. To rung r + 1 go the max(1, k // eta) smallest losses[:, r] among the k that are "
    "trained up to rung r; NaN counts as infinite.",
    probes=[
        same(_table(27, 4, seed=1), 3, use=_indices),
        same(torch.tensor([[3.0, 1.0], [1.0, 2.0], [2.0, 3.0]]), 3, use=_indices),
        same(NINE, 3, use=_indices),
        same(NINE, 2, use=_indices),
        same(_table(5, 3, seed=3), 3, use=_indices),
        same(_table(16, 5, seed=4).float(), 2, use=_indices),
        edge(same(LONELY, 5, use=_indices), NAN),
        edge(same(_table(4, 1, seed=5), 2, use=_indices), "Right except for a single rung: it trains all of them."),
        edge(same(_table(1, 3, seed=6), 3, use=_indices), "Right except for one configuration: it goes to each rung."),
    ],
    mistakes=[
        (
            _with(key=lambda losses, i, r: -losses[i, r].nan_to_num(nan=torch.inf).item()),
            "The largest losses are kept: small is good.",
        ),
        (
            _with(key=lambda losses, i, r: losses[i, -1].nan_to_num(nan=torch.inf).item()),
            "All rungs are ranked by the last one, which has not been trained yet: at rung r only losses[:, r] is "
            "known.",
        ),
        (
            _with(key=lambda losses, i, r: losses[i, 0].nan_to_num(nan=torch.inf).item()),
            "All rungs are ranked by the first one: a survivor was trained on, so look at losses[:, r].",
        ),
        (_next_rung, "The survivors are chosen by the rung that they go to: they are not trained that far yet."),
        (
            _with(key=lambda losses, i, r: losses[i, r].nan_to_num(nan=-torch.inf).item()),
            "A NaN is ranked first: a run that diverged is the worst one.",
        ),
        (_with(many=lambda k, eta: -(-k // eta)), "k / eta is rounded up: keep k // eta, at least one."),
        (_with(many=lambda k, eta: max(1, round(k / eta))), "k / eta is rounded: keep k // eta, at least one."),
        (_with(many=lambda k, eta: k - k // eta), "One in eta is dropped: one in eta is kept."),
        (_with(many=lambda k, eta: k // eta), "Nobody is left: at least one survives, max(1, k // eta)."),
        (_with(many=lambda k, eta: max(1, k // 2)), "Half of them survive at each rung: one in eta does."),
        (_with(many=lambda k, eta: max(1, k - eta)), "eta configurations are dropped: keep one in eta, k // eta."),
        (_with(many=lambda k, eta: eta), "eta configurations are kept at each rung: keep k // eta of them."),
        (_with(many=lambda k, eta: 1), "Only the best one survives the first rung: keep k // eta."),
        (
            _with(names=lambda order, alive: [alive.index(i) for i in order]),
            "These are positions among the survivors: return indices of configurations, rows of losses.",
        ),
        (
            _with(pool=lambda alive, n: list(range(n))),
            "Configurations that were stopped come back: choose among those that were trained up to rung r.",
        ),
        (
            lambda losses, eta: [list(range(len(losses))), *halve(losses, eta)][: losses.shape[1]],
            "The first two rungs both train all: the first choice is made by losses[:, 0].",
        ),
        (lambda losses, eta: halve(losses, eta)[1:], "Rung 0 is missing: its list has all n configurations."),
        (_only_last, "Only the last rung is returned: a list for each of the R rungs."),
        (
            lambda losses, eta: [len(rung) for rung in halve(losses, eta)],
            "These are the counts: return the indices themselves.",
        ),
        (
            lambda losses, eta: [[losses[i, r].item() for i in rung] for r, rung in enumerate(halve(losses, eta))],
            "These are the losses of the survivors: return their indices.",
        ),
    ],
    accepts=[_by_masks, _tensors, _with()],
    speed=Speed(lambda: (torch.rand(192, 4), 3)),
)
