"""How well a cost tells members from others: the area under the ROC curve, with ties counted half."""

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.trust.membership import membership_auc


def _pairs(wins):
    """An answer from what a pair of costs, member's and other's, counts."""
    return lambda m, o: wins(m[:, None], o[None]).double().mean().item()


def _by_row(m: Tensor, o: Tensor) -> float:
    n = min(len(m), len(o))
    return ((o[:n] - m[:n]).sign().mean().item() + 1) / 2


def _accuracy(m: Tensor, o: Tensor) -> float:
    cuts = torch.cat([m, o])
    return ((m[None] <= cuts[:, None]).to(m).mean(1) + (o[None] > cuts[:, None]).to(m).mean(1)).max().item() / 2


def _advantage(m: Tensor, o: Tensor) -> float:
    cuts = torch.cat([m, o])
    return ((m[None] <= cuts[:, None]).to(m).mean(1) - (o[None] <= cuts[:, None]).to(m).mean(1)).max().item()


def _ranks(m: Tensor, o: Tensor) -> float:
    both = torch.cat([o, m])
    less = (both[None] < m[:, None]).sum(1)
    at = (both[None] == m[:, None]).sum(1)
    rank = less + (at + 1) / 2  # 1 for the smallest of all, the middle one among ties
    u = rank.double().sum() - len(m) * (len(m) + 1) / 2
    return (1 - u / (len(m) * len(o))).item()


def _scikit(m: Tensor, o: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    truth = [1] * len(m) + [0] * len(o)
    return float(roc_auc_score(truth, (-torch.cat([m, o])).numpy()))


def _loop(m: Tensor, o: Tensor) -> float:
    won = sum(float(a < b) + 0.5 * float(a == b) for a in m.tolist() for b in o.tolist())
    return won / (len(m) * len(o))


def _by_curve(m: Tensor, o: Tensor) -> float:
    cuts = torch.cat([m, o]).unique()
    tpr, fpr = ((s[None] <= cuts[:, None]).double().mean(1) for s in (m, o))
    tpr, fpr = (torch.cat([torch.zeros(1, dtype=torch.float64), rate]) for rate in (tpr, fpr))
    return torch.trapezoid(tpr, fpr).item()


def _sorted_in_place(m: Tensor, o: Tensor) -> float:
    m.copy_(m.sort().values)
    return membership_auc(m, o)


TIES = (
    torch.tensor([3.0, 1.5, 3.0, 2.5, 7.0], dtype=torch.float64),
    torch.tensor([2.5, 3.0, 3.0, 8.0, 1.5, 9.5, 3.0], dtype=torch.float64),
)
SAME = 70 + 8 * random(6, seed=1)
FLAT = torch.full((4,), 2.5, dtype=torch.float64)
NEAR = torch.tensor([1.0, 1e6], dtype=torch.float64)
ONE = "Right except where there is one member or one other: squeeze() without an axis removes such an axis."
FLOAT = "Right for float64, not for float32: convert the comparisons with .double() before the mean."
EQUAL = "Right except where all costs are equal: every pair is a tie then, and counts one half."
APART = "Right except where the costs are far apart or nearly equal: compare them exactly, without a tolerance."

EXERCISE = Exercise(
    name="membership_auc",
    lesson="19",
    reference=membership_auc,
    rule="Over all pairs of a member and an other: the share in which the member costs less, plus half of the share in "
    "which both cost the same.",
    probes=[
        plain(75 + 0.8 * random(6, seed=2), 75.5 + 0.8 * random(9, seed=3)),
        plain(*TIES),
        same(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0, 0.0])),
        same(SAME, SAME.flip(0)),
        same(SAME - 100, SAME),
        same(SAME + 100, SAME),
        edge(same(FLAT, FLAT[:3]), EQUAL),
        edge(same(NEAR, NEAR + torch.tensor([1e-9, -1.0]).double()), APART),
        edge(same((75 + 9 * random(5, seed=4)).float(), (80 + 9 * random(7, seed=5)).float()), FLOAT),
        edge(same(random(1, seed=6), random(5, seed=7)), ONE),
        edge(same(random(4, seed=8), random(1, seed=9)), ONE),
    ],
    mistakes=[
        (
            _pairs(lambda m, o: (m > o) + 0.5 * (m == o)),
            "The direction is wrong: members have a lower NLL, so a pair counts 1 where the member costs less.",
        ),
        (
            _pairs(lambda m, o: m <= o),
            "A tie counts 1 here: a cost that is the same tells nothing, so it counts one half.",
        ),
        (
            _pairs(lambda m, o: m < o),
            "A tie counts 0 here: a cost that is the same tells nothing, so it counts one half.",
        ),
        (
            _pairs(lambda m, o: (m < o) + 0.25 * (m == o)),
            "A tie counts a quarter here: it counts one half.",
        ),
        (
            _by_row,
            "Members and others are paired row by row: compare every member with every other, (M, 1) with (1, N).",
        ),
        (
            _accuracy,
            "This is the accuracy of the best single threshold: the area averages over all thresholds.",
        ),
        (
            _advantage,
            "This is the largest TPR - FPR, the advantage at one threshold: the area averages over all thresholds.",
        ),
        (
            lambda m, o: 2 * membership_auc(m, o) - 1,
            "This is 2 AUC - 1, the Gini coefficient: it is 0 for costs that tell nothing, and the area is 1/2.",
        ),
        (
            lambda m, o: max(membership_auc(m, o), 1 - membership_auc(m, o)),
            "Areas below 1/2 are turned around: an attack that is worse than chance must stay visible.",
        ),
        (
            lambda m, o: membership_auc(m, o) * len(m) * len(o),
            "This is the count of pairs that the members win: divide it by the number of pairs.",
        ),
        (
            lambda m, o: membership_auc(m, o) * len(o),
            "The pairs are divided by the number of members only: divide by M times N.",
        ),
        (
            lambda m, o: membership_auc(m, o) * len(m),
            "The pairs are divided by the number of others only: divide by M times N.",
        ),
        (
            lambda m, o: (m < o.mean()).to(m).mean().item(),
            "The members are compared with the mean of the others: compare every member with every other.",
        ),
        (
            lambda m, o: (m < o.median()).to(m).mean().item(),
            "The members are compared with the median of the others: compare every member with every other.",
        ),
        (
            lambda m, o: (m.mean() < o).to(m).mean().item(),
            "The mean of the members is compared with the others: compare every member with every other.",
        ),
        (
            lambda m, o: (m.mean() < o.mean()).to(m).item(),
            "Only the two means are compared: take the share over all pairs.",
        ),
        (
            lambda m, o: (o.mean() - m.mean()).item(),
            "This is the gap of the mean costs, in nats: the area counts pairs.",
        ),
        (
            lambda m, o: torch.sigmoid(o[None] - m[:, None]).mean().item(),
            "The sigmoid softens the comparison: a pair counts 1, one half or 0.",
        ),
        (
            lambda m, o: membership_auc(torch.cat([m, o]), o),
            "The others are among the members as well: compare the M members with the N others.",
        ),
        (
            lambda m, o: membership_auc(m, torch.cat([m, o])),
            "The members are among the others as well: compare the M members with the N others.",
        ),
        (
            lambda m, o: membership_auc(m.round(), o.round()),
            "The costs are rounded first, which makes ties where there are none: compare them as they are.",
        ),
        (
            lambda m, o: ((o[None] - m[:, None]).sign().mean(1) > 0).to(m).mean().item(),
            "This counts the members that win most of their pairs: take the mean over all pairs at once.",
        ),
        (_sorted_in_place, "The members are sorted in place: work on a copy."),
    ],
    accepts=[
        _ranks,
        _scikit,
        _loop,
        _by_curve,
        lambda m, o: (((o[None] - m[:, None]).double().sign().mean() + 1) / 2).item(),
    ],
    speed=Speed(lambda: (torch.rand(600), torch.rand(700))),
)
