"""The generative adversarial network: a generator that turns noise into examples, and a critic that scores them.

`GAN` holds the pair, and draws; the networks are passed in. `GANGame` is the game that they play, for `fit_game`.
`MLPGAN` (points, small images) and `DCGAN` (images) pass in their own networks, and can be trained from a recipe and
saved.

Sources: Goodfellow et al. (2014), arXiv 1406.2661; Radford, Metz, Chintala (2016), "Unsupervised Representation
Learning with Deep Convolutional Generative Adversarial Networks", arXiv 1511.06434; Miyato, Koyama (2018), "cGANs with
Projection Discriminator", arXiv 1802.05637.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from garm_course.adversarial.game import Game, frozen
from garm_course.adversarial.lipschitz import batch_normalized, clip_weights, gradient_penalty, r1_of_scores
from garm_course.adversarial.losses import GANLoss
from garm_course.distributions.draws import normals
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_classes, check_settings
from garm_course.models import configured
from garm_course.transforms import unscale


class GAN(nn.Module):
    """A generator and a critic.

    Args:
        generator: z (B, Z) -> examples (B, *shape), images in [-1, 1]; with classes it is called with (z, y).
        critic: examples -> scores (B,), or (B, 1, h, w) of patches; with classes it is called with (x, y).
        shape: of an example: (C, H, W), or (D,) for points.
        latents: Z, standard normal numbers for each example.
        levels: of the images that it is trained on, or None for numbers.
        n_classes: 0, or the number of classes of a conditional GAN.

    Example:
        >>> gan = MLPGAN((1, 8, 8), 17, latents=4)
        >>> x = gan.sample(3, rng=torch.Generator().manual_seed(0))
        >>> x.shape, gan.critic(x).shape
        (torch.Size([3, 1, 8, 8]), torch.Size([3]))
    """

    sampling_options = ()  # that `sample` takes

    def __init__(self, generator, critic, shape, latents, *, levels=None, n_classes=0):
        super().__init__()
        if latents < 1 or n_classes < 0 or min(shape) < 1:
            raise ValueError(
                f"expected latents >= 1, n_classes >= 0 and positive sizes, got {latents}, {n_classes} and {shape}"
            )
        self.shape, self.latents, self.levels, self.n_classes = tuple(shape), latents, levels, n_classes
        self.generator, self.critic = generator, critic

    def noise(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """(n, Z) standard normal numbers on the device of the weights; row k is the same whatever n."""
        return normals(n, self.latents, rng=rng, like=next(self.parameters()))

    def levels_of(self, x: Tensor) -> Tensor:
        """Samples in [-1, 1] as levels 0..levels-1: see `transforms.unscale`."""
        return unscale(x, self.levels)

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw examples.

        Args:
            n: how many.
            y: LongTensor (n,) of classes, for a conditional GAN.
            rng: source of the noise.

        Returns:
            (n, *shape), images in [-1, 1]: `transforms.unscale(x, levels)` makes levels of them.

        Raises:
            ValueError, TypeError: for n < 1, or classes that do not fit.
        """
        if n < 1:
            raise ValueError(f"expected at least one example to draw, got n={n}")
        check_classes(y, n, self.n_classes)
        with evaluation_mode(self):
            z = self.noise(n, rng)
            return self.generator(z) if y is None else self.generator(z, y.to(z.device))


class GANGame(Game):
    """The game of Goodfellow et al. (2014): the critic takes `critic_steps` steps, then the generator takes one.

    The last fakes of the critic are the generator's, drawn once: with one critic step that is the alternating game of
    the paper at the price of one forward pass of the generator. In the generator's step the critic's weights need no
    gradient, so none is computed.

    Args:
        gan: see `GAN`.
        loss: a name of `adversarial.losses.LOSSES`, or a pair of functions of scores.
        critic_steps: steps of the critic for each of the generator's, at least 1.
        r1: gamma of the penalty on the critic's gradient at data, at least 0, see `r1_penalty`.
        penalty: weight of the gradient penalty between data and fakes, at least 0, see `gradient_penalty`; the paper
            takes 10.
        clip: largest weight of the critic after each of its steps, above 0, see `clip_weights`; None for no clipping.

    Raises:
        ValueError: for settings outside their ranges, or batch normalization in the critic together with a penalty on
            its gradient.

    Source:
        Goodfellow et al. (2014), arXiv 1406.2661, algorithm 1.
    """

    def __init__(
        self,
        gan: GAN,
        *,
        loss: str | GANLoss = "non_saturating",
        critic_steps: int = 1,
        r1: float = 0.0,
        penalty: float = 0.0,
        clip: float | None = None,
    ):
        check_settings(1, whole=True, critic_steps=critic_steps)
        check_settings(0, r1=r1, penalty=penalty)
        check_settings(0, above=True, clip=1 if clip is None else clip)
        if (r1 or penalty) and batch_normalized(gan.critic):
            raise ValueError(
                "the critic has batch normalization, which makes each score depend on the whole batch: a penalty on "
                "the gradient of one example's score means nothing then; build the critic without it, or leave the "
                "penalty out"
            )
        super().__init__(
            gan, {"critic": gan.critic, "generator": gan.generator}, averaged=gan.generator, levels=(gan.levels,),
            loss=loss, critic_steps=critic_steps, r1=r1, penalty=penalty, clip=clip,
        )  # fmt: skip
        self.critic_steps, self.r1, self.penalty, self.clip = critic_steps, r1, penalty, clip

    def step(self, batch, draw, descend) -> dict[str, Tensor]:
        """Algorithm 1 of the paper; see `Game` for what a step is handed.

        Returns:
            The losses "critic", "generator" and, if there is one, "penalty".
        """
        gan, critic, generator, terms = self.model, self.model.critic, self.model.generator, {}
        for k in range(self.critic_steps):
            x, y = batch()
            given = (y,) if gan.n_classes else ()
            noise = draw(torch.randn, gan.latents)
            with torch.set_grad_enabled(k == self.critic_steps - 1):  # only the last fakes are the generator's too
                fake = generator(noise, *given)
            real_scores = critic(x.requires_grad_(bool(self.r1)), *given).float()
            fake_scores = critic(fake.detach(), *given).float()
            terms["critic"] = self.loss.critic(real_scores, fake_scores)
            steepness = []
            if self.r1:
                steepness.append(r1_of_scores(real_scores, x, self.r1))
            if self.penalty:
                steepness.append(self.penalty * gradient_penalty(critic, x, fake, draw(torch.rand), *given))
            if steepness:
                terms["penalty"] = sum(steepness)
            descend(critic=terms["critic"] + terms.get("penalty", 0.0))
            if self.clip is not None:
                clip_weights(critic, self.clip)
        with frozen(critic):
            terms["generator"] = self.loss.generator(critic(fake, *given).float())
            descend(generator=terms["generator"])
        return terms


class MLPGenerator(nn.Module):
    """Noise, and the class as a one-hot vector, through a perceptron: tanh at the end for images, nothing for points.

    Args:
        latents: see `GAN`.
        shape: see `GAN`.
        n_classes: see `GAN`.
        hidden: units of each hidden layer.
    """

    def __init__(self, latents, shape, n_classes=0, *, hidden=(256, 256)):
        super().__init__()
        self.shape, self.n_classes, self.images = tuple(shape), n_classes, len(shape) == 3
        sizes = [latents + n_classes, *hidden]
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], math.prod(shape)))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, Z), classes (B,) -> (B, *shape)."""
        x = self.net(_with_class(z, y, self.n_classes)).unflatten(1, self.shape)
        return x.tanh() if self.images else x


class MLPCritic(nn.Module):
    """A perceptron with one score; for classes by projection, score = w·φ(x) + e_y·φ(x) (Miyato, Koyama, 2018).

    Args:
        shape: see `GAN`.
        n_classes: see `GAN`.
        hidden: units of each hidden layer.
        spectral: divide each weight by its spectral norm.
    """

    def __init__(self, shape, n_classes=0, *, hidden=(256, 256), spectral=False):
        super().__init__()
        sizes = [math.prod(shape), *hidden]
        norm = _normalization(spectral)
        layers = [layer for pair in pairwise(sizes) for layer in (norm(nn.Linear(*pair)), nn.LeakyReLU(0.2))]
        self.features = nn.Sequential(nn.Flatten(), *layers)
        self.read_out = _ReadOut(sizes[-1], n_classes, norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, *shape), classes (B,) -> scores (B,)."""
        return self.read_out(self.features(x), y)


class DCGenerator(nn.Module):
    """Noise to a grid of a quarter of the height and width, then two transposed convolutions of stride 2.

    Args:
        latents: see `GAN`; height and width are multiples of 4.
        shape: see `GAN`; height and width are multiples of 4.
        n_classes: see `GAN`; height and width are multiples of 4.
        channels: of the last hidden layer; the one before has twice as many.
        batch_norm: after each hidden layer.
    """

    def __init__(self, latents, shape, n_classes=0, *, channels=32, batch_norm=True):
        super().__init__()
        c, h, w = _quarters(shape)
        self.n_classes = n_classes
        norm = nn.BatchNorm2d if batch_norm else lambda n: nn.Identity()
        self.net = nn.Sequential(
            nn.Linear(latents + n_classes, 2 * channels * h * w, bias=not batch_norm),  # whose mean takes a bias away
            nn.Unflatten(1, (2 * channels, h, w)),
            norm(2 * channels),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=not batch_norm),
            norm(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, c, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, Z), classes (B,) -> (B, C, H, W) in [-1, 1]."""
        return self.net(_with_class(z, y, self.n_classes))


class DCCritic(nn.Module):
    """Two convolutions of stride 2, and one score; for classes by projection.

    Args:
        shape: see `GAN`.
        n_classes: see `GAN`.
        channels: of the first layer; the second has twice as many.
        spectral: divide each weight by its spectral norm.
        batch_norm: after the second layer; it makes a score depend on the rest of the batch, so that a gradient penalty
            is refused.
    """

    def __init__(self, shape, n_classes=0, *, channels=32, spectral=False, batch_norm=False):
        super().__init__()
        c, h, w = _quarters(shape)
        norm = _normalization(spectral)
        self.features = nn.Sequential(
            norm(nn.Conv2d(c, channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=not batch_norm)),
            nn.BatchNorm2d(2 * channels) if batch_norm else nn.Identity(),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.read_out = _ReadOut(2 * channels * h * w, n_classes, norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, C, H, W), classes (B,) -> scores (B,)."""
        return self.read_out(self.features(x), y)


class MLPGAN(GAN):
    """A GAN of two perceptrons, for points or small images.

    Args:
        shape: see `GAN`.
        levels: see `GAN`.
        n_classes: see `GAN`.
        latents: see `GAN`.
        hidden: units of each hidden layer of the generator.
        critic_hidden: of the critic, None for the same.
        spectral: spectral normalization of the critic.
    """

    name = "gan"

    @configured
    def __init__(
        self, shape, levels=None, n_classes=0, *, latents=32, hidden=(256, 256), critic_hidden=None, spectral=False
    ):
        critic_hidden = tuple(hidden if critic_hidden is None else critic_hidden)
        generator = MLPGenerator(latents, shape, n_classes, hidden=tuple(hidden))
        critic = MLPCritic(shape, n_classes, hidden=critic_hidden, spectral=spectral)
        super().__init__(generator, critic, shape, latents, levels=levels, n_classes=n_classes)
        self.config["critic_hidden"] = list(critic_hidden)


class DCGAN(GAN):
    """A GAN of convolutions for images whose height and width are multiples of 4.

    Args:
        shape: see `GAN`.
        levels: see `GAN`.
        n_classes: see `GAN`.
        latents: see `GAN`.
        channels: see `DCGenerator`.
        critic_channels: see `DCCritic`, None for the same.
        spectral: spectral normalization of the critic.
        batch_norm: of the generator.
        critic_batch_norm: of the critic, as in the paper; refused together with a penalty on its gradient.

    Source:
        Radford, Metz, Chintala (2016), arXiv 1511.06434, at two strided layers.
    """

    name = "dcgan"

    @configured
    def __init__(
        self, shape, levels=None, n_classes=0, *, latents=64, channels=32, critic_channels=None, spectral=False,
        batch_norm=True, critic_batch_norm=False,
    ):  # fmt: skip
        critic_channels = channels if critic_channels is None else critic_channels
        generator = DCGenerator(latents, shape, n_classes, channels=channels, batch_norm=batch_norm)
        critic = DCCritic(shape, n_classes, channels=critic_channels, spectral=spectral, batch_norm=critic_batch_norm)
        super().__init__(generator, critic, shape, latents, levels=levels, n_classes=n_classes)
        self.config["critic_channels"] = critic_channels


class _ReadOut(nn.Module):
    """Features (B, F) to scores (B,): w·φ + b, and e_y·φ for a class."""

    def __init__(self, features: int, n_classes: int, norm):
        super().__init__()
        self.score = norm(nn.Linear(features, 1))
        self.classes = norm(nn.Embedding(n_classes, features)) if n_classes else None

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        score = self.score(h)[:, 0]
        return score if y is None else score + (self.classes(y) * h).sum(1)


def _normalization(spectral: bool):
    return spectral_norm if spectral else lambda layer: layer


def _with_class(z: Tensor, y: Tensor | None, n_classes: int) -> Tensor:
    return z if y is None else torch.cat([z, F.one_hot(y, n_classes).to(z)], 1)


def _quarters(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H / 4, W / 4)."""
    if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
        raise ValueError(f"expected images (C, H, W) with H and W multiples of 4, got {tuple(shape)}; pad them")
    return shape[0], shape[1] // 4, shape[2] // 4
