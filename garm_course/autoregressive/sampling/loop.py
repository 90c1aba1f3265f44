"""The one sampling loop of the course: pixel after pixel, each drawn from its conditional.

Ancestral sampling is the same for every autoregressive model, and so is everything around it: temperature and
truncation, completing an image of which a part is given, and the random draws. A model only says what the next
conditional is, either by a full forward pass over the image so far (naive: D passes for D positions) or by one `step`
that reuses all features computed before (cached: each feature once). Both draw the same values from the same
uniforms.

Source: caching for convolutions: Ramachandran et al. (2017), arXiv 1704.06001.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from garm_course.distributions.filters import check_filters, draw, filter_logits
from garm_course.evaluation_mode import evaluation_mode


def sample(
    model: nn.Module,
    n: int,
    y: Tensor | None = None,
    *,
    given: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    rng: torch.Generator | None = None,
    naive: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Tensor:
    """Draw n images from the model.

    With `given` and `mask` the marked pixels are kept and the others drawn in raster order, each from its conditional
    given all pixels before it. Where the given pixels come first (a top half, say) this is an exact draw from
    p(rest | given); a given pixel further down cannot influence what is drawn before it.

    Args:
        n: number of images, at least 1.
        y: LongTensor (n,) of classes, for a class-conditional model.
        given: LongTensor (C, H, W) or (n, C, H, W) of levels.
        mask: BoolTensor of the same shape: True where `given` is kept.
        temperature, top_k, top_p, min_p: see `filter_logits`; the defaults leave the model's distribution as it is.
        rng: source of the uniforms, one for each image and position, drawn on its own device before the first pixel;
            image k gets the same ones whatever n is. None takes torch's global generator.
        naive: recompute the whole image for each position, instead of `step`.
        progress: wraps the loop over positions in a progress bar (`tqdm`, or `garm_course.show.progress`).

    Returns:
        LongTensor (n, C, H, W).

    Raises:
        TypeError, ValueError: for arguments outside these ranges, or a model with weights that are not finite.
    """
    check_count(n, rng)
    filters = active_filters(temperature, top_k, top_p, min_p)
    first = check_weights(model)
    model.check_classes(y, n)
    y = None if y is None else y.to(first.device)
    known, keep = _completion(model, n, given, mask)
    known = known.to(first.device).T.contiguous() if known is not None else None
    keep = keep.to(first.device).T.contiguous() if keep is not None else None
    (u,) = uniforms(model, n, rng, first)
    x = torch.zeros(model.positions, n, dtype=torch.long, device=first.device)  # one row for each position
    with torch.inference_mode(), evaluation_mode(model):
        state = None if naive else model.start(n, y)
        positions = range(model.positions)
        for i in positions if progress is None else progress(positions):
            if naive:
                params = model.to_sequence(model(model.from_sequence(x.T), y))[:, i]
            else:
                params = model.step(state, i, x[i - 1] if i else None)
            value = draw_value(model, params, u[i], filters)
            x[i] = value if keep is None else torch.where(keep[i], known[i], value)
    # copied outside the block: an ordinary tensor, fit for autograd and for editing
    return model.from_sequence(x.T).clone(memory_format=torch.contiguous_format)


def draw_value(model: nn.Module, params: Tensor, u: Tensor, filters: dict) -> Tensor:
    """The value (n,) at uniforms u (n,) of the conditional with these parameters, after the filters."""
    if not filters:
        return model.head.sample(params, u)
    return draw(filter_logits(model.head.logits(params), **filters).log_softmax(-1), u)


def active_filters(temperature: float, top_k: int | None, top_p: float | None, min_p: float | None) -> dict:
    """Checked arguments for `filter_logits`; empty if they leave every distribution as it is."""
    check_filters(temperature, top_k, top_p, min_p)
    if temperature == 1.0 and top_k is None and top_p is None and not min_p:
        return {}
    return {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}


def uniforms(model: nn.Module, n: int, rng: torch.Generator | None, like: Tensor, each: int = 1) -> Tensor:
    """(each, D, n) uniforms in [0, 1), in the dtype of the parameters of the conditionals and on the device of `like`.

    Image k gets the same ones whatever n is: they are drawn image by image, on the device of `rng`.
    """
    device = rng.device if rng else "cpu"
    u = torch.rand(n, model.positions, each, generator=rng, dtype=torch.float64, device=device)
    dtype = torch.promote_types(like.dtype, torch.float32)  # that of the parameters, see PixelModel.read_out
    return u.to(device=like.device, dtype=dtype).permute(2, 1, 0).contiguous()


def check_count(n: int, rng: torch.Generator | None) -> None:
    """Refuse a number of images below 1, and what is not a generator."""
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"expected n >= 1 images (an integer), got {n}")
    if rng is not None and not isinstance(rng, torch.Generator):
        raise TypeError(f"expected rng: a torch.Generator, got {rng!r}; use torch.Generator().manual_seed(...)")


@contextmanager
def one_thread(elements: int) -> Iterator[None]:
    """Compute on one thread inside the block if tensors have so few elements that waking another costs more.

    32,768 is the size from which torch itself splits loops; matrix products and convolutions split earlier. What is
    computed for one position of a few images is far below it. Has no effect on a GPU.
    """
    threads = torch.get_num_threads()
    if threads == 1 or elements > 32768:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_weights(model: nn.Module) -> Tensor:
    """The model's first parameter, after making sure that all are finite."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ValueError(
                f"the model's weight {name!r} holds NaN or infinity: its training diverged; train it again"
            )
    return next(model.parameters())


def _completion(
    model: nn.Module, n: int, given: Tensor | None, mask: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """`given` and `mask` as sequences (n, D), checked."""
    if given is None and mask is None:
        return None, None
    if given is None or mask is None:
        raise ValueError("completion needs both `given` (levels) and `mask` (True where they are kept)")
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError("expected `mask` as a BoolTensor, True where `given` is kept; use mask.bool()")
    if not isinstance(given, Tensor):
        raise TypeError(f"expected `given` as a LongTensor of levels, got a {type(given).__name__}")
    given = given.expand(n, *model.shape) if tuple(given.shape) == model.shape else given
    mask = mask.expand(n, *model.shape) if tuple(mask.shape) == model.shape else mask
    model.check_examples(given.where(mask, 0) if given.shape == mask.shape and given.dtype == torch.long else given)
    if len(given) != n or given.shape != mask.shape:
        raise ValueError(
            f"expected `given` and `mask` of shape {model.shape} or {(n, *model.shape)}, "
            f"got {tuple(given.shape)} and {tuple(mask.shape)}"
        )
    return model.to_sequence(given), model.to_sequence(mask)
