"""How much weight the critic's loss gets against the reconstruction; equation (17.1)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from garm_course.adversarial.vqgan import adaptive_weight
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed


def _grad(loss: Tensor, weight: Tensor, keep: bool = True) -> Tensor:
    return torch.autograd.grad(loss, weight, retain_graph=keep)[0]


def _ratio(rec: Tensor, gan: Tensor, delta: float) -> Tensor:
    return (rec / (gan + delta)).clamp(0, 1e4).detach()


def _asked(
    answer: Callable, _rec, _gan, last: Tensor, *delta: float, inner: Tensor, scale: float, sharp: float
) -> dict:
    """The weight that an answer gives to two losses of a small network, and what its call leaves behind."""
    inner, last = inner.clone().requires_grad_(), last.clone().requires_grad_()
    last.grad = torch.full_like(last, 0.25)
    out = (inner.view(-1, *[1] * last.ndim) * last).tanh()  # last: any shape
    rec, gan = sharp * (out - 0.7).square().mean(), -scale * (out.sin() + 0.3 * out).mean()
    weight = answer(rec, gan, last, *delta)
    found = {
        "weight": weight.detach() if isinstance(weight, Tensor) else weight,
        "weight's own graph (1 if it has one)": int(isinstance(weight, Tensor) and weight.requires_grad),
        "gradient that last had before the call": last.grad,
        "number of other gradients that the call left": int(inner.grad is not None),
    }
    last.grad = None
    (rec + gan).backward()  # both graphs are still to be used
    return {**found, "gradient of the losses afterward": last.grad}


def _example(answer: Callable, _rec, _gan, w: Tensor) -> Tensor:
    """The call in the text."""
    w.requires_grad_()
    return answer((6 * w).sum(), (2 * w).sum(), w)


def _by(combine: Callable, power: Callable = torch.Tensor.norm, grad: Callable = _grad):
    """An answer from two numbers, each made from a gradient."""
    return lambda rec, gan, last, delta=1e-4: combine(power(grad(rec, last)), power(grad(gan, last)), delta)


def _with_graph(rec: Tensor, gan: Tensor, last: Tensor, delta: float = 1e-4) -> Tensor:
    a, b = (torch.autograd.grad(loss, last, create_graph=True)[0].norm() for loss in (rec, gan))
    return (a / (b + delta)).clamp(0, 1e4)


def _freed(rec: Tensor, gan: Tensor, last: Tensor, delta: float = 1e-4) -> Tensor:
    return _ratio(_grad(rec, last, keep=True).norm(), _grad(gan, last, keep=False).norm(), delta)


def _backward(rec: Tensor, gan: Tensor, last: Tensor, delta: float = 1e-4) -> Tensor:
    last.grad = None
    rec.backward(retain_graph=True)
    first = last.grad.clone()
    last.grad = None
    gan.backward(retain_graph=True)
    return _ratio(first.norm(), last.grad.norm(), delta)


def _accumulated(rec: Tensor, gan: Tensor, last: Tensor, delta: float = 1e-4) -> Tensor:
    rec.backward(retain_graph=True, inputs=[last])
    first = last.grad.norm()
    gan.backward(retain_graph=True, inputs=[last])
    return _ratio(first, last.grad.norm(), delta)


def _put_back(rec: Tensor, gan: Tensor, last: Tensor, delta: float = 1e-4) -> Tensor:
    before, norms = last.grad, []
    for loss in (rec, gan):
        last.grad = None
        loss.backward(retain_graph=True, inputs=[last])
        norms.append(last.grad.square().sum().sqrt())
    last.grad = before
    return _ratio(*norms, delta)


def _case(*shape: int, seed: int, scale: float = 1.0, sharp: float = 1.0, delta: tuple = (), dtype=torch.float64):
    inner, last = random(5, seed=seed).to(dtype), random(*shape, seed=seed + 50).to(dtype)
    return plain(None, None, last, *delta, use=partial(_asked, inner=inner, scale=scale, sharp=sharp))


FREED = (
    "The graph is gone after the call, but both losses are still to be used: take "
    "torch.autograd.grad(..., retain_graph=True) for each of the two."
)
LEFT = (
    "The call changes .grad: backward() adds to it. Take torch.autograd.grad, which returns the gradient and leaves "
    ".grad alone."
)
FLAT = "Right except for a flat critic, whose gradient is 0: add delta to the norm below, then clamp to [0, 1e4]."
SHARP = "Right except for a very large ratio: clamp it to [0, 1e4]."

EXERCISE = Exercise(
    name="adaptive_weight",
    lesson="17",
    reference=adaptive_weight,
    rule="Take the gradients of rec and of gan at last with torch.autograd.grad, keeping the graphs, divide the norm "
    "of the first by the norm of the second plus delta, clamp to [0, 1e4], and detach.",
    probes=[
        _case(3, 4, seed=1),
        _case(3, 4, seed=1, scale=7.0),
        _case(2, 3, 2, 2, seed=2, delta=(0.05,)),
        plain(None, None, torch.ones(1), use=_example),
        edge(_case(4, seed=3, scale=0.0), FLAT),
        edge(_case(3, 2, seed=4, scale=0.0, sharp=100.0), SHARP),
        edge(_case(4, seed=6, sharp=0.0), "Right except for a reconstruction without an error: the weight may be 0."),
        _case(2, 5, seed=5, dtype=torch.float32),
    ],
    rtol=1e-5,
    mistakes=[
        (
            _by(lambda r, g, d: _ratio(g, r, d)),
            "The ratio is upside down. The weight multiplies the critic's loss, so it must be large where the critic's "
            "gradient is small: the norm for rec goes on top.",
        ),
        (
            _with_graph,
            "The result still has a graph, so training would also move the weights through the weight itself. Detach.",
        ),
        (
            lambda rec, gan, last, delta=1e-4: _ratio(rec.detach(), gan.detach().abs(), delta),
            "This is the ratio of the losses. A constant added to a loss changes its value but trains nothing: compare "
            "the norms of the gradients.",
        ),
        (
            lambda rec, gan, last, delta=1e-4: _ratio(rec.detach(), gan.detach(), delta),
            "This is the ratio of the losses, and gan may be negative: compare the norms of the gradients.",
        ),
        (
            _by(lambda r, g, d: (r / g).clamp(0, 1e4).detach()),
            "delta is missing: where the critic is flat the ratio is infinite or 0 / 0.",
        ),
        (
            _by(lambda r, g, d: ((r + d) / (g + d)).clamp(0, 1e4).detach()),
            "delta stands above the line, too: it only keeps the norm below away from 0.",
        ),
        (
            _by(lambda r, g, d: (r / g + d).clamp(0, 1e4).detach()),
            "delta is added to the ratio. Add it to the norm below, before the division.",
        ),
        (
            _by(lambda r, g, d: (r / g.clamp(min=d)).clamp(0, 1e4).detach()),
            "The norm below is clamped at delta. (17.1) adds delta.",
        ),
        (
            lambda rec, gan, last, delta=None: adaptive_weight(rec, gan, last),
            "delta is ignored: use the argument, not a number.",
        ),
        (_freed, FREED),
        (_backward, LEFT),
        (
            _accumulated,
            "The second gradient has been added to the first, and both stay in last.grad: backward() accumulates. Take "
            "torch.autograd.grad.",
        ),
        (_by(_ratio, lambda g: g.square().sum()), "These are squared norms: take the root."),
        (_by(_ratio, lambda g: g.abs().sum()), "This norm adds absolute values. Take the root of the sum of squares."),
        (_by(_ratio, lambda g: g.abs().max()), "This is the largest entry. Take the root of the sum of squares."),
        (
            _by(_ratio, lambda g: g.square().mean().sqrt()),
            "These are root mean squares. Their ratio without delta is the same, but delta then weighs more: take the "
            "norm, over all entries.",
        ),
        (
            _by(lambda r, g, d: (r / (g + d)).norm().clamp(0, 1e4).detach(), lambda g: g.abs()),
            "The gradients are divided entry by entry. Take the norm of each first.",
        ),
        (
            _by(_ratio, lambda g: g.flatten(1).norm(dim=1).mean() if g.ndim > 1 else g.norm()),
            "This is a mean over the norms of the rows. Take one norm over all entries of the weight.",
        ),
        (
            _by(lambda r, g, d: (r / (g + d)).detach()),
            SHARP,
        ),
        (
            _by(lambda r, g, d: (r / (g + d)).clamp(0, 1.0).detach()),
            "The ratio is limited to 1. The limit is 1e4: a weak critic may need a large weight.",
        ),
        (
            _by(lambda r, g, d: 0.8 * _ratio(r, g, d)),
            "The factor 0.8 is already in. It belongs to the total loss, not to the weight.",
        ),
        (
            lambda rec, gan, last, delta=1e-4: adaptive_weight(rec, gan, last, delta).item(),
            "This is a Python number. Leave it a tensor: .item() makes a GPU wait at every step.",
        ),
    ],
    accepts=[
        _put_back,
        lambda rec, gan, last, delta=1e-4: torch.clip(
            torch.linalg.vector_norm(_grad(rec, last)) / (torch.linalg.vector_norm(_grad(gan, last)) + delta), max=1e4
        ),
        _by(lambda r, g, d: (r / (g + d)).clamp(max=1e4).detach(), lambda g: g.square().sum().sqrt()),
        lambda rec, gan, last, delta=1e-4: (lambda r, g: torch.minimum(r / (g + delta), torch.full_like(r, 1e4)))(
            *(_grad(loss, last).flatten().norm() for loss in (rec, gan))
        ),
    ],
    speed=Speed(
        lambda: (None, None, random(64, 64, seed=9)),
        use=partial(_asked, inner=random(64, seed=8), scale=1.0, sharp=1.0),
    ),
)
