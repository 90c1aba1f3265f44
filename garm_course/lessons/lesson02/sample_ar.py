"""Ancestral sampling: each value from its conditional, given those drawn before it; equation (2.7).

Two right answers may draw different values from the same generator, so the probes do not compare values. They compare
frequencies, with the probabilities of all eight vectors of three bits: 20,000 draws leave a standard error of at most
0.0036 in each, and a total variation distance of about 0.006.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.attempt import Refused
from garm_course.exercises.registry import Exercise, Speed

N = 20_000


def sample_ar(logits_fn: Callable[[Tensor], Tensor], n: int, D: int, gen: torch.Generator) -> Tensor:
    """Draw n binary vectors of D values, each from p(x_i | x_<i), in the order 0, 1, ..., D - 1.

    Args:
        logits_fn: LongTensor (n, D) -> logits (n, D) of x_i = 1, where column i depends on x[:, :i] only.
        n: how many vectors.
        D: values of a vector.
        gen: source of the draws.

    Returns:
        LongTensor (n, D) of 0 and 1.

    Example:
        >>> sample_ar(lambda x: 20.0 - 40.0 * x.roll(1, 1), 2, 4, torch.Generator().manual_seed(0))[:, 1:]
        tensor([[0, 1, 0],
                [0, 1, 0]])
    """
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        p = torch.sigmoid(logits_fn(x)[:, i])
        x[:, i] = (torch.rand(n, generator=gen) < p).long()
    return x


_BIAS = torch.tensor([0.4, -1.1, 0.7], dtype=torch.float64)
_WEIGHT = torch.tensor([[0.0, 0.0, 0.0], [0.7, 0.0, 0.0], [-1.7, 2.9, 0.0]], dtype=torch.float64)  # (target, source)


def skewed(x: Tensor) -> Tensor:
    """Logits of three bits that lean on each other, with an interaction; column i reads only columns before i."""
    x = x.double()
    logits = _BIAS + x @ _WEIGHT.T
    return torch.cat([logits[:, :2], logits[:, 2:] - 2.2 * (x[:, :1] * x[:, 1:2])], 1)


def chain(x: Tensor) -> Tensor:
    """Logits of D bits that mostly repeat the one before: what a draw in one pass gets wrong for any D."""
    before = F.pad(2.0 * x.double() - 1.0, (1, 0))[:, :-1]
    return 2.0 * before + 0.3


def frequencies(answer, logits_fn, n, D, gen) -> Tensor:
    """(2**D,) how often each vector was drawn; -1 everywhere if something else than 0 and 1 was."""
    x = answer(logits_fn, n, D, gen)
    if not ((x == 0) | (x == 1)).all():
        return torch.full((2**D,), -1.0, dtype=torch.float64)
    index = (x.long() * 2 ** torch.arange(D - 1, -1, -1)).sum(1)
    return torch.bincount(index, minlength=2**D).double() / n


def probabilities(logits_fn, D: int) -> Tensor:
    """(2**D,) by enumeration."""
    x = torch.tensor([[k >> i & 1 for i in reversed(range(D))] for k in range(2**D)])
    logits = logits_fn(x)
    return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1).exp()


def _gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ROWS = "logits_fn is called for one row at a time: pass all n rows, the whole tensor (n, D); D calls in all."
COLUMNS = (
    "logits_fn is given a part of the columns: always pass the whole tensor (n, D). What is not drawn yet does not "
    "matter, because column i of the logits does not read it."
)


def _call(attempt, logits_fn, n, D, gen, use):
    """The answer's result; logits_fn refuses what is not the whole tensor, and the hint says what was passed."""
    hints = []

    def strict(x: Tensor) -> Tensor:
        if x.shape != (n, D):
            if x.shape in ((D,), (1, D)):
                hints.append(ROWS)
            elif x.shape[:1] == (n,):
                hints.append(COLUMNS)
            raise ValueError(f"logits_fn takes the whole tensor ({n}, {D}), got the shape {tuple(x.shape)}")
        return logits_fn(x)

    try:
        return attempt.call(strict, n, D, gen, use=use)
    except Refused as refused:
        if hints:
            raise Refused(str(refused), hints[0]) from None
        raise


def _form(attempt) -> None:
    """Type, shape and dtype; zeros in place of the draws, which differ from one right answer to the next."""

    def blank(answer, *args):
        x = answer(*args)
        return torch.zeros_like(x) if isinstance(x, Tensor) else x

    _call(attempt, skewed, 5, 3, _gen(1), blank)


def _law(attempt) -> None:
    drawn = _call(attempt, skewed, N, 3, _gen(2), frequencies)
    attempt.require((drawn >= 0).all(), "sample_ar draws numbers other than 0 and 1.")
    away = 0.5 * (drawn - probabilities(skewed, 3)).abs().sum()
    attempt.require(
        away < 0.02,
        "The frequencies of the eight vectors that sample_ar draws for D = 3 are far from their probabilities: "
        "a total variation distance below 0.02 is expected.",
    )


def _longer_law(attempt) -> None:
    """Of twelve bits: how often neighbors agree, and how often each is 1."""

    def pairs(answer, logits_fn, n, D, gen) -> Tensor:
        x = answer(logits_fn, n, D, gen).double()
        return torch.cat([(x[:, 1:] == x[:, :-1]).double().mean(0), x.mean(0)])

    drawn = _call(attempt, chain, N, 12, _gen(3), pairs)
    law = pairs(sample_ar, chain, N, 12, _gen(4))
    attempt.require(
        (drawn - law).abs().max() < 0.025,
        "For D = 12, sample_ar draws values that do not depend on the one before them as they should.",
    )


def _from_gen_alone(attempt) -> None:
    def twice(answer, logits_fn, n, D, gen) -> bool:
        state = gen.get_state()
        torch.manual_seed(1)
        first = answer(logits_fn, n, D, gen)
        gen.set_state(state)
        torch.manual_seed(2)
        return bool(torch.equal(first, answer(logits_fn, n, D, gen)))

    same = _call(attempt, skewed, 200, 3, _gen(5), twice)
    attempt.require(
        same, "From the same state of gen, sample_ar draws other values the second time: pass generator=gen."
    )


def _gen_moves_on(attempt) -> None:
    def repeats(answer, logits_fn, n, D, gen) -> bool:
        return bool(torch.equal(answer(logits_fn, n, D, gen), answer(logits_fn, n, D, gen)))

    again = _call(attempt, skewed, 200, 3, _gen(6), repeats)
    attempt.require(not again, "Two calls of sample_ar in a row draw the same: gen must go on from where it stands.")


def _rows_differ(attempt) -> None:
    def alike(answer, logits_fn, n, D, gen) -> bool:
        x = answer(logits_fn, n, D, gen)
        return bool((x == x[:1]).all())

    equal = _call(attempt, skewed, 400, 3, _gen(7), alike)
    attempt.require(not equal, "All rows that sample_ar draws are equal: each needs draws of its own.")


def _calls(attempt) -> None:
    """A call is a pass of the whole network: one for each position, and no other."""

    def too_many(answer, logits_fn, n, D, gen) -> bool:
        calls = []
        answer(lambda x: calls.append(1) or logits_fn(x), n, D, gen)
        return len(calls) > D

    wasteful = _call(attempt, chain, 6, 12, _gen(9), too_many)
    attempt.require(not wasteful, "For D = 12, sample_ar calls logits_fn more than 12 times.", hint=EXTRA)


EXTRA = "logits_fn is called more than D times, and every call is a pass of the whole network: one for each position."


def _loop(
    column=lambda i, D: i,
    places=lambda D: range(D),
    chance=torch.sigmoid,
    choose=lambda p, gen: torch.rand(p.shape, generator=gen) < p,
    start=0,
):
    """The loop over positions with one thing changed; the defaults are right."""

    def sample(logits_fn, n, D, gen):
        x = torch.full((n, D), start)
        for i in places(D):
            x[:, i] = choose(chance(logits_fn(x)[:, column(i, D)]), gen).long()
        return x

    return sample


_right = _loop()


def _one_pass(fill):
    def sample(logits_fn, n, D, gen):
        p = torch.sigmoid(logits_fn(fill(n, D)))
        return torch.bernoulli(p, generator=gen).long()

    return sample


def _passes(count, same_noise=False):
    """All positions drawn anew in every pass."""

    def sample(logits_fn, n, D, gen):
        x, u = torch.zeros(n, D, dtype=torch.long), torch.rand(n, D, generator=gen)
        for _ in range(D if count is None else count):
            x = (u < torch.sigmoid(logits_fn(x))).long()
            if not same_noise:
                u = torch.rand(n, D, generator=gen)
        return x

    return sample


def _one_draw(shape):
    """One uniform shared by all positions, or by all rows."""

    def sample(logits_fn, n, D, gen):
        u = torch.rand(shape(n, D), generator=gen).expand(n, D)
        x = torch.zeros(n, D, dtype=torch.long)
        for i in range(D):
            x[:, i] = (u[:, i] < torch.sigmoid(logits_fn(x)[:, i])).long()
        return x

    return sample


def _means_fed(logits_fn, n, D, gen):
    """Probabilities in place of values go into the network; all is drawn at the end."""
    p = torch.zeros(n, D, dtype=torch.float64)
    for i in range(D):
        p[:, i] = torch.sigmoid(logits_fn(p)[:, i]).double()
    return torch.bernoulli(p, generator=gen).long()


def _rounded_inputs(logits_fn, n, D, gen):
    """The most likely values go into the network; all is drawn at the end."""
    x = torch.zeros(n, D, dtype=torch.long)
    p = torch.zeros(n, D, dtype=torch.float64)
    for i in range(D):
        p[:, i] = torch.sigmoid(logits_fn(x)[:, i]).double()
        x[:, i] = (p[:, i] > 0.5).long()
    return torch.bernoulli(p, generator=gen).long()


def _never_random(logits_fn, n, D, gen):
    return _right(logits_fn, n, D, gen.manual_seed(0))


def _by_rows(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for row in range(n):
        for i in range(D):
            p = torch.sigmoid(logits_fn(x[row : row + 1])[:, i])
            x[row, i] = torch.bernoulli(p, generator=gen).long()
    return x


def _columns_so_far(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        x[:, i] = torch.bernoulli(torch.sigmoid(logits_fn(x[:, :i])[:, -1]), generator=gen).long()
    return x


def _extra_call(logits_fn, n, D, gen):
    logits_fn(torch.zeros(n, D, dtype=torch.long))
    return _right(logits_fn, n, D, gen)


def _categorical(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        p = torch.sigmoid(logits_fn(x)[:, i])
        x[:, i] = torch.multinomial(torch.stack([1 - p, p], 1), 1, generator=gen)[:, 0]
    return x


def _growing(logits_fn, n, D, gen):
    x = torch.empty(n, 0, dtype=torch.long)
    for i in range(D):
        p = torch.sigmoid(logits_fn(F.pad(x, (0, D - i)))[:, i])
        x = torch.cat([x, (torch.rand(n, 1, generator=gen) < p[:, None]).long()], 1)
    return x


def _logistic_noise(logits_fn, n, D, gen):
    u = torch.rand(n, D, generator=gen, dtype=torch.float64)
    noise, x = torch.log(u) - torch.log1p(-u), torch.randint(2, (n, D), generator=gen)
    for i in range(D):
        x[:, i] = (logits_fn(x)[:, i] + noise[:, i] > 0).long()
    return x


EXERCISE = Exercise(
    name="sample_ar",
    lesson="02",
    reference=sample_ar,
    rule=(
        "For i = 0, 1, ..., D - 1: call logits_fn on the whole tensor x, draw column i from sigmoid(logits[:, i]) with "
        "gen, write it into x, and go on."
    ),
    probes=[_form, _rows_differ, _law, _longer_law, _from_gen_alone, _gen_moves_on, _calls],
    axes=("draw", "position"),
    atol=0.02,  # of frequencies; see above
    mistakes=[
        (
            _one_pass(lambda n, D: torch.zeros(n, D, dtype=torch.long)),
            "Every position is drawn as if all before it were 0 (one pass for all, or from last to first): x_i must be "
            "drawn, and written into x, before the logits of x_{i+1} are computed.",
        ),
        (
            _one_pass(lambda n, D: torch.ones(n, D, dtype=torch.long)),
            "All positions are drawn from one pass over ones: x_i must be drawn, and written into x, before the next.",
        ),
        (
            _passes(2),
            "Two passes, each of which draws everything, are not enough: one position per pass, and then it stays.",
        ),
        (
            _passes(None),
            "Every pass draws all positions anew: what was drawn must stay. Write only column i in pass i.",
        ),
        (
            _loop(choose=lambda p, gen: p > 0.5),
            "This takes the more likely value each time: one vector, not a sample. Draw with probability p.",
        ),
        (
            _loop(choose=lambda p, gen: torch.rand(p.shape, generator=gen) > p),
            "0 and 1 are swapped: x_i is 1 if the uniform number is *below* p.",
        ),
        (
            _loop(choose=lambda p, gen: torch.rand(p.shape, generator=gen) < 0.5),
            "These are fair coins: the logits are not used.",
        ),
        (
            _loop(chance=lambda logit: logit),
            "The uniform number is compared with the logit: take its sigmoid first.",
        ),
        (
            _loop(chance=lambda logit: logit, choose=lambda p, gen: torch.bernoulli(p, generator=gen)),
            "torch.bernoulli takes probabilities between 0 and 1, and these are logits: apply the sigmoid.",
        ),
        (
            _by_rows,
            ROWS,
        ),
        (
            _columns_so_far,
            COLUMNS,
        ),
        (
            _extra_call,
            EXTRA,
        ),
        (
            _loop(chance=lambda logit: torch.sigmoid(torch.sigmoid(logit))),
            "The sigmoid is applied twice: sigmoid(logit) is the probability already.",
        ),
        (
            _loop(chance=lambda logit: logit.exp()),
            "exp(logit) is the odds p / (1 - p), not the probability: use the sigmoid.",
        ),
        (
            _loop(chance=lambda logit: (1 + torch.tanh(logit)) / 2),
            "(1 + tanh(l)) / 2 is sigmoid(2 l): the logits count double.",
        ),
        (
            _loop(chance=lambda logit: logit.softmax(0), choose=lambda p, gen: torch.rand(p.shape, generator=gen) < p),
            "softmax over the rows makes the n vectors compete: each logit belongs to one coin, use the sigmoid.",
        ),
        (
            _loop(choose=lambda p, gen: torch.randn(p.shape, generator=gen) < p),
            "torch.randn draws normal numbers: compare p with a uniform one, torch.rand.",
        ),
        (
            _loop(choose=lambda p, gen: torch.rand(1, generator=gen) < p),
            "All rows share their uniform numbers, so they are equal: each needs its own, torch.rand(n, ...).",
        ),
        (
            _one_draw(lambda n, D: (n, 1)),
            "One uniform number serves all positions of a row: each position needs its own.",
        ),
        (
            _loop(column=lambda i, D: i - 1),
            "The column of the logits is one behind: x_i is drawn from logits[:, i].",
        ),
        (
            _loop(column=lambda i, D: min(i + 1, D - 1)),
            "The column of the logits is one ahead: x_i is drawn from logits[:, i].",
        ),
        (
            _loop(column=lambda i, D: -1),
            "Every position is drawn from the last column of the logits: x_i needs logits[:, i].",
        ),
        (
            _loop(column=lambda i, D: 0),
            "Every position is drawn from the first column of the logits: x_i needs logits[:, i].",
        ),
        (
            _loop(places=lambda D: range(D - 1)),
            "The last position is never drawn: range(D) ends at D - 1.",
        ),
        (
            _loop(places=lambda D: range(1, D)),
            "The first position is never drawn: p(x_1) depends on nothing, but it is a coin as well.",
        ),
        (
            _means_fed,
            "The probabilities are fed back in place of values: the network must see what was drawn.",
        ),
        (
            _rounded_inputs,
            "The most likely values are fed back, not the drawn ones: write the draw into x before the next pass.",
        ),
        (
            _loop(choose=lambda p, gen: torch.rand(p.shape) < p),
            "The draws come from torch's global generator: pass generator=gen, so that they can be repeated.",
        ),
        (
            _never_random,
            "gen is seeded anew inside, so every call draws the same: use it as it comes.",
        ),
        (
            lambda logits_fn, n, D, gen: _right(logits_fn, n, D, gen).double(),
            "The draws are right, but the tensor is not of whole numbers: return a LongTensor, .long().",
        ),
        (
            lambda logits_fn, n, D, gen: _right(logits_fn, n, D, gen).bool(),
            "The draws are right, but they are True and False: return a LongTensor, .long().",
        ),
        (
            lambda logits_fn, n, D, gen: _right(logits_fn, n, D, gen).T,
            "The axes are swapped: one row per vector, (n, D).",
        ),
        (
            lambda logits_fn, n, D, gen: _right(logits_fn, n, D, gen)[:, :, None],
            "The draws are right, with one axis too many: return (n, D).",
        ),
        (
            lambda logits_fn, n, D, gen: _right(logits_fn, n, D, gen)[0],
            "Only one vector is returned: return all n of them, (n, D).",
        ),
        (
            lambda logits_fn, n, D, gen: 2 * _right(logits_fn, n, D, gen) - 1,
            "The values are -1 and 1: return 0 and 1.",
        ),
        (
            lambda logits_fn, n, D, gen: torch.sigmoid(logits_fn(_right(logits_fn, n, D, gen))),
            "These are probabilities, not draws: return the values x, 0 or 1.",
        ),
        (
            lambda logits_fn, n, D, gen: _right(logits_fn, n, D, gen).tolist(),
            "The draws are right, but this is a list: return a tensor (n, D).",
        ),
    ],
    accepts=[
        _loop(),
        _loop(start=1),
        _loop(start=-1),
        _loop(choose=lambda p, gen: torch.bernoulli(p, generator=gen)),
        _passes(None, same_noise=True),
        _categorical,
        _growing,
        _logistic_noise,
    ],
    speed=Speed(lambda: (chain, 2000, 64, _gen(8))),
)
