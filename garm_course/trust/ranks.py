"""How often numbers of one set are below numbers of another: the statistic of Mann and Whitney, with ties halved.

It is the area under a receiver operating characteristic, and the copy test of `memorization`.
"""

import torch
from torch import Tensor


def share_below(a: Tensor, b: Tensor) -> float:
    """P(a < b) + P(a = b) / 2 over all pairs of a number of the first set and a number of the second.

    Args:
        a: (N,) numbers.
        b: (M,) numbers.

    Returns:
        In [0, 1]; 1/2 for two sets of one law, in expectation.

    Raises:
        TypeError, ValueError: for what are no numbers (N,), an empty set, or NaN.

    Example:
        >>> share_below(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]))
        0.875
    """
    a, b = check_numbers(first=a, second=b)
    b = b.sort().values
    not_below, below = torch.searchsorted(b, a), torch.searchsorted(b, a, right=True)
    return (1 - (not_below + below).double().mean() / (2 * len(b))).item()


def null_deviation(a: Tensor, b: Tensor) -> float:
    """The standard deviation of `share_below` if both sets have one law, given which numbers are tied.

    Args:
        a: (N,) numbers.
        b: (M,) numbers.

    Returns:
        In [0, 1/2]; 0 where all numbers are the same.

    Raises:
        TypeError, ValueError: see `share_below`.

    Source:
        Mann, Whitney (1947), "On a Test of Whether one of Two Random Variables is Stochastically Larger than the
        Other"; with ties: Lehmann (1975), "Nonparametrics", section 1.4.

    Example:
        >>> round(null_deviation(torch.arange(10.0), torch.arange(10.0, 20.0)), 4)  # the root of 21 / 1200
        0.1323
    """
    a, b = check_numbers(first=a, second=b)
    total = len(a) + len(b)
    tied = torch.cat([a, b]).unique(return_counts=True)[1].double()
    ties = (tied**3 - tied).sum().item() / (total * (total - 1))
    return max(0.0, (total + 1 - ties) / (12 * len(a) * len(b))) ** 0.5


def check_numbers(**values: Tensor) -> list[Tensor]:
    """The tensors (N,) as float64 on the CPU; what is none, empty, or has NaN is refused.

    Args:
        values: by their names in the message.

    Raises:
        TypeError, ValueError: see above.
    """
    for name, x in values.items():
        if not isinstance(x, Tensor) or x.is_complex():
            got = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise TypeError(f"expected real numbers (N,) as {name}, got {got}; use torch.tensor(...)")
        if x.ndim != 1 or not len(x):
            raise ValueError(f"expected numbers (N,) as {name}, at least one, got shape {tuple(x.shape)}")
        if torch.isnan(x).any():
            raise ValueError(f"expected numbers as {name}, got NaN; look for the model that diverged")
    return [x.detach().double().cpu() for x in values.values()]
