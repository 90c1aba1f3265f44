"""One image into the pool of earlier fakes, and one out of it for the critic."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.cyclegan import image_pool
from garm_course.exercises.edges import worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _put(hist: Tensor, new: Tensor, slot: int) -> Tensor:
    """The pool with the new image at this slot."""
    return torch.cat([hist[:slot], new[None], hist[slot + 1 :]])


def _grown(hist: Tensor, new: Tensor) -> Tensor:
    return torch.cat([hist, new[None]])


def _filled(heads: Callable | None = None, tails: Callable | None = None):
    """Right while the pool is not full; then `heads(hist, new, slot)` and `tails(hist, new, slot)`, where given."""

    def answer(hist, new, size, coin, slot):
        other = heads if coin else tails
        return other(hist, new, slot) if other and len(hist) == size else image_pool(hist, new, size, coin, slot)

    return answer


def _full(fill: Callable):
    """Right once the pool is full; before that `fill(hist, new, coin, slot)`."""

    def answer(hist, new, size, coin, slot):
        return fill(hist, new, coin, slot) if len(hist) < size else image_pool(hist, new, size, coin, slot)

    return answer


def _early(hist, new, size, coin, slot):
    if len(hist) < size - 1 or len(hist) <= slot:
        return _grown(hist, new), new
    return (_put(hist, new, slot), hist[slot]) if coin else (hist, new)


def _by_list(hist, new, size, coin, slot):
    images, out = list(hist), new
    if len(images) < size:
        images.append(new)
    elif coin:
        images[slot], out = new, images[slot]
    return torch.stack(images), out


def _by_where(hist, new, size, coin, slot):
    if len(hist) < size:
        return torch.cat([hist, new.unsqueeze(0)]), new
    here = (torch.arange(size) == slot).reshape(-1, *[1] * new.ndim) & bool(coin)
    return torch.where(here, new, hist), hist[slot] if coin else new


def _by_copy(hist, new, size, coin, slot):
    if len(hist) < size:
        return _grown(hist, new), new
    if not coin:
        return hist, new
    pool = hist.clone()
    pool[slot] = new
    return pool, hist[slot]


def _case(n: int, shape: tuple[int, ...], size: int, coin: bool, slot: int, dtype=torch.float64) -> Callable:
    """A pool of n images, whatever is drawn."""
    hist, new = random(n, *shape, seed=10 * n + slot).to(dtype), random(*shape, seed=10 * n + slot + 5).to(dtype)
    return worded(same(hist, new, size, coin, slot), "the pool", "what goes out")


EXERCISE = Exercise(
    name="image_pool",
    lesson="16",
    reference=image_pool,
    rule="Not full: store the new image and give it out. Full: heads gives out the one at the slot and stores the new "
    "one there, tails gives out the new one and leaves the pool.",
    probes=[
        _case(3, (2, 2), 3, True, 1),
        _case(3, (2, 2), 3, False, 1),
        _case(2, (2, 2), 4, True, 0),  # filling: the coin does not matter
        _case(2, (2, 2), 4, False, 3),
        _case(0, (3,), 2, True, 1),  # empty
        _case(3, (2,), 4, True, 1),  # the last one that is missing
        _case(4, (3,), 4, True, 2),
        _case(3, (1, 2), 3, True, 0),
        _case(1, (1, 1, 2), 1, True, 0),
        _case(5, (1, 2, 2), 5, True, 4, torch.float32),
        *(same(torch.tensor([1.0, 2.0]), torch.tensor(3.0), 2, coin, 0) for coin in (True, False)),
    ],
    mistakes=[
        (
            _filled(lambda hist, new, slot: (hist, new)),
            "The critic always gets the new image: heads gives out the old one at the slot.",
        ),
        (
            _filled(lambda hist, new, slot: (_put(hist, new, slot), new)),
            "The pool is right, but the critic always gets the new image: clone the old one before you overwrite it.",
        ),
        (
            _filled(lambda hist, new, slot: (hist, hist[slot])),
            "No replacement: heads gives out the old image and stores the new one in its place.",
        ),
        (_filled(lambda hist, new, slot: (_grown(hist[1:], new), hist[0])), "First in, first out: use the slot."),
        (
            _filled(*[lambda hist, new, slot: (_grown(hist[1:], new), hist[0])] * 2),
            "First in, first out, and the coin is ignored: it decides whether to swap, the slot which image.",
        ),
        (
            _filled(tails=lambda hist, new, slot: (_put(hist, new, slot), hist[slot])),
            "The coin is ignored: tails gives out the new image and leaves the pool as it is.",
        ),
        (
            lambda hist, new, size, coin, slot: image_pool(hist, new, size, not coin, slot),
            "The coin is the wrong way round: heads (True) swaps, tails lets the new image pass.",
        ),
        (
            _filled(lambda hist, new, slot: (_grown(hist[:-1], new), hist[-1])),
            "It swaps with the last image: use the slot.",
        ),
        (
            _filled(lambda hist, new, slot: (_put(hist, new, (slot - 1) % len(hist)), hist[slot - 1])),
            "The slot is one too small: slots are counted from 0, as in hist[slot].",
        ),
        (
            _filled(lambda hist, new, slot: (_put(hist, new, (slot + 1) % len(hist)), hist[(slot + 1) % len(hist)])),
            "The slot is one too large: slots are counted from 0, as in hist[slot].",
        ),
        (
            _filled(lambda hist, new, slot: (_put(hist, new, slot), hist[slot]) if slot else (hist, new)),
            "Slot 0 counts as none: test the coin alone, since 0 is False in Python.",
        ),
        (
            _filled(lambda hist, new, slot: (_grown(hist, new), hist[slot])),
            "The pool grows beyond its size: the new image takes the place of the old one.",
        ),
        (
            _filled(lambda hist, new, slot: (torch.cat([hist[:slot], hist[slot + 1 :], new[None]]), hist[slot])),
            "The order of the pool changes: the new image goes to the slot of the old one, not to the end.",
        ),
        (
            _filled(tails=lambda hist, new, slot: (hist, hist[slot])),
            "Tails gives out the old image: the new one passes.",
        ),
        (
            _filled(tails=lambda hist, new, slot: (_put(hist, new, slot), new)),
            "Tails stores the new image as well: it only passes, and the pool stays.",
        ),
        (
            lambda hist, new, size, coin, slot: (_grown(hist, new), new),
            "The pool is never full, or one image too late: with size images in it, the coin decides.",
        ),
        (_full(lambda hist, new, coin, slot: (hist, new)), "The pool is never filled: append until it is full."),
        (
            _full(lambda hist, new, coin, slot: (torch.cat([new[None], hist]), new)),
            "The new image is put in front: append it at the end, so that slots stay what they are.",
        ),
        (
            _full(lambda hist, new, coin, slot: (_grown(hist, new) if coin else hist, new)),
            "While the pool is filling the coin does not matter: every new image is stored.",
        ),
        (
            _full(lambda hist, new, coin, slot: (_grown(hist, new), _grown(hist, new)[slot % (len(hist) + 1)])),
            "While the pool is filling the critic gets the new image: old ones go out once it is full.",
        ),
        (_early, "The pool stops filling one too early: it is full when it holds size images."),
        (lambda *args: image_pool(*args)[::-1], "The results are swapped: first the pool, then what goes out."),
    ],
    accepts=[_by_list, _by_where, _by_copy],
    axes=("image", "row", "column"),
    speed=Speed(lambda: (torch.zeros(50, 3, 28, 28), torch.ones(3, 28, 28), 50, True, 7)),
)
