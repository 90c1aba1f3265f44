"""The exact log-likelihood of a NADE by its recurrence; equation (2.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.nade import nade_log_prob
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson00.digits import nearly


def _weights(D: int, H: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W (H, D), V (D, H), b (D,), c (H,): signs mixed, nothing round, float64."""
    sizes = (H, D), (D, H), (D,), (H,)
    return tuple(1.3 * random(*size, seed=10 * seed + k) for k, size in enumerate(sizes))


def _all(D: int) -> Tensor:
    """(2**D, D): every binary vector, in float64."""
    return torch.tensor([[n >> i & 1 for i in reversed(range(D))] for n in range(2**D)], dtype=torch.float64)


X = torch.tensor([[1, 0, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 0, 0, 0]], dtype=torch.float64)
SMALL, LARGE = _weights(4, 3, seed=1), _weights(7, 5, seed=2)
# Logits around 44 (there 1 - p is 0 in float64, and log(1 - p) is not) and around 900.
STEEP, STEEPER = (
    (*SMALL[:2], torch.tensor(biases, dtype=torch.float64), SMALL[3])
    for biases in ([43.7, -51.2, 0.6, 46.9], [903.0, -871.0, 0.6, -1.0])
)
UNSTABLE = (
    "Right for small logits only: for large ones 1 - p rounds to 0 (and an epsilon or a clamp changes the value). Use "
    "F.logsigmoid(logit) where the pixel is 1, F.logsigmoid(-logit) where it is 0."
)
GRADIENT = "Right values, but at logits of 900 the gradient is NaN or 0: F.logsigmoid has the right one there."
WHOLE = "Right for real numbers. x may hold whole numbers, which do not multiply W: start with x = x.to(W)."
ONE = (
    "Right for larger sizes, but not where the batch, the pixels or the hidden units are only one: squeeze() without "
    "an axis removes that axis too."
)


def _terms(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x_i | ...) of a Bernoulli, (B, D)."""
    return x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)


def _logits(x, W, V, b, c, diagonal=-1) -> Tensor:
    """(B, D): from the hidden sums c + sum of W_j x_j over j < i, or over another triangle."""
    seen = torch.ones(len(b), len(b), dtype=W.dtype).tril(diagonal)
    a = c + torch.einsum("ij,bj,hj->bih", seen, x.to(W), W)
    return (torch.sigmoid(a) * V).sum(-1) + b


def _table(reduce=lambda terms: terms.sum(1), term=_terms, diagonal=-1, b=1, c=1):
    """Each conditional anew from the pixels before it, O(D² H), with one thing changed; the defaults are right."""
    return lambda x, W, V, b_, c_: reduce(term(_logits(x, W, V, b * b_, c * c_, diagonal), x))


def _loop(early=False, update=lambda Wi, xi, logit: Wi * xi, squash=torch.sigmoid, places=range, carry=None, row=None):
    """The recurrence with one thing changed; the defaults are right."""

    def log_prob(x, W, V, b, c):
        x, a, total = x.to(W), c.expand(len(x), -1), torch.zeros(len(x), dtype=W.dtype)
        for i in places(x.shape[1]):
            column = W[:, i] if row is None else row(W, i)
            if early:
                a = a + column * x[:, i, None]
            hidden = squash(a)
            logit = (hidden * V[i]).sum(1) + b[i]
            total = total + _terms(logit, x[:, i])
            if not early:
                a = (a if carry is None else carry(a, c, hidden)) + update(column, x[:, i, None], logit[:, None])
        return total

    return log_prob


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
    logits = (torch.sigmoid(c + added.cumsum(1) - added) * V).sum(-1) + b
    return torch.distributions.Bernoulli(logits=logits).log_prob(x.to(W)).sum(1)


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


EXERCISE = Exercise(
    name="nade_log_prob",
    lesson="02",
    reference=nade_log_prob,
    rule=(
        "Start with a = c. For each pixel: logit = b[i] + V[i] · sigmoid(a), add log p(x_i), and only then "
        "a = a + W[:, i] * x_i. Return (B,) nats."
    ),
    probes=[
        nearly(_all(4), *SMALL, hint=UNSTABLE.replace("Right for small logits only", "Nearly right")),
        same(X, *LARGE),
        edge(same(X.long(), *LARGE), WHOLE),
        same(X.float(), *(w.float() for w in LARGE)),
        same(X.int(), *(w.float() for w in LARGE)),
        edge(same(X[1:2], *LARGE), ONE),
        edge(same(X[:, :1], *_weights(1, 5, seed=3)), ONE),
        edge(same(X, *_weights(7, 1, seed=4)), ONE),
        same(torch.tensor([[0, 1, 1]]), *(torch.zeros(size) for size in ((4, 3), (3, 4), (3,), (4,)))),
        same(X.long(), *LARGE, grad=True),
        edge(same(_all(4), *STEEP), UNSTABLE),
        edge(same(_all(4), *STEEPER), UNSTABLE),
        edge(same(_all(4).long(), *STEEPER, grad=True), GRADIENT),
    ],
    axes=("image",),
    rtol=1e-5,
    mistakes=[
        (
            _loop(early=True),
            "W[:, i] x_i is added before p_i is computed, so p_i sees x_i itself: the probabilities do not sum to 1.",
        ),
        (
            _table(diagonal=9),
            "Every p_i uses a = c + W x with all pixels, its own and later ones: a must hold only those before i.",
        ),
        (_table(diagonal=-2), "The update is one pixel late: p_i does not see the pixel just before it."),
        (
            _loop(squash=lambda a: a),
            "The sigmoid of the hidden units is missing: V[i] multiplies sigmoid(a); the sum of p is 1 without it too.",
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
            _loop(update=lambda Wi, xi, logit: 0),
            "a is never updated: every pixel is predicted from c alone, as if the pixels were independent.",
        ),
        (
            _loop(update=lambda Wi, xi, logit: Wi),
            "W[:, i] is added whatever the pixel is: it must be multiplied by x_i.",
        ),
        (
            _loop(update=lambda Wi, xi, logit: Wi * torch.sigmoid(logit)),
            "a is updated with the probability p_i: the pixel is known here, so it is x_i that enters.",
        ),
        (
            _loop(update=lambda Wi, xi, logit: Wi * (2 * xi - 1)),
            "The pixels enter as -1 and +1: here they are 0 and 1, and a black pixel adds nothing to a.",
        ),
        (
            _loop(update=lambda Wi, xi, logit: Wi * (1 - xi)),
            "a is updated where the pixel is 0: it is W[:, i] * x_i.",
        ),
        (
            _loop(update=lambda Wi, xi, logit: -Wi * xi),
            "The update has the wrong sign: a = a + W[:, i] x_i.",
        ),
        (
            _loop(places=lambda D: reversed(range(D))),
            "The pixels are visited from last to first: p_i must see the pixels before i, those with a lower index.",
        ),
        (
            _loop(places=lambda D: range(1, D)),
            "The first pixel is missing: nothing comes before it, but it counts too.",
        ),
        (_loop(places=lambda D: range(D - 1)), "The last pixel is missing: the sum runs over all D pixels."),
        (_table(b=0), "The bias b[i] of the pixel is missing in its logit."),
        (_table(c=0), "The hidden bias is missing: a starts at c, not at 0."),
        (
            _table(lambda terms: -terms.sum(1)),
            "This is the negative log-likelihood: return log p(x), which is never positive here.",
        ),
        (
            _table(term=lambda logit, x: _terms(logit, x).exp()),
            "The probabilities of the pixels are added: it is their logarithms that add up.",
        ),
        (
            _table(term=lambda logit, x: x * F.logsigmoid(logit)),
            "Only the pixels that are 1 count: a pixel that is 0 adds log(1 - p_i).",
        ),
        (
            _table(term=lambda logit, x: (1 - x) * F.logsigmoid(-logit)),
            "Only the pixels that are 0 count: a pixel that is 1 adds log p_i.",
        ),
        (
            _table(term=lambda logit, x: F.logsigmoid(logit)),
            "Every pixel adds log p_i, the probability of a 1: where x_i is 0, it is log(1 - p_i).",
        ),
        (
            _table(term=lambda logit, x: _terms(logit, 1 - x)),
            "0 and 1 are swapped: p_i is the probability that x_i is 1.",
        ),
        (
            _table(term=lambda logit, x: _terms(torch.sigmoid(logit), x)),
            "The sigmoid is applied twice: what your logarithm takes as a logit is already a probability.",
        ),
        (
            _table(term=lambda logit, x: x * logit),
            "x_i times the logit is only half of log p: the normalization, -softplus(logit), is missing.",
        ),
        (
            _table(term=lambda logit, x: x * F.logsigmoid(logit) + (1 - x) * (1 - F.logsigmoid(logit))),
            "log(1 - p) is not 1 - log p: it is F.logsigmoid(-logit).",
        ),
        (
            _table(lambda terms: terms.sum(0)),
            "The sum runs over the images: sum over the pixels, dim=1, to one value per image.",
        ),
        (
            _in_place(lambda c, B: c),
            "`a += ...` needs room for B rows, and c has one: write a = a + ..., which makes a new tensor (B, H).",
        ),
        (
            _in_place(lambda c, B: c.expand(B, -1)),
            "`a += ...` cannot write into c.expand(...), whose rows are all c itself: write a = a + ... in its place.",
        ),
        (
            _loop(update=lambda Wi, xi, logit: xi[:, 0] * Wi),
            "x[:, i] has B numbers and W[:, i] has H: give x an axis for the units, a = a + x[:, i, None] * W[:, i].",
        ),
        (
            _loop(update=lambda Wi, xi, logit: Wi * xi[:, 0]),
            "W[:, i] has H numbers and x[:, i] has B: give x an axis for the units, a = a + W[:, i] * x[:, i, None].",
        ),
        (
            _loop(row=lambda W, i: W[i]),
            "Row and column are confused: of W (H, D), pixel i has the column W[:, i]; of V (D, H), the row V[i].",
        ),
        (_column_of_v, "V[:, i] belongs to hidden unit i: V is (D, H), and pixel i has its row, V[i]."),
        (
            _table(lambda terms: terms.sum(1).float()),
            "The result is float32, although the weights are float64: start the sum with W.new_zeros(len(x)).",
        ),
    ],
    accepts=[
        _loop(),
        _table(),
        _with_lists,
        _by_cumsum,
        _table(term=lambda logit, x: -F.softplus((1 - 2 * x) * logit)),
        lambda x, *w: -F.binary_cross_entropy_with_logits(_logits(x, *w), x.to(w[0]), reduction="none").sum(1),
        _in_place(lambda c, B: c.repeat(B, 1)),
    ],
    speed=Speed(lambda: ((torch.arange(100 * 64).view(100, 64) % 3 == 0).double(), *_weights(64, 64, seed=5))),
)
