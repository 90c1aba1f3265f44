"""How much a trained model prefers a secret that was planted in its data; equation (19.2)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.trust.memorization import exposure


def _of(rank=lambda c, r: 1 + (r[None] < c[:, None]).sum(1), size=lambda r: len(r) + 1, log=torch.log2):
    """An answer with another rank, another number of candidates, or another logarithm."""

    def answer(canary_nll: Tensor, ref_nll: Tensor) -> Tensor:
        whole = log(torch.tensor(float(size(ref_nll)), dtype=canary_nll.dtype))
        return whole - log(rank(canary_nll, ref_nll).to(canary_nll))

    return answer


def _sorted(change: Callable[[Tensor], Tensor] = lambda r: r.sort().values, right: bool = False):
    return _of(lambda c, r: 1 + torch.searchsorted(change(r).contiguous(), c.contiguous(), right=right))


def _loop(canary_nll: Tensor, ref_nll: Tensor) -> Tensor:
    bits = []
    for c in canary_nll.tolist():
        rank = 1 + sum(r < c for r in ref_nll.tolist())
        bits.append(math.log2((len(ref_nll) + 1) / rank))
    return torch.tensor(bits, dtype=canary_nll.dtype)


def _in_place(canary_nll: Tensor, ref_nll: Tensor) -> Tensor:
    ref_nll.copy_(ref_nll.sort().values)
    return exposure(canary_nll, ref_nll)


REFERENCES = 40 + 5 * random(37, seed=1)
CANARIES = torch.cat([40 + 5 * random(6, seed=2), torch.tensor([-90.5, 400.25], dtype=torch.float64)])
TIED = torch.tensor([3.0, 1.0, 2.0, 2.0, 5.0], dtype=torch.float64)
ONE = "Right except for a single canary or reference: squeeze() without an axis removes such an axis."
FLOAT = "Right for float64, not for float32: the ranks are counts, which become floats before log2."

EXERCISE = Exercise(
    name="exposure",
    lesson="19",
    reference=exposure,
    rule="The rank of a canary is 1 + the number of references with a lower cost, and its exposure is log2(R + 1) - "
    "log2(rank), one number for each canary.",
    probes=[
        plain(CANARIES, REFERENCES),
        same(60 + 9 * random(4, seed=3), 55 + 12 * random(200, seed=4)),
        same(torch.tensor([2.5, 0.5]), torch.tensor([3.0, 1.0, 2.0])),
        same(torch.tensor([2.0, 5.0, 1.0, 9.0], dtype=torch.float64), TIED),
        edge(same((30 + 4 * random(5, seed=5)).float(), (30 + 4 * random(11, seed=6)).float()), FLOAT),
        edge(same(40 + random(1, seed=7), 40 + random(19, seed=8)), ONE),
        edge(same(40 + random(3, seed=9), 40 + random(1, seed=10)), ONE),
    ],
    axes=("canary",),
    any_dtype=True,
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _of(lambda c, r: 1 + (r[None] > c[:, None]).sum(1)),
            "The ranks are upside down: rank 1 is the lowest cost, so count the references that cost less.",
        ),
        (
            _of(log=torch.log),
            "These are nats: exposure is measured in bits, so take log2 in both terms.",
        ),
        (
            _of(size=len),
            "The canary itself is one of the candidates: there are R + 1 ranks, so the first term is log2(R + 1).",
        ),
        (
            _of(lambda c, r: (r[None] < c[:, None]).sum(1)),
            "The best canary has rank 0 here, and log2(0) is minus infinity: ranks start at 1.",
        ),
        (
            _of(lambda c, r: (r[None] < c[:, None]).sum(1).clamp(min=1)),
            "The ranks start at 0, and the 0 is clamped to 1, so ranks 1 and 2 are the same: add 1 instead.",
        ),
        (
            _sorted(lambda r: r),
            "searchsorted needs sorted references: these come in any order, so take ref_nll.sort().values.",
        ),
        (
            _sorted(lambda r: r.sort(descending=True).values),
            "searchsorted needs references that ascend: these are sorted the other way round.",
        ),
        (
            _of(lambda c, r: 1 + (r[None] <= c[:, None]).sum(1)),
            "A reference that costs exactly as much as the canary does not come before it: count with <, not with <=.",
        ),
        (
            _of(lambda c, r: 1 + (c[None] < c[:, None]).sum(1)),
            "The canaries are ranked among each other: rank each of them among the references.",
        ),
        (
            _of(lambda c, r: 1 + (torch.cat([r, c])[None] < c[:, None]).sum(1)),
            "Other canaries count as references: each canary is ranked among the R references alone.",
        ),
        (
            _of(lambda c, r: 1 + (torch.cat([r, c])[None] < c[:, None]).sum(1), lambda r: len(r) + 8),
            "The canaries are put among the references: rank each of them among the R references alone.",
        ),
        (
            lambda c, r: exposure(c, r).mean(),
            "This is one number for all canaries: return one for each.",
        ),
        (
            lambda c, r: exposure(c.mean()[None], r).expand(len(c)),
            "The costs of the canaries are averaged first: each canary has a rank of its own.",
        ),
        (
            lambda c, r: exposure(r, c)[: len(c)],
            "The arguments are exchanged: the canaries are ranked among the references.",
        ),
        (
            lambda c, r: math.log2(len(r) + 1) - (1 + (r[None] < c[:, None]).sum(1)).to(c),
            "The rank itself is subtracted: take log2 of it as well.",
        ),
        (
            _of(lambda c, r: torch.ones_like(c)),
            "Every canary gets rank 1: count the references that cost less than it does.",
        ),
        (
            lambda c, r: _of(size=lambda r: 1)(c, r),
            "The first term, log2(R + 1), is missing: without it the best canary has 0 bits.",
        ),
        (
            lambda c, r: (r[None] < c[:, None]).to(c).mean(1),
            "This is the share of references that cost less. Turn it into bits: log2(R + 1) - log2(rank).",
        ),
        (
            lambda c, r: -(r[None] < c[:, None]).to(c).mean(1).log2(),
            "This is minus log2 of the share of references that cost less, infinite for the best canary: the rank "
            "counts the canary itself, so it starts at 1.",
        ),
        (
            lambda c, r: r.mean() - c,
            "These are differences of costs in nats: exposure compares ranks only.",
        ),
        (
            lambda c, r: (r.mean() - c) / math.log(2),
            "These are differences of costs in bits: exposure compares ranks only.",
        ),
        (
            _of(lambda c, r: 1 + (r[None] < c[:, None]).sum(1) // 2),
            "The ranks are halved: count every reference that costs less.",
        ),
        (
            lambda c, r: exposure(c, r).clamp(min=1.0),
            "The bits stop at 1: the last rank, R + 1, has an exposure of 0 bits.",
        ),
        (_in_place, "The references are sorted in place: sort a copy, ref_nll.sort().values."),
    ],
    accepts=[
        _loop,
        _sorted(),
        lambda c, r: -((1 + (r[:, None] < c).sum(0)) / (len(r) + 1)).log2().to(c),
        lambda c, r: (math.log(len(r) + 1) - (1 + (r[None] < c[:, None]).sum(1)).to(c).log()) / math.log(2),
    ],
    speed=Speed(lambda: (torch.rand(100), torch.rand(2000))),
)
