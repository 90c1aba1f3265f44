"""Speculative sampling: a small model guesses a few values, a large one checks all guesses in one pass.

A guess x drawn from q is kept with probability min(1, p(x) / q(x)); where it is refused, a value is drawn from what p
has in excess of q. What comes out follows p exactly, whatever q is: a good guesser makes sampling faster, a bad one
makes it slower, and none makes it wrong.

Sources: Leviathan, Kalman, Matias (2023), "Fast Inference from Transformers via Speculative Decoding", arXiv
2211.17192; Chen et al. (2023), "Accelerating Large Language Model Decoding with Speculative Sampling", arXiv
2302.01318.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.autoregressive.sampling.loop import (
    active_filters,
    check_count,
    check_weights,
    draw_value,
    initial_state,
    position_uniforms,
)
from garm_course.distributions.filters import draw, filter_logits
from garm_course.evaluation_mode import evaluation_mode


def output_dist(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """How the two ways to a value add up to p; equation (6.7).

    Args:
        p: (..., levels) probabilities of the target.
        q: (..., levels) those of the draft.

    Returns:
        accepted: (..., levels), the probability that the output is this value and that it was guessed and kept,
            q min(1, p / q) = min(p, q). It sums to the probability of acceptance, 1 - TV(p, q).
        corrected: (..., levels), the probability that the output is this value and that a guess was refused: the
            probability of a refusal times (p - q)_+ / ||(p - q)_+||_1.

    Example:
        >>> output_dist(torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25]))
        (tensor([0.5000, 0.2500]), tensor([0.0000, 0.2500]))
    """
    accepted = torch.minimum(p, q)
    return accepted, (1 - accepted.sum(-1, keepdim=True)) * excess(p, q)


def excess(p: Tensor, q: Tensor) -> Tensor:
    """(p - q)_+ / ||(p - q)_+||_1, (..., levels): what is drawn from after a refusal; zeros where p = q."""
    positive = (p - q).clamp(min=0)
    return positive / positive.sum(-1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)


@dataclass(frozen=True)
class Speculation:
    """What speculative sampling drew, and at what cost.

    Attributes:
        x: LongTensor (n, *shape).
        passes: passes of the target over a few positions each; one a position without speculation.
        guesses: passes of the draft over one position each.
        accepted: share of all values that were guessed and kept.
    """

    x: Tensor
    passes: int
    guesses: int
    accepted: float


def sample(
    target: Autoregressive,
    draft: Autoregressive,
    n: int,
    y: Tensor | None = None,
    *,
    length: int | None = None,
    block: int = 12,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    rng: torch.Generator | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Speculation:
    """Draw n examples of the target, guessed by the draft.

    All examples move on together, up to the first position at which a guess is refused in any of them. Whether they
    stop there depends on nothing that is drawn behind it, so what is thrown away was not chosen by its value, and each
    example follows the target. The fewer the examples, the further they get: one at a time profits most.

    Args:
        target: a model that looks ahead: `PixelCNN` or `GatedPixelCNN` of gray images, a transformer, an n-gram.
        draft: another one with the same shape and levels.
        n: number of examples, at least 1.
        y: LongTensor (n,) of classes for a class-conditional target; the draft gets them if it has classes.
        length: of the examples, for elastic models; None for the length that the target was built for.
        block: how many values are guessed before they are checked, at least 1; a block ends at the `block_end` of both
            models, for images with its row.
        temperature: as in `filter_logits`, for both models.
        top_k: as in `filter_logits`, for both models.
        top_p: as in `filter_logits`, for both models.
        min_p: as in `filter_logits`, for both models.
        rng: source of three uniforms for each example and position: what example k is depends neither on n nor on
            `block`.
        progress: wraps the loop over positions in a progress bar.

    Raises:
        TypeError, ValueError: for models that do not fit each other or cannot look ahead, arguments outside these
            ranges, or weights that are not finite.
    """
    shape = _check_pair(target, draft, length)
    if not isinstance(block, int) or block < 1:
        raise ValueError(f"expected block >= 1 guesses (an integer), got {block}")
    check_count(n, rng)
    filters = active_filters(temperature, top_k, top_p, min_p)
    target.check_classes(y, n)
    for_draft = y if draft.n_classes else None
    draft.check_classes(for_draft, n)
    like = check_weights(target)
    check_weights(draft)
    d = math.prod(shape)
    guess_u, keep_u, correct_u = position_uniforms(target, n, d, rng, like, each=3)  # (D, n)
    x = torch.zeros(d, n, dtype=torch.long, device=like.device)
    i = passes = guesses = kept = 0

    def probabilities(model: Autoregressive, params: Tensor) -> Tensor:
        logits = model.head.logits(params)
        return (filter_logits(logits, **filters) if filters else logits).softmax(-1)

    with torch.inference_mode(), evaluation_mode(target), evaluation_mode(draft):
        states = initial_state(target, n, y, d), initial_state(draft, n, for_draft, d)
        for settled in range(d) if progress is None else progress(range(d)):
            if settled < i:
                continue
            m = min(block, d - i, *(model.block_end(i) - i for model in (target, draft)))
            before = x[i - 1] if i else None
            guessed_from = []
            for t in range(i, i + m):  # guess x[i : i + m]
                guessed_from.append(draft.step(states[1], t, x[t - 1] if t else None))
                x[t] = draw_value(draft, guessed_from[-1], guess_u[t], filters)
            q = probabilities(draft, torch.stack(guessed_from))  # (m, n, levels)
            p = probabilities(target, target.look_ahead(states[0], i, before, x[i : i + m - 1]))
            guess = x[i : i + m, :, None]
            keep = keep_u[i : i + m] * q.gather(-1, guess)[..., 0] < p.gather(-1, guess)[..., 0]  # (m, n)
            right = keep.all(1).long().cumprod(0).sum().item()  # positions at which all guesses are kept
            passes, guesses = passes + 1, guesses + m
            kept += n * right
            if right < m:  # one more position is settled: by a draw from the excess where the guess was refused
                t = i + right
                corrected = draw(excess(p[right], q[right]).log(), correct_u[t])
                x[t] = torch.where(keep[right], x[t], corrected)
                kept += keep[right].sum().item()
            i += min(right + 1, m)
    return Speculation(target.from_sequence(x.T).clone(), passes, guesses, kept / x.numel())


def _check_pair(target: Autoregressive, draft: Autoregressive, length: int | None) -> tuple[int, ...]:
    """The shape that both draw."""
    for role, model in (("target", target), ("draft", draft)):
        if not getattr(model, "looks_ahead", 0):
            raise TypeError(
                "speculative sampling needs a model that looks ahead (PixelCNN or GatedPixelCNN of gray images, or a "
                f"model of sequences) as its {role}, got {type(model).__name__} with shape "
                f"{tuple(getattr(model, 'shape', ()))}"
            )
    shape = target.shape_of(length)
    drafted = draft.shape_of(target.length if length is None else length) if draft.elastic else draft.shape
    if (shape, target.levels) != (drafted, draft.levels):
        raise ValueError(
            f"expected a draft for the target's examples, {shape} with {target.levels} levels; "
            f"this one draws {drafted} with {draft.levels}"
        )
    if target.n_classes != draft.n_classes and draft.n_classes:
        raise ValueError(f"expected a draft with {target.n_classes} classes or none, got {draft.n_classes}")
    return shape
