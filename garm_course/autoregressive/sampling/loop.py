"""The one sampling loop of the course: value after value, each drawn from its conditional.

Ancestral sampling is the same for every autoregressive model, and so is everything around it: temperature and
truncation, completing an example of which a part is given, and the random draws. A model only says what the next
conditional is, either by a full forward pass over the example so far (naive: D passes for D positions) or by one `step`
that reuses all features computed before (cached: each feature once). Both draw the same values from the same
uniforms.

Source: caching for convolutions: Ramachandran et al. (2017), arXiv 1704.06001.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from garm_course.autoregressive.sampling.constraints import Automaton, Constrained
from garm_course.distributions.filters import check_filters, draw, filter_logits
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import looked_at, readable

Transform = Callable[[Tensor, int, Tensor | None], Tensor]


def sample(
    model: nn.Module,
    n: int,
    y: Tensor | None = None,
    *,
    length: int | None = None,
    given: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    rng: torch.Generator | None = None,
    allowed: Automaton | None = None,
    transform: Transform | None = None,
    naive: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Tensor | Constrained:
    """Draw n examples from the model.

    With `given` and `mask` the marked values are kept and the others drawn in the model's order, each from its
    conditional given all values before it. Where the given values come first (a top half, say) this is an exact draw
    from p(rest | given); a given value further down cannot influence what is drawn before it. A model whose length is
    chosen here (`elastic`) also goes on from a *prompt*: a shorter `given` without a mask.

    Args:
        n: number of examples, at least 1.
        y: LongTensor (n,) of classes, for a class-conditional model.
        length: of the examples, for an elastic model; None for the length that it was built for.
        given: LongTensor (*shape) or (n, *shape) of levels; a prompt is shorter.
        mask: BoolTensor of the same shape: True where `given` is kept.
        temperature: see `filter_logits`; the defaults of all filters leave the model's distribution as it is.
        top_k: see `filter_logits`.
        top_p: see `filter_logits`.
        min_p: see `filter_logits`.
        rng: source of the uniforms, see `position_uniforms`. None takes torch's global generator.
        allowed: a grammar that every example must obey, also its prompt: an `Automaton`, or what has the same methods.
            Filters act on what it allows. It cannot be combined with a mask.
        transform: changes the logits of each conditional before the filters: (logits (n, levels), i, values (n,) at
            position i - 1, None for i = 0) -> logits. It cannot be combined with a grammar.
        naive: recompute the whole example for each position, instead of `step`.
        progress: wraps the loop over positions in a progress bar (`tqdm`, or `garm_course.show.progress`).

    Returns:
        LongTensor (n, *shape); `Constrained` with a grammar.

    Raises:
        TypeError, ValueError: for arguments outside these ranges, a model with weights that are not finite, or a
            grammar that allows nothing of this length, or not the prompt.
    """
    check_count(n, rng)
    filters = active_filters(temperature, top_k, top_p, min_p)
    first = check_weights(model)
    model.check_classes(y, n)
    y = None if y is None else y.to(first.device)
    d = math.prod(model.shape_of(length))
    known, keep = _completion(model, n, model.shape_of(length), given, mask)
    known = known.to(first.device).T.contiguous() if known is not None else None
    keep = keep.to(first.device).T.contiguous() if keep is not None else None
    (u,) = position_uniforms(model, n, d, rng, first)
    if transform is not None and allowed is not None:
        raise ValueError("a transform and a grammar (`allowed`) cannot be combined; leave one of them out")
    grammar = None if allowed is None else _Grammar(allowed, model, n, d, known, keep)
    x = torch.zeros(d, n, dtype=torch.long, device=first.device)  # one row for each position
    positions = range(d)
    with torch.inference_mode(), evaluation_mode(model), ExitStack() as rest:
        state = None if naive else initial_state(model, n, y, d)
        if known is not None and keep is None:
            x[: len(known)], positions = known, range(len(known), d)
            if not naive:
                read_prompt(model, state, known)
        for i in positions if progress is None else progress(positions):
            x_prev = x[i - 1] if i else None
            if naive:
                params = model.to_sequence(model(model.from_sequence(x.T), y))[:, i]
            else:
                params = model.step(state, i, x_prev)
            if grammar:
                value = grammar.draw(params, u[i], d - i, filters)
            elif transform:
                logits = transform(model.head.logits(params), i, x_prev)
                value = draw(filter_logits(logits, **filters).log_softmax(-1), u[i])
            else:
                value = draw_value(model, params, u[i], filters)
            x[i] = value if keep is None else torch.where(keep[i], known[i], value)
            if i == positions[0]:
                rest.enter_context(looked_at())
    # copied outside the block: an ordinary tensor, fit for autograd and for editing
    x = model.from_sequence(x.T).clone(memory_format=torch.contiguous_format)
    return Constrained(x, grammar.log_mass.clone()) if grammar else x


class _Grammar:
    """A grammar while n examples are drawn: in which state each is, and what was left out so far."""

    def __init__(self, allowed: Automaton, model: nn.Module, n: int, d: int, known: Tensor | None, keep: Tensor | None):
        if keep is not None:
            raise ValueError("a grammar (`allowed`) and a mask cannot be combined; give what comes first as a prompt")
        if allowed.levels != model.levels:
            raise ValueError(
                f"expected a grammar of {model.levels} values, as the model has, got one of {allowed.levels}; give "
                "it a column for each value"
            )
        self.allowed, self.model, self.state, self.log_mass = allowed, model, allowed.start(n), 0.0
        prompt = () if known is None else known.to(self.state.device)
        for i, x in enumerate(prompt):
            if not allowed.mask(self.state, d - i).gather(1, x[:, None]).all():
                raise ValueError(
                    f"the grammar does not allow value {i} of the prompt, or no way from there to an end at length "
                    f"{d}; change the prompt, the length or the grammar"
                )
            self.state = allowed.advance(self.state, x)
        if not allowed.mask(self.state, d - len(prompt)).any(1).all():
            raise ValueError(f"the grammar allows no example of length {d}; change the length or the grammar")

    def draw(self, params: Tensor, u: Tensor, left: int, filters: dict) -> Tensor:
        """The value (n,) at uniforms u (n,), among those that are allowed where `left` are still to come."""
        mask = self.allowed.mask(self.state, left).to(params.device)
        logits = self.model.head.logits(params).log_softmax(-1).masked_fill(~mask, -math.inf)
        self.log_mass = self.log_mass + logits.logsumexp(-1)
        value = draw((filter_logits(logits, **filters) if filters else logits).log_softmax(-1), u)
        self.state = self.allowed.advance(self.state, value.to(self.state.device))
        return value


def initial_state(model: nn.Module, n: int, y: Tensor | None, d: int) -> object:
    """The state before the first of d positions; only an elastic model can have another number than `positions`."""
    if model.elastic:
        return model.start(n, y, length=d * model.length // model.positions)
    return model.start(n, y)


def read_prompt(model: nn.Module, state: object, x: Tensor) -> None:
    """Advance a fresh state past the given first values x (m, n), so that `step` may go on at position m.

    A prompt is a row of guesses that are all right, so a model that looks ahead reads it in few passes.
    """
    i = 0
    while i < len(x):
        x_prev, end = x[i - 1] if i else None, min(model.block_end(i), len(x)) if model.looks_ahead else i + 1
        if model.looks_ahead:
            model.look_ahead(state, i, x_prev, x[i : end - 1])
        else:
            model.step(state, i, x_prev)
        i = end


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


def position_uniforms(
    model: nn.Module, n: int, d: int, rng: torch.Generator | None, like: Tensor, each: int = 1
) -> Tensor:
    """(each, d, n) uniforms in [0, 1), in the dtype of the parameters of the conditionals and on the device of `like`.

    They are drawn up front, example by example, on the device of `rng`, so that example k gets the same ones whatever n
    is. Where the length d may vary, each example has a generator of its own, seeded from `rng`: its uniforms then begin
    alike whatever d is.
    """
    device = rng.device if rng else "cpu"
    if model.elastic:
        seeds = torch.randint(2**62, (n,), generator=rng, device=device).tolist()
        own = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        u = torch.stack([torch.rand(d, each, generator=g, dtype=torch.float64, device=device) for g in own])
    else:
        u = torch.rand(n, d, each, generator=rng, dtype=torch.float64, device=device)
    dtype = torch.promote_types(like.dtype, torch.float32)  # that of the parameters, see PixelModel.read_out
    return u.to(device=like.device, dtype=dtype).permute(2, 1, 0).contiguous()


def check_count(n: int, rng: torch.Generator | None) -> None:
    """Refuse a number of examples below 1, and what is not a generator."""
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"expected n >= 1 examples (an integer), got {n}")
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
    """The model's first parameter, or buffer if it has none, after making sure that all parameters are finite."""
    for name, parameter in model.named_parameters():
        if readable(parameter) and not torch.isfinite(parameter).all():
            raise ValueError(
                f"the model's weight {name!r} holds NaN or infinity: its training diverged; train it again"
            )
    return next(itertools.chain(model.parameters(), model.buffers()))


def _completion(
    model: nn.Module, n: int, shape: tuple[int, ...], given: Tensor | None, mask: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """`given` and `mask` as sequences (n, D), checked; or a prompt (n, m) and no mask."""
    if given is None and mask is None:
        return None, None
    if mask is None and model.elastic:
        return _prompt(model, n, shape, given), None
    if given is None or mask is None:
        raise ValueError("completion needs both `given` (levels) and `mask` (True where they are kept)")
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError("expected `mask` as a BoolTensor, True where `given` is kept; use mask.bool()")
    if not isinstance(given, Tensor):
        raise TypeError(f"expected `given` as a LongTensor of levels, got a {type(given).__name__}")
    given = given.expand(n, *shape) if tuple(given.shape) == shape else given
    mask = mask.expand(n, *shape) if tuple(mask.shape) == shape else mask
    if tuple(given.shape) != (n, *shape) or given.shape != mask.shape:
        raise ValueError(
            f"expected `given` and `mask` of shape {shape} or {(n, *shape)}, "
            f"got {tuple(given.shape)} and {tuple(mask.shape)}"
        )
    model.check_examples(given.where(mask, 0) if given.dtype == torch.long else given)
    return model.to_sequence(given), model.to_sequence(mask)


def _prompt(model: nn.Module, n: int, shape: tuple[int, ...], given: Tensor) -> Tensor:
    """A prompt as a sequence (n, m), checked."""
    if not isinstance(given, Tensor):
        raise TypeError(
            f"expected a prompt as a LongTensor of levels 0..{model.levels - 1}, got a {type(given).__name__}; a data "
            "set of texts makes one: data.encode(text)"
        )
    if not given.numel():
        raise ValueError(
            f"expected a prompt of at least one value, got none, shape {tuple(given.shape)}; leave `given` out to "
            "begin from nothing"
        )
    if isinstance(given, Tensor) and given.ndim == len(shape):
        given = given.expand(n, *given.shape)
    model.check_examples(given)
    prompt = model.to_sequence(given)
    if len(prompt) != n or prompt.shape[1] >= math.prod(shape):
        raise ValueError(
            f"expected a prompt for {n} examples that is shorter than their length, {shape}, got {tuple(given.shape)}; "
            "choose a larger length, or cut the prompt"
        )
    return prompt
