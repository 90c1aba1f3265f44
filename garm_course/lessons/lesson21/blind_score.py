"""The log-likelihood of a stranger's model, asked position by position, with the answer hidden; equation (21.7)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson21 import players
from garm_course.lessons.lesson21.players import LEVELS, PIXELS, Player


def blind_score(ask: Player, x: Tensor, levels: int, hide: Tensor) -> Tensor:
    """Score images under a model that is asked about prefixes only.

    Args:
        ask: ask(prefix, i) -> scores (n, levels), of position i; prefix is (n, D).
        x: LongTensor (n, D), values 0..levels-1.
        levels: K.
        hide: LongTensor (n, D): what is shown at position i and after it, in place of x.

    Returns:
        (n,) log-probabilities in nats, float64.

    Raises:
        ValueError: for scores that are not finite numbers of shape (n, levels).
    """
    n, D = x.shape
    shown, total = hide.clone(), torch.zeros(n, dtype=torch.float64)
    for i in range(D):
        scores = ask(shown.clone(), i)
        if scores.shape != (n, levels) or not scores.isfinite().all():
            raise ValueError(f"expected finite scores {(n, levels)} for position {i}, got {tuple(scores.shape)}")
        total += scores.double().log_softmax(1)[torch.arange(n), x[:, i]]
        shown[:, i] = x[:, i]
    return total


def _prefix(x: Tensor, hide: Tensor, i: int) -> Tensor:
    return torch.cat([x[:, :i], hide[:, i:]], 1)


def _checked(scores: Tensor, n: int, levels: int) -> None:
    if scores.shape != (n, levels) or not torch.isfinite(scores).all():
        raise ValueError("scores must be finite and (n, levels)")


def _nothing(scores: Tensor, n: int, levels: int) -> None:
    pass


def _with(show: Callable = _prefix, check: Callable = _checked,
          log_p: Callable = lambda scores: scores.double().log_softmax(1),
          total: Callable = lambda parts: torch.stack(parts).sum(0)):  # fmt: skip
    """An answer with another part."""

    def answer(ask: Player, x: Tensor, levels: int, hide: Tensor) -> Tensor:
        parts = []
        for i in range(x.shape[1]):
            scores = ask(show(x, hide, i), i)
            check(scores, len(x), levels)
            parts.append(log_p(scores)[torch.arange(len(x)), x[:, i]])
        return total(parts)

    return answer


def _in_place(ask: Player, x: Tensor, levels: int, hide: Tensor) -> Tensor:
    """Hands out its own working copy, which a player may spoil."""
    shown, total = hide.clone(), torch.zeros(len(x), dtype=torch.float64)
    for i in range(x.shape[1]):
        scores = ask(shown, i)
        _checked(scores, len(x), levels)
        total += scores.double().log_softmax(1)[torch.arange(len(x)), x[:, i]]
        shown[:, i] = x[:, i]
    return total


def _into_x(ask: Player, x: Tensor, levels: int, hide: Tensor) -> Tensor:
    """Hides by writing into the images: the later targets are gone."""
    x = x.clone()
    total = torch.zeros(len(x), dtype=torch.float64)
    for i in range(x.shape[1]):
        target = x[:, i].clone()
        x[:, i:] = hide[:, i:]
        scores = ask(x.clone(), i)
        _checked(scores, len(x), levels)
        total += scores.double().log_softmax(1)[torch.arange(len(x)), target]
    return total


def _only_first_checked(scores: Tensor, n: int, levels: int) -> None:
    if scores.shape != (n, levels):
        raise ValueError("shape")


def _only_finite(scores: Tensor, n: int, levels: int) -> None:
    if not scores.isfinite().all():
        raise ValueError("not finite")


def _not_nan(scores: Tensor, n: int, levels: int) -> None:
    if scores.shape != (n, levels) or scores.isnan().any():
        raise ValueError("NaN")


def _cross_entropy(ask: Player, x: Tensor, levels: int, hide: Tensor) -> Tensor:
    columns = []
    for i, target in enumerate(x.T):
        keep = torch.arange(x.shape[1]) < i
        scores = ask(torch.where(keep, x, hide), i)
        if tuple(scores.shape) != (len(x), levels) or not bool(torch.all(torch.isfinite(scores))):
            raise ValueError("the scores are no scores")
        columns.append(torch.nn.functional.cross_entropy(scores.double(), target, reduction="none"))
    return -sum(columns)


def _by_row(ask: Player, x: Tensor, levels: int, hide: Tensor) -> Tensor:
    total = torch.zeros(len(x), dtype=torch.float64)
    for i in range(x.shape[1]):
        shown = x.clone()
        shown[:, i:] = hide[:, i:]
        scores = torch.as_tensor(ask(shown, i))
        if scores.ndim != 2 or scores.shape != (len(x), levels) or (~torch.isfinite(scores)).any():
            raise ValueError("expected finite scores")
        p = scores - scores.logsumexp(1, keepdim=True)
        total = total + p.gather(1, x[:, i : i + 1])[:, 0]
    return total


def _all() -> Tensor:
    return torch.cartesian_prod(*(torch.arange(LEVELS) for _ in range(PIXELS)))


def _noise(n: int, seed: int) -> Tensor:
    return torch.randint(LEVELS, (n, PIXELS), generator=torch.Generator().manual_seed(seed))


def _score(answer: Callable, player: str, n: int, seed: int) -> Tensor:
    """Scores of n images, the first of all 243, under a player."""
    x = _all()[torch.randperm(243, generator=torch.Generator().manual_seed(seed))[:n]]
    found = answer(getattr(players, player), x, LEVELS, _noise(n, seed + 1))
    return found.double() if isinstance(found, Tensor) and found.is_floating_point() else found


def _mass(answer: Callable, player: str, seed: int) -> Tensor:
    """The probability of all images together, with one row of noise for all."""
    x = _all()
    found = answer(getattr(players, player), x, LEVELS, _noise(1, seed).expand(len(x), -1).clone())
    return found.double().exp().sum() if isinstance(found, Tensor) and found.is_floating_point() else found


def _seen(answer: Callable, n: int, seed: int) -> list[Tensor]:
    """What the player was shown, in the order of the questions."""
    x, shown = _noise(n, seed), []

    def spy(prefix: Tensor, i: int) -> Tensor:
        shown.append(prefix.clone())
        return players.honest(prefix, i)

    answer(spy, x, LEVELS, _noise(n, seed + 1))
    return shown


def _kept(answer: Callable, n: int, seed: int) -> list[Tensor]:
    """The images and the noise after a player has spoiled whatever it was given."""
    x, hide = _noise(n, seed), _noise(n, seed + 1)
    answer(players.overwriter, x, LEVELS, hide)
    return [x, hide]


def _refuses(answer: Callable, player: str) -> str:
    """How an answer meets scores that are none."""
    try:
        answer(getattr(players, player), _noise(6, 3), LEVELS, _noise(6, 4))
    except ValueError:
        return "ValueError"
    except Exception as error:
        return type(error).__name__
    return "a score"


EXERCISE = Exercise(
    name="blind_score",
    lesson="21",
    reference=blind_score,
    rule="For each position i show a fresh copy that has x before i, and hide at i and after it. Refuse scores that "
    "are not finite or not (n, levels) with a ValueError. Add the log-softmax of the scores at x[:, i].",
    probes=[
        same("honest", 60, 1, use=_score),
        same("peeker", 40, 2, use=_score),
        same("future", 40, 3, use=_score),
        same("scaled", 20, 4, use=_score),
        same("overwriter", 30, 5, use=_score),
        same("peeker", 6, use=_mass),
        same(5, 7, use=_seen),
        same(6, 8, use=_kept),
        edge(same("honest", 1, 9, use=_score), "Right except for a single image: keep its row, (1, levels)."),
        edge(same("certain", 30, 10, use=_score), "Right except for a score of -1e30, which is finite and allowed."),
        same("broken", use=_refuses),
        same("infinite", use=_refuses),
        same("short", use=_refuses),
    ],
    mistakes=[
        (
            _with(show=lambda x, hide, i: x.clone()),
            "Nothing is hidden: the player reads the answer in what it is shown. Put hide at position i and after it.",
        ),
        (
            _with(show=lambda x, hide, i: _prefix(x, hide, i + 1)),
            "Position i itself is shown, and that is the answer: hide it, too.",
        ),
        (
            _with(show=lambda x, hide, i: torch.cat([x[:, :i], torch.zeros_like(x[:, i:])], 1)),
            "Zeros are shown in place of hide: a player could tell that they are not part of an image.",
        ),
        (
            _with(show=lambda x, hide, i: torch.cat([hide[:, :i], x[:, i:]], 1)),
            "The prefix is hidden and the future is shown: it is the other way around.",
        ),
        (
            _with(show=lambda x, hide, i: hide.clone()),
            "The prefix is hidden as well: the positions before i are shown.",
        ),
        (
            _with(show=lambda x, hide, i: _prefix(x, hide, max(0, i - 1))),
            "One position too many is hidden: show all positions before i.",
        ),
        (
            _with(log_p=lambda scores: scores.double()),
            "The scores are added as they come: a player that adds 5 to each of them would win. The softmax is yours.",
        ),
        (
            _with(log_p=lambda scores: scores.double().log_softmax(0)),
            "The softmax runs over the images: it runs over the levels, dim=1.",
        ),
        (
            _with(log_p=lambda scores: scores.double().softmax(1)),
            "Probabilities are added: add their logarithms, log_softmax.",
        ),
        (
            _with(total=lambda parts: -torch.stack(parts).sum(0)),
            "This is the cost: return log-probabilities, which are at most 0.",
        ),
        (
            _with(total=lambda parts: torch.stack(parts).mean(0)),
            "The positions are averaged: the logarithms of the conditionals add up.",
        ),
        (
            _with(total=lambda parts: torch.stack(parts).sum()),
            "The images are added together: return one number for each image.",
        ),
        (
            _with(total=lambda parts: torch.stack(parts).sum(0).mean()),
            "The images are averaged: return one number for each image.",
        ),
        (
            _with(total=lambda parts: torch.stack(parts).sum(0).exp()),
            "This is the probability: return its logarithm.",
        ),
        (
            _in_place,
            "The player is handed your own working copy, and one of them overwrites it: hand out a clone.",
        ),
        (_into_x, "The images are overwritten by hide, so the later prefixes and targets are gone: work on a copy."),
        (
            _with(check=_nothing),
            "What came back is not looked at: raise ValueError unless the scores are finite and (n, levels).",
        ),
        (_with(check=_only_first_checked), "NaN and infinity pass: test isfinite().all() as well as the shape."),
        (_with(check=_only_finite), "The wrong number of scores passes: test the shape, (n, levels), as well."),
        (_with(check=_not_nan), "Infinite scores pass: test isfinite(), which refuses NaN and infinity alike."),
        (
            _with(total=lambda parts: parts[-1]),
            "Only the last position is scored: add up all of them.",
        ),
    ],
    accepts=[_with(), _cross_entropy, _by_row],
    speed=Speed(lambda: ("honest", 200, 11), use=_score),
)
