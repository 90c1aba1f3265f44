"""The exact log-likelihood of a NADE by its recurrence; equation (2.3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.nade import nade_log_prob
from garm_course.exercises.registry import Exercise, Speed, same


def _weights(D: int, H: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W (H, D), V (D, H), b (D,), c (H,): signs mixed, nothing round, float64."""
    g = torch.Generator().manual_seed(seed)
    sizes = ((H, D), (D, H), (D,), (H,))
    return tuple(1.3 * torch.randn(size, generator=g, dtype=torch.float64) for size in sizes)


def _all(D: int) -> Tensor:
    """(2**D, D): every binary vector, in float64."""
    return torch.tensor([[n >> i & 1 for i in reversed(range(D))] for n in range(2**D)], dtype=torch.float64)


X = torch.tensor([[1, 0, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 0, 0, 0]], dtype=torch.float64)
SMALL, LARGE = _weights(4, 3, seed=1), _weights(7, 5, seed=2)


def _mass(answer, x, *weights) -> Tensor:
    """The sum of p(x) over every binary x, as a number."""
    return answer(x, *weights).exp().sum()


def _terms(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x_i | ...) of a Bernoulli, (B, D)."""
    return x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)


def _seen(x: Tensor, W: Tensor, c: Tensor, diagonal: int = -1, upper: bool = False) -> Tensor:
    """(B, D, H): c + sum of W_j x_j over j < i, or over another triangle."""
    D = x.shape[1]
    mask = torch.ones(D, D, dtype=W.dtype)
    mask = mask.triu(diagonal) if upper else mask.tril(diagonal)
    return c + torch.einsum("ij,bj,hj->bih", mask, x.to(W), W)


def _logits(a: Tensor, V: Tensor, b: Tensor, squash=torch.sigmoid) -> Tensor:
    return (squash(a) * V).sum(-1) + b


def _by_table(x, W, V, b, c):
    """Each conditional anew from the pixels before it: O(D² H)."""
    return _terms(_logits(_seen(x, W, c), V, b), x).sum(1)


def _loop(
    early=False, update=None, squash=torch.sigmoid, term=_terms, first=0, skip_last=0, backwards=False, carry=None
):
    """The recurrence with one thing changed; the defaults are right."""

    def log_prob(x, W, V, b, c):
        x = x.to(W)
        D = x.shape[1]
        a = c.expand(len(x), -1)
        total = torch.zeros(len(x), dtype=W.dtype)
        places = range(first, D - skip_last)
        for i in reversed(places) if backwards else places:
            added = W[:, i] * x[:, i, None] if update is None else update(x, W, V, b, c, a, i)
            if early:
                a = a + added
            hidden = squash(a)
            total = total + term((hidden * V[i]).sum(1) + b[i], x[:, i])
            if not early:
                a = (a if carry is None else carry(a, c, hidden)) + added
        return total

    return log_prob


def _uncast(hidden_sum, squash=torch.sigmoid):
    """Each conditional anew, without x.to(W): whole numbers in x raise."""

    def log_prob(x, W, V, b, c):
        logits = [b[i] + squash(hidden_sum(x, W, c, i)) @ V[i] for i in range(len(b))]
        return sum(F.logsigmoid((2 * x[:, i] - 1) * logit) for i, logit in enumerate(logits))

    return log_prob


def _before(x, W, c, i):
    return c + x[:, :i] @ W[:, :i].T


def _with_lists(x, W, V, b, c):
    """One image and one pixel at a time, with Python sums."""
    rows = []
    for row in x:
        a, parts = c, []
        for i in range(x.shape[1]):
            logit = b[i] + V[i] @ torch.sigmoid(a)
            parts.append(-F.softplus(-logit if row[i] == 1 else logit))
            a = a + W[:, i] * row[i]
        rows.append(sum(parts))
    return torch.stack(rows)


def _by_cumsum(x, W, V, b, c):
    added = x.to(W)[:, :, None] * W.T  # (B, D, H)
    a = c + added.cumsum(1) - added
    return torch.distributions.Bernoulli(logits=_logits(a, V, b)).log_prob(x.to(W)).sum(1)


def _by_bce(x, W, V, b, c):
    logits = _logits(_seen(x, W, c), V, b)
    return -F.binary_cross_entropy_with_logits(logits, x.to(W), reduction="none").sum(1)


def _p(logits: Tensor, x: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return torch.where(x == 1, p, 1 - p)


def _detached(x, W, V, b, c):
    return _by_table(x, W.detach(), V.detach(), b.detach(), c.detach())


def _in_place(start):
    """The recurrence with a += ..., from a tensor that start(c, B) makes."""

    def log_prob(x, W, V, b, c):
        a, total = start(c, len(x)), 0
        for i in range(x.shape[1]):
            total = total + _terms((torch.sigmoid(a) * V[i]).sum(-1) + b[i], x[:, i])
            a += W[:, i] * x[:, i, None]
        return total

    return log_prob


def _column_of_v(x, W, V, b, c):
    """A column of V in a product with @; as an elementwise product it fails like a row of W."""
    a = c.expand(len(x), -1)
    return sum(_terms(torch.sigmoid(a) @ V[:, i] + b[i], x[:, i]) for i in range(x.shape[1]))


def _with_epsilon(x, W, V, b, c):
    p = torch.sigmoid(_logits(_seen(x, W, c), V, b))
    return (x * (p + 1e-4).log() + (1 - x) * (1 - p + 1e-4).log()).sum(1)


# Logits around 44: there 1 - p is 0 in float64, and log(1 - p) is not.
STEEP = (SMALL[0], SMALL[1], torch.tensor([43.7, -51.2, 0.6, 46.9], dtype=torch.float64), SMALL[3])
UNSTABLE = (
    "Right for small logits only: for large ones 1 - p rounds to 0 (and an epsilon or a clamp changes the value). Use "
    "F.logsigmoid(logit) where the pixel is 1, F.logsigmoid(-logit) where it is 0."
)


def _stable(attempt) -> None:
    """Of an answer that is right elsewhere: log p(x) where the logits are large."""

    def like_reference(answer, x, *weights) -> bool:
        def agrees(*weights) -> bool:
            got, want = answer(x, *weights), nade_log_prob(x, *weights)
            if (got.shape, got.dtype) != (want.shape, want.dtype):
                return False
            return torch.allclose(got, want, rtol=1e-5)

        return agrees(*weights) or not agrees(*SMALL)

    attempt.require(
        attempt.call(_all(4), *STEEP, use=like_reference),
        "nade_log_prob: with logits beyond 40, log p(x) differs from the sum of log-sigmoids, or is infinite.",
        hint=UNSTABLE,
    )


EXERCISE = Exercise(
    name="nade_log_prob",
    lesson="02",
    reference=nade_log_prob,
    rule=(
        "Start with a = c. For each pixel: logit = b[i] + V[i] · sigmoid(a), add log p(x_i), and only then "
        "a = a + W[:, i] * x_i. Return (B,) nats."
    ),
    probes=[
        same(_all(4), *SMALL),
        same(X, *LARGE),
        same(X.long(), *LARGE),
        same(_all(4), *SMALL, use=_mass),
        same(X.long(), *LARGE, grad=True),
        _stable,
    ],
    axes=("image",),
    rtol=1e-5,
    mistakes=[
        (
            _loop(early=True),
            "W[:, i] x_i is added before p_i is computed, so p_i sees x_i itself: the probabilities do not sum to 1.",
        ),
        (
            lambda x, W, V, b, c: _terms(_logits((c + x.to(W) @ W.T)[:, None], V, b), x).sum(1),
            "Every p_i uses a = c + W x with all pixels, its own and later ones: a must hold only those before i.",
        ),
        (
            _loop(squash=lambda a: a),
            "The sigmoid of the hidden units is missing: V[i] multiplies sigmoid(a); the sum of p is 1 without it too.",
        ),
        (
            _uncast(_before),
            "Right for real numbers. x may hold whole numbers, which do not multiply W: start with x = x.to(W).",
        ),
        (
            _uncast(lambda x, W, c, i: c + x @ W.T),
            "Every p_i uses all pixels, not only x[:, :i]. And whole numbers need x = x.to(W) first.",
        ),
        (
            _uncast(lambda x, W, c, i: c + x[:, : i + 1] @ W[:, : i + 1].T),
            "p_i uses x_i itself: only x[:, :i] comes before it. And whole numbers need x = x.to(W) first.",
        ),
        (
            _uncast(_before, squash=lambda a: a),
            "The sigmoid of the hidden units is missing, V[i] · sigmoid(a). And whole numbers need x = x.to(W) first.",
        ),
        (_loop(squash=torch.tanh), "The hidden units are squashed by tanh: equation (2.3) uses the sigmoid there."),
        (_loop(squash=torch.relu), "The hidden units go through relu: equation (2.3) uses the sigmoid there."),
        (
            _loop(carry=lambda a, c, hidden: hidden),
            "The recurrence goes on from sigmoid(a): it adds to a itself, a = a + W[:, i] x_i.",
        ),
        (
            _loop(carry=lambda a, c, hidden: c),
            "a is started anew for every pixel, so only the one just before is seen: it must add up, a = a + ...",
        ),
        (
            _loop(carry=lambda a, c, hidden: torch.zeros_like(a)),
            "a is overwritten by W[:, i] x_i: it must add up over the pixels, a = a + W[:, i] x_i.",
        ),
        (
            _loop(carry=lambda a, c, hidden: a + c),
            "c is added at every pixel: it is the starting value of a, and enters once.",
        ),
        (
            lambda x, W, V, b, c: _terms(_logits(c, V, b), x).sum(1),
            "a is never updated: every pixel is predicted from c alone, as if the pixels were independent.",
        ),
        (
            _loop(update=lambda x, W, V, b, c, a, i: W[:, i]),
            "W[:, i] is added whatever the pixel is: it must be multiplied by x_i.",
        ),
        (
            _loop(
                update=lambda x, W, V, b, c, a, i: (
                    W[:, i] * torch.sigmoid(b[i] + (torch.sigmoid(a) * V[i]).sum(1))[:, None]
                )
            ),
            "a is updated with the probability p_i: the pixel is known here, so it is x_i that enters.",
        ),
        (
            _loop(update=lambda x, W, V, b, c, a, i: W[:, i] * (2 * x[:, i, None] - 1)),
            "The pixels enter as -1 and +1: here they are 0 and 1, and a black pixel adds nothing to a.",
        ),
        (
            _loop(update=lambda x, W, V, b, c, a, i: W[:, i] * (1 - x[:, i, None])),
            "a is updated where the pixel is 0: it is W[:, i] * x_i.",
        ),
        (
            _loop(update=lambda x, W, V, b, c, a, i: -W[:, i] * x[:, i, None]),
            "The update has the wrong sign: a = a + W[:, i] x_i.",
        ),
        (
            _loop(backwards=True),
            "The pixels are visited from last to first: p_i must see the pixels before i, those with a lower index.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, torch.zeros_like(b), c),
            "The bias b[i] of the pixel is missing in its logit.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, torch.zeros_like(c)),
            "The hidden bias is missing: a starts at c, not at 0.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, torch.zeros_like(b), torch.zeros_like(c)),
            "Both biases are missing: a starts at c, and b[i] is added to the logit.",
        ),
        (
            lambda x, W, V, b, c: -_by_table(x, W, V, b, c),
            "This is the negative log-likelihood: return log p(x), which is never positive here.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, c) / x.shape[1],
            "This is the mean over the pixels: log p(x) is the sum of the D conditional terms.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, c) / math.log(2),
            "These are bits: the course counts in nats, so do not divide by ln 2.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, c).exp(),
            "This is the probability p(x), not its logarithm: of 784 pixels it would be 0 in floating point.",
        ),
        (
            lambda x, W, V, b, c: _p(_logits(_seen(x, W, c), V, b), x).sum(1),
            "The probabilities of the pixels are added: it is their logarithms that add up.",
        ),
        (
            _loop(term=lambda logit, x: x * F.logsigmoid(logit)),
            "Only the pixels that are 1 count: a pixel that is 0 adds log(1 - p_i).",
        ),
        (
            _loop(term=lambda logit, x: F.logsigmoid(logit)),
            "Every pixel adds log p_i, the probability of a 1: where x_i is 0, it is log(1 - p_i).",
        ),
        (
            _loop(term=lambda logit, x: _terms(logit, 1 - x)),
            "0 and 1 are swapped: p_i is the probability that x_i is 1.",
        ),
        (
            _loop(term=lambda logit, x: _terms(torch.sigmoid(logit), x)),
            "The sigmoid is applied twice: what your logarithm takes as a logit is already a probability.",
        ),
        (
            _loop(term=lambda logit, x: x * logit),
            "x_i times the logit is only half of log p: the normalization, -softplus(logit), is missing.",
        ),
        (
            lambda x, W, V, b, c: _terms(_logits(_seen(x, W, c), V, torch.zeros_like(b)) * 1 + b.sum(), x).sum(1),
            "The sum of all biases b is added to every logit: each pixel has its own, b[i].",
        ),
        (
            _loop(first=1),
            "The first pixel is missing: p(x_1) has nothing before it, and counts too.",
        ),
        (
            _loop(skip_last=1),
            "The last pixel is missing: the sum runs over all D pixels.",
        ),
        (
            lambda x, W, V, b, c: _terms(_logits(_seen(x, W, c, diagonal=-2), V, b), x).sum(1),
            "The update is one pixel late: p_i does not see the pixel just before it.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, c).sum(),
            "The images are added up: return one value per image, (B,).",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, c).mean(),
            "The images are averaged: return one value per image, (B,).",
        ),
        (
            lambda x, W, V, b, c: _terms(_logits(_seen(x, W, c), V, b), x),
            "These are the terms of the pixels, (B, D): sum them over the pixels, to (B,).",
        ),
        (
            lambda x, W, V, b, c: _terms(_logits(_seen(x, W, c), V, b), x).sum(0),
            "The sum runs over the images: sum over the pixels, dim=1, to one value per image.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, c)[:, None],
            "The numbers are right, with one axis too many: return (B,), not (B, 1).",
        ),
        (_detached, "The values are right, but no gradient reaches the weights: leave out .detach() and .item()."),
        (
            _in_place(lambda c, B: c),
            "`a += ...` needs room for B rows, and c has one: write a = a + ..., which makes a new tensor (B, H).",
        ),
        (
            _in_place(lambda c, B: c[None]),
            "`a += ...` needs room for B rows, and c[None] has one row: write a = a + ..., a new tensor (B, H).",
        ),
        (
            _in_place(lambda c, B: c.expand(B, -1)),
            "`a += ...` cannot write into c.expand(...), whose rows are all c itself: write a = a + ... in its place.",
        ),
        (
            _loop(update=lambda x, W, V, b, c, a, i: x[:, i] * W[:, i]),
            "x[:, i] has B numbers and W[:, i] has H: give x an axis for the units, a = a + x[:, i, None] * W[:, i].",
        ),
        (
            _loop(update=lambda x, W, V, b, c, a, i: W[:, i] * x[:, i]),
            "W[:, i] has H numbers and x[:, i] has B: give x an axis for the units, a = a + W[:, i] * x[:, i, None].",
        ),
        (
            _loop(update=lambda x, W, V, b, c, a, i: W[i] * x[:, i, None]),
            "Row and column are confused: of W (H, D), pixel i has the column W[:, i]; of V (D, H), the row V[i].",
        ),
        (
            _column_of_v,
            "V[:, i] belongs to hidden unit i: V is (D, H), and pixel i has its row, V[i].",
        ),
        (
            lambda x, W, V, b, c: _p(_logits(_seen(x, W, c), V, b), x).log().sum(1),
            UNSTABLE,
        ),
        (
            _with_epsilon,
            "A small number is added inside the logarithm, which changes the likelihood: use F.logsigmoid.",
        ),
        (
            lambda x, W, V, b, c: _by_table(x, W, V, b, c).float(),
            "The result is float32, although the weights are float64: start the sum with W.new_zeros(len(x)).",
        ),
    ],
    accepts=[
        _loop(),
        _by_table,
        _with_lists,
        _by_cumsum,
        _by_bce,
        _in_place(lambda c, B: c.repeat(B, 1)),
    ],
    speed=Speed(lambda: ((torch.arange(100 * 64).view(100, 64) % 3 == 0).double(), *_weights(64, 64, seed=3))),
)
