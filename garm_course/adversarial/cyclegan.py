"""Unpaired translation between two domains: two translators that undo each other, and a critic of patches for each.

Nobody says which y belongs to which x. The critics see to it that G(x) looks like a y and F(y) like an x, and the cycle
loss that F(G(x)) is x again. Neither says which of the maps that do so is meant.

Sources: Zhu, Park, Isola, Efros (2017), "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", ICCV, arXiv 1703.10593; Isola, Zhu, Zhou, Efros (2017), "Image-to-Image Translation with Conditional
Adversarial Networks", CVPR, arXiv 1611.07004 (critics of patches); Ulyanov, Vedaldi, Lempitsky (2016), "Instance
Normalization: The Missing Ingredient for Fast Stylization", arXiv 1607.08022; Shrivastava et al. (2017), "Learning from
Simulated and Unsupervised Images through Adversarial Training", arXiv 1612.07828 (the pool of images).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from garm_course.adversarial.game import Game, frozen
from garm_course.adversarial.losses import GANLoss
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_scaled, check_settings, check_shape
from garm_course.models import configured


class Translator(nn.Module):
    """Images of one domain to images of the other, of the same height and width: residual blocks between convolutions.

    Args:
        channels_in: of the images that come in, 1 for gray and 3 for color.
        channels_out: of the images that go out.
        width: channels of the hidden layers; twice as many after each halving.
        blocks: residual blocks of two convolutions in the middle.
        downs: how often height and width are halved before the blocks, and doubled after them.
        kernel: size of all convolutions, odd; 1 for a translator that sees one pixel at a time.
        norm: instance normalization after each hidden convolution; without it what a pixel becomes depends on
            `reach` pixels around it alone.

    Source:
        Zhu et al. (2017), arXiv 1703.10593, section 4 and appendix 7.2, at fewer layers.

    Example:
        >>> Translator(1, 3)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, channels_in, channels_out, *, width=32, blocks=1, downs=0, kernel=3, norm=True):
        super().__init__()
        if min(channels_in, channels_out, width) < 1 or min(blocks, downs) < 0 or kernel < 1 or kernel % 2 == 0:
            raise ValueError(
                f"expected channels and width >= 1, blocks and downs >= 0 and an odd kernel, got {channels_in}, "
                f"{channels_out}, {width}, {blocks}, {downs} and {kernel}"
            )
        self.channels_in, self.downs = channels_in, downs
        layers = [*_hidden(nn.Conv2d(channels_in, width, kernel, 1, kernel // 2, bias=not norm), norm)]
        for _ in range(downs):
            layers += _hidden(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=not norm), norm)
            width *= 2
        layers += [_Residual(width, kernel, norm) for _ in range(blocks)]
        for _ in range(downs):
            layers += _hidden(nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=not norm), norm)
            width //= 2
        self.net = nn.Sequential(*layers, nn.Conv2d(width, channels_out, kernel, 1, kernel // 2), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, channels_out, H, W) in [-1, 1]; H and W are multiples of 2^downs.

        Raises:
            ValueError: for images of other channels, or sizes that cannot be halved so often.
        """
        if x.ndim != 4 or x.shape[1] != self.channels_in or x.shape[2] % 2**self.downs or x.shape[3] % 2**self.downs:
            raise ValueError(
                f"expected images (B, {self.channels_in}, H, W) with H and W multiples of {2**self.downs}, got "
                f"{tuple(x.shape)}; build the translator for them"
            )
        return self.net(x)


class DenseTranslator(nn.Module):
    """A perceptron over all pixels at once: it can make any image of any other, and so has no reason to keep a shape.

    Args:
        shape_in: (C, H, W) of the images that come in.
        shape_out: (C, H, W) of the images that go out.
        hidden: units of each hidden layer.
    """

    def __init__(self, shape_in, shape_out, *, hidden=(256, 256)):
        super().__init__()
        sizes = [math.prod(shape_in), *hidden]
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        last = nn.Linear(sizes[-1], math.prod(shape_out))
        self.net = nn.Sequential(nn.Flatten(), *layers, last, nn.Unflatten(1, tuple(shape_out)), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape_in) -> (B, *shape_out) in [-1, 1]."""
        return self.net(x)


class PatchCritic(nn.Module):
    """A critic without a fully connected layer: one score for each patch of the image, (B, 1, h, w).

    Args:
        channels: of the images.
        width: channels of the first layer, twice as many in each further one, up to eight times.
        layers: (kernel, stride) of each convolution, the last of which puts out the scores. The padding is half of
            what keeps the size at stride 1, k // 2 for odd kernels and (k - 1) // 2 for even ones, as in the paper.
        norm: instance normalization in all layers but the first and the last.

    Attributes:
        receptive_field: pixels in height and width that a score depends on, without normalization.

    Source:
        Isola et al. (2017), arXiv 1611.07004, section 3.2.2.

    Example:
        >>> critic = PatchCritic(3, layers=((4, 2), (3, 1)))
        >>> critic(torch.zeros(2, 3, 8, 8)).shape, critic.receptive_field
        (torch.Size([2, 1, 4, 4]), 8)
    """

    def __init__(self, channels, *, width=32, layers=((4, 2), (3, 1), (3, 1)), norm=False):
        super().__init__()
        self.receptive_field = patch_receptive_field(layers)
        if channels < 1 or width < 1:
            raise ValueError(f"expected channels and width >= 1, got {channels} and {width}")
        self.channels, self.layers, self.norm, found = channels, tuple(layers), norm, []
        sizes = [channels, *(width * min(2**k, 8) for k in range(len(layers) - 1)), 1]
        for k, (kernel, stride) in enumerate(layers):
            inner = norm and 0 < k < len(layers) - 1
            found.append(nn.Conv2d(sizes[k], sizes[k + 1], kernel, stride, (kernel - 1) // 2, bias=not inner))
            found += [nn.InstanceNorm2d(sizes[k + 1])] if inner else []
            found += [nn.LeakyReLU(0.2)] if k < len(layers) - 1 else []
        self.net = nn.Sequential(*found)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> scores (B, 1, h, w).

        Raises:
            ValueError: for images of other channels, or so small that nothing is left of them.
        """
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(
                f"expected images (B, {self.channels}, H, W), got {tuple(x.shape)}; build the critic for them"
            )
        self.check_size(tuple(x.shape[2:]))
        return self.net(x)

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse images of which the layers leave nothing, or one pixel to normalize (ValueError).

        Args:
            size: (H, W) of the images.
        """
        left = size
        for k, (kernel, stride) in enumerate(self.layers, 1):
            left = tuple((side + 2 * ((kernel - 1) // 2) - kernel) // stride + 1 for side in left)
            if min(left) < 1:
                raise ValueError(
                    f"a critic of {len(self.layers)} layers leaves nothing of {size[0]} x {size[1]} after layer {k}; "
                    "take fewer layers, or smaller strides"
                )
            if self.norm and 1 < k < len(self.layers) and left == (1, 1):
                raise ValueError(
                    f"layer {k} of the critic leaves one pixel of {size[0]} x {size[1]}, and instance normalization "
                    "makes that 0 in all images; take fewer layers, or norm=False"
                )


class CycleGAN(nn.Module):
    """Translators in both directions, G: x -> y and F: y -> x, with a critic of patches for each domain.

    Args:
        x_shape: (C, H, W) of the images of the first domain; H and W of both are the same, C may differ.
        y_shape: the same for the second domain.
        x_levels: of the images that it is trained on, or None for numbers in [-1, 1].
        y_levels: the same for the second domain.
        width: of the translators, see `Translator`.
        blocks: of the translators, see `Translator`.
        downs: of the translators, see `Translator`.
        kernel: of the translators, see `Translator`.
        norm: of the translators, see `Translator`.
        dense: hidden units of translators that are perceptrons instead, see `DenseTranslator`; () for convolutions.
        critic_width: see `PatchCritic`.
        critic_layers: see `PatchCritic`.
        critic_norm: see `PatchCritic`.

    Raises:
        ValueError: for domains of different height or width, or images too small for the translators or the critics.

    Source:
        Zhu et al. (2017), arXiv 1703.10593.

    Example:
        >>> model = CycleGAN((1, 8, 8), (3, 8, 8), width=4)
        >>> model.translate(torch.zeros(2, 1, 8, 8), "xy").shape
        torch.Size([2, 3, 8, 8])
    """

    name = "cyclegan"

    @configured
    def __init__(
        self, x_shape, y_shape, x_levels=None, y_levels=None, *, width=32, blocks=1, downs=0, kernel=3, norm=True,
        dense=(), critic_width=32, critic_layers=((4, 2), (3, 1), (3, 1)), critic_norm=False,
    ):  # fmt: skip
        super().__init__()
        x_shape, y_shape = tuple(x_shape), tuple(y_shape)
        if len(x_shape) != 3 or len(y_shape) != 3 or x_shape[1:] != y_shape[1:]:
            raise ValueError(
                f"expected images (C, H, W) of one height and width in both domains, got {x_shape} and {y_shape}; "
                "resize one of them"
            )
        self.shapes, self.levels = {"x": x_shape, "y": y_shape}, {"x": x_levels, "y": y_levels}
        hidden = {"width": width, "blocks": blocks, "downs": downs, "kernel": kernel, "norm": norm}
        critic = {"width": critic_width, "layers": tuple(map(tuple, critic_layers)), "norm": critic_norm}

        def translator(source: str, target: str) -> nn.Module:
            if dense:
                return DenseTranslator(self.shapes[source], self.shapes[target], hidden=tuple(dense))
            return Translator(self.shapes[source][0], self.shapes[target][0], **hidden)

        self.translators = nn.ModuleDict({a + b: translator(a, b) for a, b in ("xy", "yx")})
        if not dense:
            _check_depth(x_shape[1:], downs, norm)
        self.critics = nn.ModuleDict({a: PatchCritic(self.shapes[a][0], **critic) for a in "xy"})
        self.critics["x"].check_size(x_shape[1:])

    @property
    def G(self) -> nn.Module:
        """The translator from x to y."""
        return self.translators["xy"]

    @property
    def F(self) -> nn.Module:
        """The translator from y to x."""
        return self.translators["yx"]

    @torch.no_grad()
    def translate(self, x: Tensor, direction: str) -> Tensor:
        """Images of one domain as images of the other.

        Args:
            x: (B, C, H, W) in [-1, 1] on any device.
            direction: "xy" (by G) or "yx" (by F).

        Returns:
            (B, C', H, W) in [-1, 1].

        Raises:
            ValueError, TypeError: for another direction, or images that do not fit it.
        """
        if direction not in self.translators:
            raise ValueError(f'expected the direction "xy" or "yx", got {direction!r}')
        check_scaled(x)
        shape = self.shapes[direction[0]]
        check_shape(x, shape, f"images (B, {', '.join(map(str, shape))}) of domain {direction[0]}")
        with evaluation_mode(self):
            return self.translators[direction](x.to(next(self.parameters())))


def _check_depth(size: tuple[int, int], downs: int, norm: bool) -> None:
    """Refuse a translator that is too deep for its images (ValueError)."""
    step = 2**downs
    if size[0] % step or size[1] % step:
        raise ValueError(
            f"expected images with H and W multiples of {step} for downs={downs}, got {size}; pad them, or halve less"
        )
    if norm and size == (step, step):
        raise ValueError(
            f"downs={downs} leaves one pixel of {size[0]} x {size[1]}, and instance normalization makes that 0 in all "
            "images; halve less, or build the model with norm=False"
        )


class CycleGANGame(Game):
    """The game of Zhu et al. (2017): the translators take a step, then the critics, on two data sets without pairs.

    Each step translates a batch of each domain, moves the translators (their critics' weights need no gradient, so none
    is computed), then shows the critics the same fakes, or older ones from a pool. Every image is translated once and
    back once. In several processes each has its own pools.

    Args:
        model: see `CycleGAN`; both translators hold their average after training. The data sets of `fit_game` are a
            pair (x, y), whose classes are not looked at; each is shuffled by itself.
        loss: a name of `adversarial.losses.LOSSES`, or a pair of functions of scores; the paper takes least squares.
        lam: weight of the cycle loss, at least 0; the paper takes 10. A pair weighs x -> y -> x and y -> x -> y apart.
        identity: weight of the identity loss, at least 0; the paper takes half of lam for paintings.
        pairs: a few pairs (x, y) of floats in [-1, 1], if there are any: |G(x) - y| + |F(y) - x| is added, on all of
            them in each step.
        paired: the weight of the pairs, at least 0.
        pool: images of each domain that are kept for the critics, 0 for none; the paper takes 50.

    Raises:
        ValueError: for settings outside their ranges, pairs that do not fit the model, or the identity loss between
            domains of different channel counts.

    Source:
        Zhu et al. (2017), arXiv 1703.10593, equations 1 to 3 and section 4.
    """

    def __init__(
        self,
        model: CycleGAN,
        *,
        loss: str | GANLoss = "least_squares",
        lam: float | tuple[float, float] = 10.0,
        identity: float = 0.0,
        pairs: tuple[Tensor, Tensor] | None = None,
        paired: float = 10.0,
        pool: int = 50,
    ):
        there, back = lam if isinstance(lam, tuple) else (lam, lam)
        if not min(there, back) >= 0:
            raise ValueError(f"lam={lam} is out of range: expected a weight of at least 0, or a pair of them")
        check_settings(0, identity=identity, paired=paired)
        check_settings(0, whole=True, pool=pool)
        if identity:
            check_same_domain(model.shapes["x"], model.shapes["y"])
        if pairs is not None:
            _check_pairs(model, *pairs)
        super().__init__(
            model, {"translators": model.translators, "critics": model.critics}, averaged=model.translators,
            levels=(model.levels["x"], model.levels["y"]), loss=loss, betas=(0.5, 0.999), lam=lam, identity=identity,
            pairs=0 if pairs is None else len(pairs[0]), paired=paired, pool=pool,
        )  # fmt: skip
        self.lam, self.identity, self.pairs, self.paired, self.pool = (there, back), identity, pairs, paired, pool

    def begin(self, seed: int, device: torch.device) -> dict[str, object]:
        """Empty the pools, which draw from generators of this seed."""
        self.pools = {d: ImagePool(self.pool, torch.Generator().manual_seed(2 * seed + k)) for k, d in enumerate("xy")}
        if self.pairs is not None:
            self.pairs = tuple(images.to(device) for images in self.pairs)
        return {f"pool_{d}": pool for d, pool in self.pools.items()}

    def step(self, batch, draw, descend) -> dict[str, Tensor]:
        """Equations 1 to 3 of the paper, translators first; see `Game` for what a step is handed.

        Returns:
            The losses "critics", "adversarial", "cycle" and, if they are used, "identity" and "pairs", all without
            their weights.
        """
        G, F, critics = self.model.G, self.model.F, self.model.critics
        (x, _), (y, _) = batch()
        fakes = {"x": F(y), "y": G(x)}
        with frozen(critics):
            there, back = l1(F(fakes["y"]), x), l1(G(fakes["x"]), y)
            terms = {
                "adversarial": sum(self.loss.generator(critics[d](fakes[d]).float()) for d in "xy"),
                "cycle": there + back,
            }
            total = terms["adversarial"] + self.lam[0] * there + self.lam[1] * back
            if self.identity:
                terms["identity"] = identity_loss(G, F, x, y)
                total = total + self.identity * terms["identity"]
            if self.pairs is not None:
                terms["pairs"] = l1(G(self.pairs[0]), self.pairs[1]) + l1(F(self.pairs[1]), self.pairs[0])
                total = total + self.paired * terms["pairs"]
            descend(translators=total)
        scores = {"x": (critics["x"](x), critics["x"](self.pools["x"](fakes["x"]))),
                  "y": (critics["y"](y), critics["y"](self.pools["y"](fakes["y"])))}  # fmt: skip
        terms["critics"] = sum(self.loss.critic(real.float(), fake.float()) for real, fake in scores.values())
        descend(critics=terms["critics"])
        return terms


def _check_pairs(model: CycleGAN, x: Tensor, y: Tensor) -> None:
    for d, images in (("x", x), ("y", y)):
        check_scaled(images)
        check_shape(images, model.shapes[d], f"pairs with images (B, {', '.join(map(str, model.shapes[d]))})")
    if len(x) != len(y):
        raise ValueError(f"expected as many x as y in pairs, got {len(x)} and {len(y)}")


def cycle_loss(G: Callable, F: Callable, x: Tensor, y: Tensor) -> Tensor:
    """mean |F(G(x)) - x| + mean |G(F(y)) - y|: there and back must change nothing; equation (16.1).

    A mean over all numbers, as the paper's programs have it, not a sum; 0 for maps that undo each other.

    Args:
        G: x -> y.
        F: y -> x.
        x: (B, ...), examples of the first domain.
        y: (B', ...), examples of the second; there are no pairs.

    Returns:
        Scalar.

    Source:
        Zhu et al. (2017), arXiv 1703.10593, equation 2.

    Example:
        >>> cycle_loss(lambda x: x + 1, lambda y: y / 2, torch.tensor([3.0]), torch.tensor([4.0]))  # |2 - 3| + |3 - 4|
        tensor(2.)
    """
    return l1(F(G(x)), x) + l1(G(F(y)), y)


def identity_loss(G: Callable, F: Callable, x: Tensor, y: Tensor) -> Tensor:
    """mean |G(y) - y| + mean |F(x) - x|: what is in the target domain already is left alone; equation (16.2).

    Args:
        G: see `cycle_loss`; both domains have examples of one shape.
        F: see `cycle_loss`; both domains have examples of one shape.
        x: see `cycle_loss`; both domains have examples of one shape.
        y: see `cycle_loss`; both domains have examples of one shape.

    Returns:
        Scalar, a mean over all numbers.

    Raises:
        ValueError: for domains of different shapes: G cannot read a y then.

    Source:
        Taigman, Polyak, Wolf (2017), arXiv 1611.02200; Zhu et al. (2017), arXiv 1703.10593, section 5.2.

    Example:
        >>> x, y = torch.tensor([3.0]), torch.tensor([4.0])
        >>> identity_loss(lambda x: x + 1, lambda y: y / 2, x, y)  # |5 - 4| + |1.5 - 3|
        tensor(2.5000)
    """
    check_same_domain(x.shape[1:], y.shape[1:])
    return l1(G(y), y) + l1(F(x), x)


def check_same_domain(x_shape: Sequence[int], y_shape: Sequence[int]) -> None:
    """Refuse the identity loss for domains of different shapes (ValueError)."""
    if tuple(x_shape) != tuple(y_shape):
        raise ValueError(
            f"the identity loss feeds G a y and F an x, so both domains must have one shape, got {tuple(x_shape)} and "
            f"{tuple(y_shape)}; leave it out, or give gray images three equal channels"
        )


def l1(a: Tensor, b: Tensor) -> Tensor:
    """mean |a - b| over all numbers of two tensors of one shape.

    Raises:
        ValueError: for different shapes, which would be broadcast.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected two tensors of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    return (a - b).abs().mean()


def patch_receptive_field(layers: Sequence[tuple[int, int]]) -> int:
    """How many pixels in a row one score depends on: from the output back, r <- s r + (k - s); equation (16.5).

    Args:
        layers: (kernel, stride) of each convolution, the first one first.

    Returns:
        The receptive field in pixels, in one dimension.

    Raises:
        ValueError: for no layer, or a kernel or stride below 1.

    Source:
        Isola et al. (2017), arXiv 1611.07004, section 4.4: 70 x 70 for the layers of the example.

    Example:
        >>> patch_receptive_field([(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)])
        70
    """
    if not layers or any(len(layer) != 2 or min(layer) < 1 for layer in layers):
        raise ValueError(f"expected at least one layer (kernel, stride) of numbers >= 1, got {layers!r}")
    r = 1
    for kernel, stride in reversed(layers):
        r = stride * r + (kernel - stride)
    return r


def image_pool(hist: Tensor, new: Tensor, size: int, coin: bool, slot: int) -> tuple[Tensor, Tensor]:
    """One image into a pool of earlier ones, and one image out of it, which the critic sees as a fake.

    While the pool is not full, the new image is stored and goes out as well. Then the coin decides: heads (True) swaps
    the new image with the one at `slot`, and the old one goes out; tails lets the new one pass.

    Args:
        hist: (n, ...) the pool, n <= size; it is not changed.
        new: (...) an image.
        size: of the full pool; 0 for none: what comes in goes out.
        coin: random, drawn by the caller.
        slot: random, drawn by the caller, 0..size-1.

    Returns:
        The pool after it (n or n + 1, ...), and the image that goes out (...).

    Raises:
        ValueError: for shapes that do not fit, or a slot that a full pool does not have.

    Source:
        Shrivastava et al. (2017), arXiv 1612.07828, section 2.3; Zhu et al. (2017), arXiv 1703.10593, section 4, with
        a pool of 50.

    Example:
        >>> pool, out = image_pool(torch.tensor([1.0, 2.0]), torch.tensor(3.0), 2, True, 0)
        >>> pool, out
        (tensor([3., 2.]), tensor(1.))
    """
    if hist.shape[1:] != new.shape or len(hist) > size:
        raise ValueError(
            f"expected a pool of at most {size} images {tuple(new.shape)}, got a pool of shape {tuple(hist.shape)}"
        )
    if len(hist) < size:
        return torch.cat([hist, new[None]]), new
    if not coin or size == 0:
        return hist, new
    if not 0 <= slot < size:
        raise ValueError(f"expected a slot 0..{size - 1}, got {slot}")
    out, hist = hist[slot].clone(), hist.clone()
    hist[slot] = new
    return hist, out


class ImagePool:
    """A pool of earlier fakes, see `image_pool`; it takes batches, and changes itself.

    Args:
        size: of the full pool; 0 for none.
        rng: of coins and slots.

    Example:
        >>> pool = ImagePool(2, torch.Generator().manual_seed(0))
        >>> pool(torch.tensor([1.0, 2.0]))  # filling
        tensor([1., 2.])
    """

    def __init__(self, size: int, rng: torch.Generator):
        if size < 0:
            raise ValueError(f"expected a size of at least 0, got {size}")
        self.size, self.rng, self.images = size, rng, None

    def __call__(self, new: Tensor) -> Tensor:
        """(B, ...) new fakes without a gradient -> (B, ...) fakes for the critic, some of them older."""
        new = new.detach()
        if not self.size:
            return new
        images = [] if self.images is None else list(self.images)
        coins = (torch.rand(len(new), generator=self.rng) < 0.5).tolist()
        slots = torch.randint(self.size, (len(new),), generator=self.rng).tolist()
        out = []
        for one, coin, slot in zip(new, coins, slots, strict=True):  # as `image_pool`, without copying the pool
            if len(images) < self.size:
                images.append(one)
            elif coin:
                images[slot], one = one, images[slot]
            out.append(one)
        self.images = torch.stack(images)
        return torch.stack(out)

    def state(self) -> dict[str, Tensor]:
        """The images and the state of the draws, for a run that is resumed later."""
        return {"rng": self.rng.get_state(), **({} if self.images is None else {"images": self.images})}

    def resume(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state()` returned."""
        self.rng.set_state(state["rng"])
        self.images = state.get("images")


class _Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, width: int, kernel: int, norm: bool):
        super().__init__()
        conv = [nn.Conv2d(width, width, kernel, 1, kernel // 2, bias=not norm) for _ in range(2)]
        after = [nn.InstanceNorm2d(width)] if norm else []
        self.net = nn.Sequential(*_hidden(conv[0], norm), conv[1], *after)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


def _hidden(conv: nn.Module, norm: bool) -> list[nn.Module]:
    """A convolution, instance normalization (whose mean takes a bias away), and a rectifier."""
    return [conv, *([nn.InstanceNorm2d(conv.out_channels)] if norm else []), nn.ReLU()]
