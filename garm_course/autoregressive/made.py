"""FVSBN and MADE: a fully connected network becomes autoregressive by removing connections.

Every unit of the network gets a *degree*: how many values, in the order of the chain rule, it may have seen. A
connection is kept only if it leads from a degree to one that is at least as large, and strictly larger at the output.
Any path from an input to an output then leads forward in the order, so one pass computes all conditionals.

FVSBN is the case without hidden units: one logistic regression for each pixel, on the pixels before it.

Sources: Frey, Hinton, Dayan (1996), "Does the Wake-Sleep Algorithm Produce Good Density Estimators?", NIPS 8 (FVSBN);
Germain, Gregor, Murray, Larochelle (2015), "MADE: Masked Autoencoder for Distribution Estimation", arXiv 1502.03509.
"""

import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.any_order import AnyOrder
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.inputs import check_order
from garm_course.models import configured


def made_degrees(
    D: int, hidden: Sequence[int], order: Tensor | list[int] | None = None, rng: torch.Generator | None = None
) -> list[Tensor]:
    """How many values each unit may have seen: 1..D for the inputs, 1..D-1 for hidden units.

    Without `rng`, the degrees of a layer are spread evenly, so that a layer of at least D - 1 units has all of them and
    no allowed connection is lost. With `rng` they are drawn at random, none smaller than the smallest of the layer
    before.

    Args:
        D: number of inputs.
        hidden: number of units of each hidden layer.
        order: a permutation of 0..D-1, order[0] is the first; None is 0, 1, ..., D-1.
        rng: source of random degrees.

    Returns:
        One LongTensor (units,) for the inputs and for each hidden layer.

    Raises:
        ValueError: for D < 1, a layer without units, or an order that is no permutation.

    Example:
        >>> made_degrees(3, [4], order=[2, 0, 1])
        [tensor([2, 3, 1]), tensor([1, 1, 2, 2])]
    """
    if D < 1 or any(int(width) != width or width < 1 for width in hidden):
        raise ValueError(f"expected D >= 1 inputs and hidden layers of at least one unit, got D={D}, hidden={hidden}")
    count = torch.arange(D)  # on the device that constructors build on, which `get_default_device` of 2.4 does not know
    order = count if order is None else check_order(order, D).to(count.device)
    degrees = [order.argsort() + 1]
    for width in hidden:
        if rng is None:
            degrees.append(1 + torch.arange(width) * max(D - 1, 1) // width)
        else:
            low = min(int(degrees[-1].min()), max(D - 1, 1))
            degrees.append(torch.randint(low, max(D, 2), (width,), generator=rng))
    return degrees


def made_masks(
    D: int, hidden: Sequence[int], order: Tensor | list[int] | None = None, rng: torch.Generator | None = None
) -> list[Tensor]:
    """The masks of a MADE: hidden unit k sees unit j if m(k) >= m(j), output d sees unit j if m(d) > m(j); (2.4).

    Args:
        D: see `made_degrees`.
        hidden: see `made_degrees`.
        order: see `made_degrees`.
        rng: see `made_degrees`.

    Returns:
        One mask (units out, units in) of 0 and 1 for each layer of weights, the last one with D rows.

    Source:
        Germain, Gregor, Murray, Larochelle (2015), arXiv 1502.03509, equations 12 and 13.

    Example:
        >>> made_masks(3, [2])
        [tensor([[1., 0., 0.],
                [1., 1., 0.]]), tensor([[0., 0.],
                [1., 0.],
                [1., 1.]])]
    """
    return masks_of(made_degrees(D, hidden, order, rng))


def masks_of(degrees: list[Tensor]) -> list[Tensor]:
    """Masks (units out, units in) of 0 and 1 from the degrees of inputs and hidden layers."""
    masks = [(above[:, None] >= below).float() for below, above in itertools.pairwise(degrees)]
    return [*masks, (degrees[0][:, None] > degrees[-1]).float()]


class MaskedLinear(nn.Linear):
    """A linear layer whose weight is multiplied by a mask in every `forward`.

    Multiplying once, at the start, is not enough: the gradient of a removed weight is not zero, so the first optimizer
    step would bring it back.
    """

    mask: Tensor

    def __init__(self, n_in: int, n_out: int, bias: bool = True):
        super().__init__(n_in, n_out, bias)
        self.register_buffer("mask", torch.ones(n_out, n_in), persistent=False)

    def set_mask(self, mask: Tensor) -> None:
        """(n_out, n_in) of 0 and 1."""
        self.mask = mask.to(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in) -> (B, n_out)."""
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(AnyOrder):
    """Masked autoencoder for distribution estimation, for pixels of any number of levels.

    With `orders` or `connectivities` above 1, every training pass draws one of the orders and one of the sets of
    random degrees, as dropout draws units; evaluation uses the first of each, unless `select` says otherwise, and
    `ensemble_log_prob` mixes all of them.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        hidden: units of each hidden layer.
        direct: also connect the input to the output directly (an FVSBN beside the hidden layers).
        dropout: probability of dropping a hidden unit.
        input_dropout: the same for an input feature.
        orders: number of orders (order-agnostic training).
        connectivities: number of sets of hidden degrees.
        encoding: see `AnyOrder`.
        order: see `AnyOrder`; the first of the orders, the others are random.

    Raises:
        ValueError: for a hidden layer without units, an order that is no permutation, or counts below 1.

    Source:
        Germain, Gregor, Murray, Larochelle (2015), arXiv 1502.03509; direct connections: section 4.1, agnostic
        training: sections 4.2 and 4.3.

    Example:
        >>> model = MADE((1, 4, 4), levels=2, hidden=(30,))
        >>> model(torch.zeros(5, 1, 4, 4, dtype=torch.long)).shape
        torch.Size([5, 1, 4, 4])
    """

    name = "made"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, hidden=(512, 512), direct=True, dropout=0.0, input_dropout=0.0, orders=1,
        connectivities=1, encoding="thermometer", order=None,
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes, encoding=encoding, order=order)
        if orders < 1 or connectivities < 1:
            raise ValueError(f"expected orders >= 1 and connectivities >= 1, got {orders} and {connectivities}")
        made_degrees(self.positions, hidden)  # refuses a layer without units
        self.orders, self.connectivities = orders, connectivities
        self.first_order = self.order
        sizes = [self.positions * self.table.shape[1], *hidden]
        n_out = self.positions * self.head.n_params
        self.hidden = nn.ModuleList(MaskedLinear(a, b) for a, b in itertools.pairwise(sizes))
        self.out = MaskedLinear(sizes[-1], n_out)
        self.direct = MaskedLinear(sizes[0], n_out, bias=False) if direct and hidden else None
        self.classes = nn.Embedding(n_classes, (hidden[0] if hidden else 0) + n_out) if n_classes else None
        self.dropout, self.input_dropout = nn.Dropout(dropout), nn.Dropout(input_dropout)
        self.select()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`; in training, each pass draws one of the orders and of the connectivities."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        if self.training and self.orders * self.connectivities > 1:
            self.select(int(torch.randint(self.orders, ())), int(torch.randint(self.connectivities, ())))
        inputs = self.input_dropout(self.features(x).flatten(1))  # (B, D * F)
        to_hidden, to_out = self.class_bias(y)
        h = inputs
        for layer in self.hidden:
            h = layer(h) if to_hidden is None else layer(h) + to_hidden
            h, to_hidden = self.dropout(F.relu(h)), None  # the class enters the first hidden layer
        params = self.out(h) if to_out is None else self.out(h) + to_out
        if self.direct is not None:
            params = params + self.direct(inputs)
        return self.read_out(params.unflatten(1, (self.positions, -1)))

    def select(self, order: int = 0, connectivity: int = 0) -> None:
        """Use this one of the orders and this one of the sets of hidden degrees from now on (0: those of evaluation).

        Args:
            order: 0..orders-1.
            connectivity: 0..connectivities-1.
        """
        if not (0 <= order < self.orders and 0 <= connectivity < self.connectivities):
            raise ValueError(
                f"expected order 0..{self.orders - 1} and connectivity 0..{self.connectivities - 1}, "
                f"got {order} and {connectivity}"
            )
        device = self.out.weight.device
        if order:
            self.order = torch.randperm(self.positions, generator=torch.Generator().manual_seed(order)).to(device)
        else:
            self.order = self.first_order
        rng = torch.Generator().manual_seed(connectivity) if connectivity else None
        self.degrees = made_degrees(self.positions, [layer.out_features for layer in self.hidden], self.order, rng)
        features, params = self.table.shape[1], self.head.n_params
        for k, (layer, mask) in enumerate(zip([*self.hidden, self.out], masks_of(self.degrees), strict=True)):
            mask = mask if k else mask.repeat_interleave(features, 1)  # a pixel is several inputs
            layer.set_mask(mask.repeat_interleave(params, 0) if layer is self.out else mask)
        if self.direct is not None:
            (mask,) = masks_of(self.degrees[:1])
            self.direct.set_mask(mask.repeat_interleave(features, 1).repeat_interleave(params, 0))

    def train(self, mode: bool = True) -> "MADE":
        """Leaving training, return to the order and the degrees of evaluation."""
        if self.training and not mode and self.orders * self.connectivities > 1:
            self.select()
        return super().train(mode)

    def class_bias(self, y: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """What the class adds to the first hidden layer and to the output: (B, units) each, or None."""
        if y is None:
            return None, None
        bias = self.classes(y)
        n_out = self.out.out_features
        return (bias[:, :-n_out] if len(self.hidden) else None), bias[:, -n_out:]

    @torch.no_grad()
    def ensemble_log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log of the mean of p_k(x) over all orders and connectivities k: itself a normalized model, in nats (B,).

        Args:
            x: see `forward`.
            y: see `forward`.
        """
        was, parts = self.training, []
        self.eval()
        for order in range(self.orders):
            for connectivity in range(self.connectivities):
                self.select(order, connectivity)
                parts.append(self.log_prob(x, y))
        self.select()
        self.train(was)
        return torch.stack(parts).logsumexp(0) - math.log(len(parts))

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """The state before the first pixel of n images: nothing is known, no hidden unit computed; see `step`."""
        self.check_classes(y, n)
        weight = self.out.weight
        to_hidden, to_out = self.class_bias(y)
        return SimpleNamespace(
            n=n,
            inputs=weight.new_zeros(n, self.positions, self.table.shape[1]),
            units=[weight.new_zeros(n, layer.out_features) for layer in self.hidden],
            # per layer: the units of each degree 0..D-1
            of_degree=[
                [(degrees == m).nonzero().flatten().to(weight.device) for m in range(self.positions)]
                for degrees in self.degrees[1:]
            ],
            to_hidden=to_hidden,
            to_out=to_out,
        )

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`.

        A hidden unit of degree m is computed once, when the m-th value is known. What it must not see is still zero
        then, so no mask is needed: drawing an image costs as many multiplications as one forward pass.
        """
        with one_thread(state.n * self.out.in_features):
            if i:
                state.inputs[:, self.raster(i - 1)] = self.table[x_prev]
            h, extra = state.inputs.flatten(1), state.to_hidden
            for layer, units, of_degree in zip(self.hidden, state.units, state.of_degree, strict=True):
                new = of_degree[i]
                if len(new):
                    a = F.linear(h, layer.weight[new], layer.bias[new])
                    units[:, new] = F.relu(a if extra is None else a + extra[:, new])
                h, extra = units, None
            place, size = self.raster(i), self.head.n_params
            rows = slice(place * size, (place + 1) * size)
            params = F.linear(h, self.out.weight[rows], self.out.bias[rows])
            if self.direct is not None:
                params = params + F.linear(state.inputs.flatten(1), self.direct.weight[rows])
            if state.to_out is not None:
                params = params + state.to_out[:, rows]
        return self.parameters_of(params)


class FVSBN(MADE):
    """Fully visible sigmoid belief network: one (softmax) regression for each pixel, on the pixels before it.

    Args:
        shape: see `MADE`.
        levels: see `MADE`.
        n_classes: see `MADE`.
        encoding: see `MADE`.
        order: see `MADE`.
        dropout: probability of dropping an input feature.

    Source:
        Frey, Hinton, Dayan (1996), NIPS 8; Neal (1992), Artificial Intelligence 56.

    Example:
        >>> sum(p.numel() for p in FVSBN((1, 4, 4), levels=2).parameters())  # 16 biases, 16 x 16 weights, 120 of use
        272
    """

    name = "fvsbn"

    @configured
    def __init__(self, shape, levels, n_classes=0, *, dropout=0.0, encoding="thermometer", order=None):
        super().__init__(
            shape, levels, n_classes, hidden=(), direct=False, input_dropout=dropout, encoding=encoding, order=order
        )
