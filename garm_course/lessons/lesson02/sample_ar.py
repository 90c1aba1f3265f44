"""Ancestral sampling: each value from its conditional, given those drawn before it; equation (2.7).

Two right answers may draw different values from the same generator, so the probes do not compare values. They compare
frequencies, with the probabilities of all eight vectors of three bits: 20,000 draws leave a standard error of at most
0.0036 in each, and a total variation distance of about 0.006.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.attempt import Refused, known
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
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
_TRAINED = (1.5 * random(4, 4, seed=1)).float().requires_grad_()


def skewed(x: Tensor) -> Tensor:
    """Logits of three bits that lean on each other, with an interaction; column i reads only columns before i."""
    x = x.double()
    logits = _BIAS + x @ _WEIGHT.T
    return torch.cat([logits[:, :2], logits[:, 2:] - 2.2 * (x[:, :1] * x[:, 1:2])], 1)


def trained(x: Tensor) -> Tensor:
    """Logits of four bits as of a network: float32, with a gradient, from weights that are drawn."""
    return x.float() @ _TRAINED.tril(-1).T + _TRAINED.diagonal()


def chain(x: Tensor) -> Tensor:
    """Logits of D bits that mostly repeat the one before: what a draw in one pass gets wrong for any D."""
    return 4.0 * _before(x) - 1.7


def alternating(x: Tensor) -> Tensor:
    """Logits of 1000 that leave no choice: 1, 0, 1, 0, ..."""
    return 1000.0 - 2000.0 * _before(x)


def _before(x: Tensor) -> Tensor:
    return F.pad(x.double(), (1, 0))[:, :-1]


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
    logits = logits_fn(x).detach().double()
    return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1).exp()


def _gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ROWS = "logits_fn is called for one row at a time: pass all n rows, the whole tensor (n, D); D calls in all."
COLUMNS = (
    "logits_fn is given a part of the columns: always pass the whole tensor (n, D). What is not drawn yet does not "
    "matter, because column i of the logits does not read it."
)
EXTRA = "logits_fn is called more than D times, and every call is a pass of the whole network: one for each position."
MEANS = "The probabilities are fed back in place of values: the network must see what was drawn."
FLOATS = "logits_fn is given floats, and it takes a LongTensor: begin with torch.zeros(n, D, dtype=torch.long)."
GLOBAL = "The draws come from torch's global generator (or NumPy's): pass generator=gen, so that they can be repeated."
SEEDED = "gen is seeded anew inside, so every call draws the same: use it as it comes."
ONE = "Right for several rows and positions, but not for n = 1 or D = 1: squeeze() without an axis removes that axis."
LIMIT = "Right for ordinary logits. At 1000 there is no choice: let no clamp cut p, and take torch.sigmoid, not exp."


def _told(probe):
    """The probe, with the hint of the mistake that does the same here, whatever it does in other probes."""

    def told(attempt):
        try:
            probe(attempt)
        except Refused as refused:
            for wrong, hint in () if refused.hint else attempt.exercise.mistakes:
                wrong_here, outcomes = known(attempt.exercise, wrong, probe)
                alike = len(outcomes) == len(attempt.outcomes)
                if wrong_here and alike and all(map(attempt.same_outcome, attempt.outcomes, outcomes)):
                    raise Refused(str(refused), hint) from refused
            raise

    return told


def _call(attempt, logits_fn, n, D, gen, use, times=1):
    """The answer's result; logits_fn refuses what is not the whole tensor, and the hint says what was passed."""
    hints, extra, calls = [], [], []

    def strict(x: Tensor) -> Tensor:
        calls.append(1)
        if x.shape != (n, D):
            hints.extend([ROWS] if x.shape in ((D,), (1, D)) else [COLUMNS] if x.shape[:1] == (n,) else [])
            raise ValueError(f"logits_fn takes the whole tensor ({n}, {D}), got the shape {tuple(x.shape)}")
        if x.dtype != torch.long:
            hints.insert(0, FLOATS if (x == x.long()).all() else MEANS)
        return logits_fn(x)

    def counted(answer, *args):
        calls.clear()
        result = use(answer, *args)
        extra.extend([EXTRA] * (len(calls) > D * times))
        return result

    try:
        result = attempt.call(strict, n, D, gen, use=counted)
    except Refused as refused:
        raise Refused(str(refused), hints[0] if hints else "") from None
    cause = f"sample_ar: logits_fn takes a LongTensor ({n}, {D}), and is called {D} times."
    attempt.require(not hints + extra, cause, *(hints + extra)[:1])
    return result


def _form(n: int, D: int):
    """Type, shape and dtype; zeros in place of the draws, which differ from one right answer to the next."""

    def blank(answer, *args):
        x = answer(*args)
        return torch.zeros_like(x) if isinstance(x, Tensor) else x

    return lambda attempt: _call(attempt, chain, n, D, _gen(1), blank)


def _law(logits_fn, D: int):
    def probe(attempt) -> None:
        drawn = _call(attempt, logits_fn, N, D, _gen(2), frequencies)
        attempt.require((drawn >= 0).all(), "sample_ar returns other numbers than 0 and 1.")
        away = 0.5 * (drawn - probabilities(logits_fn, D)).abs().sum()
        attempt.require(
            away < 0.02,
            f"The frequencies of the {2**D} vectors that sample_ar draws for D = {D} are far from their probabilities: "
            "a total variation distance below 0.02 is expected.",
        )

    return probe


def _certain(attempt) -> None:
    for logits_fn in (alternating, lambda x: torch.full(x.shape, 20.0)):
        drawn = _call(attempt, logits_fn, N, 6, _gen(8), lambda answer, *args: answer(*args).double().mean(0))
        want = sample_ar(logits_fn, 1, 6, _gen(8))[0]
        attempt.require(
            torch.equal(drawn, want.double()), f"sample_ar: expected {want.tolist()} in every row, got others.", LIMIT
        )


def _twice(attempt, seed: int, from_the_same_state: bool) -> bool:
    """Whether two calls draw the same, each with another state of the global generator."""

    def equal(answer, logits_fn, n, D, gen) -> bool:
        state = gen.get_state()
        torch.manual_seed(1)
        first = answer(logits_fn, n, D, gen)
        if from_the_same_state:
            gen.set_state(state)
        torch.manual_seed(2)
        return bool(torch.equal(first, answer(logits_fn, n, D, gen)))

    return _call(attempt, skewed, 200, 3, _gen(seed), equal, times=2)


def _from_gen_alone(attempt) -> None:
    cause = "From the same state of gen, sample_ar draws other values the second time: pass generator=gen."
    attempt.require(_twice(attempt, 5, from_the_same_state=True), cause, GLOBAL)


def _gen_moves_on(attempt) -> None:
    cause = "Two calls of sample_ar in a row draw the same: gen must go on from where it stands."
    attempt.require(not _twice(attempt, 6, from_the_same_state=False), cause, SEEDED)


def _loop(
    column=lambda i, D: i,
    places=lambda D: range(D),
    chance=torch.sigmoid,
    choose=lambda p, gen: torch.rand(p.shape, generator=gen) < p,
    start=0,
    table=lambda logits: logits,
    result=lambda x: x,
):
    """The loop over positions with one thing changed; the defaults are right."""

    def sample(logits_fn, n, D, gen):
        x = torch.full((n, D), start)
        for i in places(D):
            x[:, i] = choose(chance(table(logits_fn(x))[:, column(i, D)]), gen).long()
        return result(x)

    return sample


def _passes(count, start=0, same_noise=False):
    """All positions drawn anew in every pass."""

    def sample(logits_fn, n, D, gen):
        x, u = torch.full((n, D), start), torch.rand(n, D, generator=gen)
        for _ in range(count or D):
            x = (u < torch.sigmoid(logits_fn(x))).long()
            if not same_noise:
                u = torch.rand(n, D, generator=gen)
        return x

    return sample


def _one_draw(logits_fn, n, D, gen):
    """One uniform number shared by all positions of a row."""
    u = torch.rand(n, generator=gen)
    return _loop(choose=lambda p, gen: u < p)(logits_fn, n, D, gen)


def _rounded_inputs(logits_fn, n, D, gen):
    """The most likely values go into the network; all is drawn at the end."""
    p = []
    _loop(choose=lambda q, gen: p.append(q) or q > 0.5)(logits_fn, n, D, gen)
    return torch.bernoulli(torch.stack(p, 1), generator=gen).long()


def _categorical(logits_fn, n, D, gen):
    def choose(p, gen):
        return torch.multinomial(torch.stack([1 - p, p], 1), 1, generator=gen)[:, 0]

    return _loop(choose=choose)(logits_fn, n, D, gen)


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
    probes=[
        _form(5, 3),
        _told(_law(skewed, 3)),
        _from_gen_alone,
        _gen_moves_on,
        _law(trained, 4),
        edge(_form(1, 4), ONE),
        edge(_form(4, 1), ONE),
        edge(_form(1, 1), ONE),
        edge(_certain, LIMIT),
    ],
    axes=("draw", "position"),
    atol=0.02,  # of frequencies; see above
    mistakes=[
        (
            _passes(1),
            "Every position is drawn as if all before it were 0 (one pass for all, or from last to first): x_i must be "
            "drawn, and written into x, before the logits of x_{i+1} are computed.",
        ),
        (
            _passes(1, start=1),
            "All positions are drawn from one pass over ones: x_i must be drawn, and written into x, before the next.",
        ),
        (
            _passes(None),
            "Each position is 1 as often as it should, but not given those before it. What was drawn must stay: write "
            "only column i in pass i, and draw every row from its own logits.",
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
            _loop(chance=lambda logit: logit.softmax(0)),
            "Nearly all draws are 0. Write the draw into column i, x[:, i]; and take the sigmoid of each logit, no "
            "softmax over the rows.",
        ),
        (
            _loop(table=lambda logits: logits.softmax(1).logit()),
            "softmax over the columns makes the positions compete: each logit belongs to one coin, use the sigmoid.",
        ),
        (
            _loop(choose=lambda p, gen: torch.randn(p.shape, generator=gen) < p),
            "torch.randn draws normal numbers: compare p with a uniform one, torch.rand.",
        ),
        (
            _loop(choose=lambda p, gen: torch.rand(1, generator=gen) < p),
            "All rows share their uniform numbers, so they are equal: each needs its own, torch.rand(n, ...).",
        ),
        (_one_draw, "One uniform number serves all positions of a row: each position needs its own."),
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
        (_loop(places=lambda D: range(D - 1)), "The last position is never drawn: range(D) ends at D - 1."),
        (
            _loop(places=lambda D: range(1, D)),
            "The first position is never drawn: p(x_1) depends on nothing, but it is a coin as well.",
        ),
        (
            _rounded_inputs,
            "The most likely values are fed back, not the drawn ones: write the draw into x before the next pass.",
        ),
        (_loop(result=lambda x: 1 - x), "0 and 1 are exchanged at the end, after the network has seen them: return x."),
        (_loop(result=lambda x: x.flip(1)), "The columns come back in reverse: column i of the result is x_i."),
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
    speed=Speed(lambda: (chain, 2000, 64, _gen(9))),
)
