"""What does a model look at? Attributions that add up to what they explain, and a test whether they are right.

Of an autoregressive model the likelihood itself is a sum over pixels, exact (`surprise`). Of a function without such a
sum integrated gradients are one way to divide its value among the inputs. A picture is no evidence: `delete_top` takes
away what an attribution calls important, and the function must fall.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.evaluation.likelihood import check_scores
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_settings


def integrated_gradients(
    f: Callable[[Tensor], Tensor], x: Tensor, x0: Tensor, n: int = 64, *, batch_size: int = 1024
) -> Tensor:
    """(x - x0) times the mean gradient of f on the straight line from x0 to x; equation (19.8).

    The attributions of an example sum to f(x) - f(x0), up to the error of the sum over n midpoints.

    Args:
        f: (B, *shape) -> (B,), each from its own row, differentiable in its input.
        x: (B, *shape) floating-point numbers.
        x0: the baseline, (*shape) or (B, *shape). It is a choice, and what equals it gets nothing.
        n: points on the line, at least 1.
        batch_size: points at a time; it changes the memory, not the result.

    Returns:
        (B, *shape), in the unit of f, without gradient.

    Raises:
        TypeError, ValueError: for whole numbers, n out of range, a baseline of another shape, or f of another shape.

    Source:
        Sundararajan, Taly, Yan (2017), "Axiomatic Attribution for Deep Networks", arXiv 1703.01365, section 3.

    Example:
        >>> integrated_gradients(lambda x: x.prod(1), torch.tensor([[2.0, 3.0]]), torch.zeros(2))
        tensor([[3., 3.]])
    """
    check_settings(1, whole=True, n=n, batch_size=batch_size)
    for name, one in (("x", x), ("x0", x0)):
        if not isinstance(one, Tensor) or not one.is_floating_point():
            got = f"a tensor of {one.dtype}" if isinstance(one, Tensor) else f"a {type(one).__name__}"
            raise TypeError(
                f"expected {name} as floating-point numbers, got {got}; scale levels first: scale(x, levels)"
            )
    if x0.shape not in (x.shape, x.shape[1:]):
        raise ValueError(f"expected a baseline of shape {tuple(x.shape[1:])}, as x has, got {tuple(x0.shape)}")
    x, x0 = x.detach(), x0.detach()
    total, per = torch.zeros_like(x), max(1, batch_size // max(1, len(x)))
    for places in ((torch.arange(n, dtype=x.dtype, device=x.device) + 0.5) / n).split(per):
        at = places.view(-1, *[1] * x.ndim)
        points = (x0 + at * (x - x0)).flatten(0, 1).requires_grad_()
        with torch.enable_grad():
            values = f(points)
            if values.shape != points.shape[:1]:
                raise ValueError(
                    f"expected f of {len(points)} examples as ({len(points)},), got {tuple(values.shape)}; "
                    "return one number for each, such as the logit of one class"
                )
            (gradient,) = torch.autograd.grad(values.sum(), points)
        total += gradient.unflatten(0, (len(places), len(x))).sum(0)
    return (x - x0) * total / n


@torch.no_grad()
def surprise(model, x: Tensor) -> Tensor:
    """How little each position was expected: -log p(x_i | x_1, ..., x_{i-1}); equation (19.7).

    Of images the channels of a pixel are summed. The sum over the map is the negative log-likelihood, exactly, so
    nothing is left out. Which earlier pixels caused a surprise, it does not say.

    Args:
        model: with `position_log_probs(x) -> (B, *shape)` in nats, such as any autoregressive model of this course.
        x: LongTensor (B, *shape) of levels.

    Returns:
        (B, H, W) nats for images, (B, T) for sequences, each at least 0.

    Raises:
        TypeError, ValueError: for a model without `position_log_probs`, or examples that do not fit it.
    """
    check_scores(model, "position_log_probs")
    with evaluation_mode(model):
        nats = -model.position_log_probs(x)
    return nats if nats.ndim < 3 else nats.sum(1)


def delete_top(x: Tensor, attribution: Tensor, k: int, fill: Tensor | float = 0.0) -> Tensor:
    """The examples without the k positions that have the largest attributions: a test whether these are right.

    What is left may look like no data, and a fall may come from that: compare with equally many positions chosen
    otherwise, such as the most ink, or at random.

    Args:
        x: (B, *shape).
        attribution: (B, *shape), the sign counts: positive is for the class.
        k: positions of each example, from 0 to all.
        fill: what they become, a number or (*shape).

    Returns:
        (B, *shape), a copy.

    Raises:
        ValueError: for attributions of another shape, or k out of range.

    Source:
        Samek et al. (2017), "Evaluating the Visualization of What a Deep Neural Network Has Learned", arXiv 1509.06321.

    Example:
        >>> delete_top(torch.tensor([[5, 6, 7]]), torch.tensor([[0.1, 0.9, 0.3]]), k=2, fill=0)
        tensor([[5, 0, 0]])
    """
    check_settings(0, whole=True, k=k)
    if x.shape != attribution.shape:
        raise ValueError(f"expected attributions of the shape of x, {tuple(x.shape)}, got {tuple(attribution.shape)}")
    if k > x[0].numel():
        raise ValueError(f"k={k} is out of range: an example has {x[0].numel()} positions")
    places = attribution.flatten(1).topk(k, 1).indices
    value = torch.as_tensor(fill, dtype=x.dtype, device=x.device).expand(x.shape).flatten(1)
    return x.flatten(1).scatter(1, places, value.gather(1, places)).reshape(x.shape)
