"""Guidance: a caption is obeyed more than the model itself would.

Source: Ho, Salimans (2022), "Classifier-Free Diffusion Guidance", arXiv 2207.12598, whose weight is w - 1 here; over
discrete codes Gafni et al. (2022), "Make-A-Scene", arXiv 2203.13131.
"""

import torch
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.inputs import check_settings


class Guided(Autoregressive):
    """The model whose logits are u + w (c - u), c those given the caption, u those given none; equation (17.4).

    Each conditional is then proportional to p(x_i | before) (p(x_i | before, caption) / p(x_i | before))^w. It is an
    autoregressive model again, which sums to one, is drawn and scored like any other, and which is not the joint
    p(x) (p(x | caption) / p(x))^w normalized at once; equation (17.6). Both halves are computed in one batch of twice
    the size.

    Args:
        model: reads captions, of which zeros are the empty one, such as a `CodeTransformer`.
        guidance: the weight w, at least 0 and finite: 0 is the model without a caption, 1 the model.

    Raises:
        ValueError: for a weight out of range, or a model that reads no captions.
    """

    name = "guided"

    def __init__(self, model: Autoregressive, guidance: float):
        check_guidance(guidance)
        if not getattr(model, "vocabulary", 0):
            raise ValueError(f"guidance needs a model that reads captions, got a {type(model).__name__}")
        super().__init__(model.shape, model.levels)
        self.model, self.guidance = model, float(guidance)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`; y are captions."""
        return self.combined(self.model(x.repeat(2, *[1] * (x.ndim - 1)), self.both(y, len(x))))

    def both(self, caption: Tensor | None, n: int) -> Tensor:
        """n captions, and then as many empty ones of the same length."""
        self.check_classes(caption, n)
        caption = self.model.caption_of(caption, n)
        return torch.cat([caption, torch.zeros_like(caption)])

    def combined(self, params: Tensor) -> Tensor:
        """(2 B, ...) parameters with and without the caption -> (B, ...); `lerp` is exact at w = 0 and w = 1."""
        conditional, unconditional = params.chunk(2)
        return torch.lerp(unconditional, conditional, self.guidance)

    def check_examples(self, x: Tensor) -> None:
        """See `Autoregressive.check_examples`."""
        self.model.check_examples(x)

    def check_classes(self, y: Tensor | None, n: int) -> None:
        """See `Autoregressive.check_classes`."""
        self.model.check_classes(y, n)

    # While an example is drawn

    def start(self, n: int, y: Tensor | None = None) -> object:
        """The state of 2 n examples."""
        return self.model.start(2 * n, self.both(y, n))

    def step(self, state: object, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: both halves continue what was drawn from their combination."""
        return self.combined(self.model.step(state, i, None if x_prev is None else x_prev.repeat(2)))


def check_guidance(guidance: float) -> None:
    """Refuse a weight that is negative or not finite (ValueError)."""
    check_settings(0, guidance=guidance)
    if guidance == float("inf"):
        raise ValueError("guidance=inf is out of range: expected a finite number of at least 0; try 2 to 8")
