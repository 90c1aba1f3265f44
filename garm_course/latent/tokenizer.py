"""A tokenizer: images as a small grid of codes and back, trained by whatever distance one chooses.

It is a VQ-VAE without a likelihood. The decoder draws numbers, not distributions of levels, so that a distance in
features or a critic can look at what it drew; with squared error in place of them it is the VQ-VAE of lesson 12.

Source: van den Oord, Vinyals, Kavukcuoglu (2017), "Neural Discrete Representation Learning", arXiv 1711.00937; Esser,
Rombach, Ommer (2021), "Taming Transformers for High-Resolution Image Synthesis", CVPR, arXiv 2012.09841.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from garm_course.distributions.heads import as_weights, at_least_float32
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_scaled, check_shape
from garm_course.latent.quantizer import Quantized, VectorQuantizer, check_codes
from garm_course.latent.vqvae import ResidualBlock
from garm_course.models import configured
from garm_course.transforms import unscale


class Tokenizer(nn.Module):
    """Convolutions that make a grid of codes of an image in [-1, 1], and the image of the codes.

    Args:
        shape: (C, H, W) of the images.
        levels: of the images that it is trained on, or None for numbers.
        n_codes: K, of the codebook.
        dim: numbers in each of its vectors.
        channels: features.
        blocks: residual blocks on either side.
        halvings: how often height and width are halved, rounded up: 3 turn 28 x 28 pixels into 4 x 4 codes.
        beta: see `VectorQuantizer`.
        decay: see `VectorQuantizer`.
        restart: see `VectorQuantizer`.
        warm_up: see `VectorQuantizer`.
        tanh: squash the output into [-1, 1]; otherwise it is linear, and clipped by `decode`.

    Raises:
        ValueError: for classes, or sizes out of range.

    Source:
        Esser et al. (2021), arXiv 2012.09841, section 3.1, at fewer layers and without attention.

    Example:
        >>> tokenizer = Tokenizer((3, 28, 28), 4, channels=8)
        >>> codes = tokenizer.encode(torch.zeros(2, 3, 28, 28))
        >>> codes.shape, tokenizer.decode(codes).shape
        (torch.Size([2, 4, 4]), torch.Size([2, 3, 28, 28]))
    """

    name = "tokenizer"
    n_classes = 0

    @configured
    def __init__(
        self, shape, levels=None, n_classes=0, *, n_codes=64, dim=8, channels=64, blocks=1, halvings=3, beta=0.25,
        decay=0.95, restart=0.05, warm_up=100, tanh=False,
    ):  # fmt: skip
        super().__init__()
        if n_classes:
            raise ValueError("a tokenizer has no classes; give them to the prior of its codes")
        if len(shape) != 3 or min(shape) < 1 or min(channels, blocks + 1, halvings) < 1:
            raise ValueError(
                f"expected images (C, H, W), channels >= 1, blocks >= 0 and halvings >= 1, got {tuple(shape)}, "
                f"{channels}, {blocks} and {halvings}"
            )
        self.shape, self.levels = tuple(shape), levels
        sizes = [self.shape[1:]]
        for _ in range(halvings):
            sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
        self.grid = sizes[-1]
        self.quantizer = VectorQuantizer(n_codes, dim, beta=beta, decay=decay, restart=restart, warm_up=warm_up)
        widths = [shape[0], max(channels // 2, 1), *[channels] * (halvings - 1)]
        residual = [ResidualBlock(channels) for _ in range(2 * blocks)]
        layers = []
        for k, (n_in, n_out) in enumerate(pairwise(widths)):
            layers += [*_normalized(nn.Conv2d(n_in, n_out, _kernel(sizes[k]), 2, 1)), nn.SiLU()]
        layers += [*_normalized(nn.Conv2d(widths[-1], channels, 3, padding=1)), *residual[:blocks], nn.SiLU()]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(channels, dim, 1))
        layers = [*_normalized(nn.Conv2d(dim, channels, 3, padding=1)), *residual[blocks:], nn.SiLU()]
        outward = [channels, *widths[-2:0:-1]]
        for k, (n_in, n_out) in enumerate(pairwise(outward)):
            up = nn.ConvTranspose2d(n_in, n_out, _kernel(sizes[halvings - 1 - k]), 2, 1)
            layers += [*_normalized(up), nn.SiLU()]
        layers.append(nn.ConvTranspose2d(outward[-1], shape[0], _kernel(sizes[0]), 2, 1))
        self.decoder = nn.Sequential(*layers, *([nn.Tanh()] if tanh else []))
        self.tanh = tanh

    @property
    def n_codes(self) -> int:
        """Size K of the codebook."""
        return self.quantizer.n_codes

    @property
    def last(self) -> nn.ConvTranspose2d:
        """The last layer that has weights, at which losses are weighed against each other."""
        return self.decoder[-2 if self.tanh else -1]

    def quantized(self, x: Tensor) -> Quantized:
        """The codes of images (B, C, H, W) in [-1, 1], with the gradient that passes straight through.

        Raises:
            TypeError, ValueError: for images that do not fit.
            FloatingPointError: an encoder output that is not finite.
        """
        check_scaled(x)
        check_shape(x, self.shape, f"images (B, {', '.join(map(str, self.shape))}) in [-1, 1]")
        return self.quantizer(at_least_float32(self.encoder(as_weights(x, self.encoder))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in [-1, 1] -> their reconstructions, not clipped, and the codebook's loss, a scalar."""
        z_q, _, loss = self.quantized(x)
        return self.decode_vectors(z_q), loss

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> LongTensor (B, H', W') of codes 0..K-1."""
        with evaluation_mode(self):
            return self.quantized(x).index

    def decode(self, index: Tensor) -> Tensor:
        """The images of codes, clipped to [-1, 1].

        Args:
            index: LongTensor (B, H', W') of 0..K-1; a larger grid than that of the images gives larger images.

        Raises:
            TypeError, ValueError: for codes of another dtype or shape, or out of range.
        """
        check_codes(index, self.n_codes)
        if index.ndim != 3:
            raise ValueError(f"expected codes (B, H', W'), got {tuple(index.shape)}; reshape them to a grid")
        return self.decode_vectors(self.quantizer.codebook[index].movedim(-1, 1)).clamp(-1, 1)

    def decode_vectors(self, z_q: Tensor) -> Tensor:
        """(B, dim, H', W') -> images (B, C, H, W), not clipped."""
        return at_least_float32(self.decoder(as_weights(z_q, self.decoder)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> what is left of them in their codes, of the same kind."""
        with evaluation_mode(self):
            return self.decode(self.encode(x))

    def levels_of(self, x: Tensor) -> Tensor:
        """Images in [-1, 1] as levels 0..levels-1: see `transforms.unscale`."""
        return unscale(x, self.levels)


def _normalized(layer: nn.Module) -> list[nn.Module]:
    """A convolution, and group normalization of what it says."""
    return [layer, nn.GroupNorm(math.gcd(8, layer.out_channels), layer.out_channels)]


def _kernel(size: tuple[int, int]) -> tuple[int, int]:
    """Of a convolution of stride 2 and padding 1 between (H, W) and its half, rounded up: 4, or 3 for an odd side."""
    return tuple(4 if side % 2 == 0 else 3 for side in size)
