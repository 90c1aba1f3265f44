"""One image into the pool of earlier fakes, and one out of it for the critic."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.cyclegan import image_pool
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _filled(rest: Callable):
    """Right while the pool is not full; then `rest(hist, new, size, coin, slot)`."""

    def answer(hist, new, size, coin, slot):
        if len(hist) < size:
            return torch.cat([hist, new[None]]), new
        return rest(hist, new, size, coin, slot)

    return answer


def _full(fill: Callable):
    """Right once the pool is full; before that `fill(hist, new, size, coin, slot)`."""

    def answer(hist, new, size, coin, slot):
        if len(hist) < size:
            return fill(hist, new, size, coin, slot)
        return image_pool(hist, new, size, coin, slot)

    return answer


def _replaced(hist: Tensor, new: Tensor, slot: int) -> Tensor:
    return torch.cat([hist[:slot], new[None], hist[slot + 1 :]])


def _in_place(hist, new, size, coin, slot):
    if len(hist) < size:
        return torch.cat([hist, new[None]]), new
    if not coin:
        return hist, new
    out = hist[slot].clone()
    hist[slot] = new
    return hist, out


def _view(hist, new, size, coin, slot):
    if len(hist) < size:
        return torch.cat([hist, new[None]]), new
    if not coin:
        return hist, new
    hist = hist.clone()
    out = hist[slot]  # a view: it changes with the pool
    hist[slot] = new
    return hist, out


def _early(hist, new, size, coin, slot):
    if len(hist) < size - 1:
        return torch.cat([hist, new[None]]), new
    if not coin or len(hist) == 0:
        return hist, new
    slot = min(slot, len(hist) - 1)
    return _replaced(hist, new, slot), hist[slot]


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


def _images(n: int, *shape: int, seed: int) -> tuple[Tensor, Tensor]:
    return random(n, *shape, seed=seed), random(*shape, seed=seed + 1)


def _fills(hist, new, size, coin, slot):
    return torch.cat([hist, new[None]]), new


EXERCISE = Exercise(
    name="image_pool",
    lesson="16",
    reference=image_pool,
    rule="Not full: store the new image and give it out. Full: heads gives out the one at the slot and stores the new "
    "one there, tails gives out the new one and leaves the pool.",
    probes=[
        same(*_images(3, 2, 2, seed=1), 3, True, 1),
        same(*_images(3, 2, 2, seed=3), 3, False, 1),
        same(*_images(2, 2, 2, seed=5), 4, True, 0),  # filling: the coin does not matter
        same(*_images(2, 2, 2, seed=7), 4, False, 3),
        same(*_images(0, 3, seed=9), 2, True, 1),  # empty
        same(*_images(3, 2, seed=15), 4, True, 1),  # the last one that is missing
        same(*_images(4, 3, seed=11), 4, True, 2),
        same(*(t.float() for t in _images(5, 1, 2, 2, seed=13)), 5, True, 4),
    ],
    mistakes=[
        (
            _filled(lambda hist, new, size, coin, slot: (hist, new)),
            "The critic always gets the new image: heads gives out the old one at the slot.",
        ),
        (
            _view,
            "The pool is right, but the critic always gets the new image: clone the old one before you overwrite it.",
        ),
        (
            _filled(lambda hist, new, size, coin, slot: (hist, hist[slot]) if coin else (hist, new)),
            "No replacement: heads gives out the old image and stores the new one in its place.",
        ),
        (
            _filled(
                lambda hist, new, size, coin, slot: (torch.cat([hist[1:], new[None]]), hist[0]) if coin else (hist, new)
            ),
            "First in, first out: the slot says which image is swapped, not its age.",
        ),
        (
            _filled(lambda hist, new, size, coin, slot: (torch.cat([hist[1:], new[None]]), hist[0])),
            "First in, first out, and the coin is ignored: it decides whether to swap, the slot which image.",
        ),
        (
            _filled(lambda hist, new, size, coin, slot: (torch.cat([hist[1:], new[None]]), new)),
            "A queue of the newest: heads swaps with the image at the slot, and the old one goes out.",
        ),
        (
            _filled(lambda hist, new, size, coin, slot: (_replaced(hist, new, slot), hist[slot])),
            "The coin is ignored: tails gives out the new image and leaves the pool as it is.",
        ),
        (
            _filled(lambda hist, new, size, coin, slot: image_pool(hist, new, size, not coin, slot)),
            "The coin is the wrong way round: heads (True) swaps, tails lets the new image pass.",
        ),
        (
            _filled(
                lambda hist, new, size, coin, slot: (_replaced(hist, new, -1 % size), hist[-1]) if coin else (hist, new)
            ),
            "It swaps with the last image: the slot says which one.",
        ),
        (
            _filled(lambda hist, new, size, coin, slot: (_replaced(hist, new, slot), new if coin else hist[slot])),
            "The new image is stored whatever the coin says, and heads and tails give out the wrong one.",
        ),
        (
            _filled(
                lambda hist, new, size, coin, slot: (torch.cat([hist, new[None]]), hist[slot]) if coin else (hist, new)
            ),
            "The pool grows beyond its size: the new image takes the place of the old one.",
        ),
        (
            _filled(
                lambda hist, new, size, coin, slot: (
                    (torch.cat([hist[:slot], hist[slot + 1 :], new[None]]), hist[slot]) if coin else (hist, new)
                )
            ),
            "The order of the pool changes: the new image goes to the slot of the old one, not to the end.",
        ),
        (
            _filled(
                lambda hist, new, size, coin, slot: (
                    (_replaced(hist, new, slot), hist[slot]) if coin else (_replaced(hist, new, slot), new)
                )
            ),
            "Tails stores the new image as well: it only passes, and the pool stays.",
        ),
        (_fills, "The pool is never full: once it holds `size` images, the coin decides."),
        (
            _full(lambda hist, new, size, coin, slot: (hist, new)),
            "The pool is never filled: while it holds fewer than `size` images, the new one is stored.",
        ),
        (
            _full(lambda hist, new, size, coin, slot: (torch.cat([new[None], hist]), new)),
            "The new image is put in front: append it at the end, so that slots stay what they are.",
        ),
        (
            _full(lambda hist, new, size, coin, slot: (torch.cat([hist, new[None]]) if coin else hist, new)),
            "While the pool is filling the coin does not matter: every new image is stored.",
        ),
        (
            _full(
                lambda hist, new, size, coin, slot: (
                    torch.cat([hist, new[None]]),
                    hist[slot % len(hist)] if coin and len(hist) else new,
                )
            ),
            "While the pool is filling the critic gets the new image: old ones go out once it is full.",
        ),
        (_early, "The pool stops filling one too early: it is full when it holds `size` images."),
        (_in_place, "The pool is changed in place: work on a copy, hist.clone()."),
        (
            lambda hist, new, size, coin, slot: image_pool(hist, new, size, coin, slot)[::-1],
            "The results are swapped: first the pool, then what goes out.",
        ),
        (
            lambda hist, new, size, coin, slot: image_pool(hist, new, size, coin, slot)[1],
            "The pool is missing: return both.",
        ),
        (
            lambda hist, new, size, coin, slot: image_pool(hist, new, size, coin, slot)[0],
            "What goes out is missing: return both.",
        ),
    ],
    accepts=[
        _by_list,
        _by_where,
        _filled(lambda hist, new, size, coin, slot: (_replaced(hist, new, slot), hist[slot]) if coin else (hist, new)),
    ],
    axes=("image", "row", "column"),
    speed=Speed(lambda: (torch.zeros(50, 3, 28, 28), torch.ones(3, 28, 28), 50, True, 7)),
)
