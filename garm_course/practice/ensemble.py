"""An ensemble of autoregressive models: the mean of their conditionals is a model like any other."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from garm_course.autoregressive.images import ImageModel
from garm_course.evaluation_mode import evaluation_mode


class Ensemble(ImageModel):
    """p(x_i | before) = mean over members of p_k(x_i | before): probabilities are averaged, not logits.

    Its NLL is at most the mean of those of its members, position by position, since -log is convex.

    Args:
        members: models of images in raster order, of the same shape and levels (at least 3), without classes.

    Raises:
        ValueError: for no members, or members that do not fit together.

    Example:
        >>> from garm_course.autoregressive import MADE
        >>> both = Ensemble([MADE((1, 2, 2), 3, hidden=(5,)), MADE((1, 2, 2), 3, hidden=(7,))])
        >>> both.log_prob(torch.zeros(6, 1, 2, 2, dtype=torch.long)).shape
        torch.Size([6])
    """

    name = "ensemble"

    def __init__(self, members: Sequence[nn.Module]):
        if not members:
            raise ValueError("expected at least one member, got none; pass a list of models")
        first = members[0]
        super().__init__(first.shape, first.levels)
        for k, one in enumerate(members):
            if (one.shape, one.levels) != (first.shape, first.levels):
                raise ValueError(
                    f"expected members of shape {first.shape} and {first.levels} levels, member {k} has {one.shape} "
                    f"and {one.levels}; leave it out"
                )
            if one.order is not None or one.n_classes or self.head.n_params != one.levels:
                raise ValueError(
                    "expected members in raster order, without classes and with a probability for each of at least 3 "
                    f"levels, member {k} has another kind of conditionals; leave it out"
                )
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`; the parameters are log-probabilities."""
        return self._mean([one(x) for one in self.members])

    def start(self, n: int, y: Tensor | None = None) -> list[object]:
        """The states of the members before the first position."""
        self.check_classes(y, n)
        return [one.start(n) for one in self.members]

    def step(self, state: list[object], i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`."""
        return self._mean([one.step(own, i, x_prev) for one, own in zip(self.members, state, strict=True)])

    def _mean(self, parameters: list[Tensor]) -> Tensor:
        log_probs = [one.head.log_probs(p) for one, p in zip(self.members, parameters, strict=True)]
        return torch.stack(log_probs).logsumexp(0) - math.log(len(log_probs))


@torch.no_grad()
def conditionals(model: nn.Module, x: Tensor, batch_size: int = 128) -> Tensor:
    """All log-probabilities of a teacher, computed once: what a student is compared with in every epoch.

    Args:
        model: an autoregressive model with a probability for each level.
        x: LongTensor (N, *shape) of levels.
        batch_size: examples at a time; it changes the memory, not the result.

    Returns:
        (N, *shape, levels) in nats.
    """
    with evaluation_mode(model):
        return torch.cat([model.head.log_probs(model(part)) for part in x.split(batch_size)])
