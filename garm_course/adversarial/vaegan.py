"""VAE-GAN: an autoencoder whose reconstructions are compared in the features of a discriminator, not pixel by pixel.

Three players: the encoder proposes q(z | x), the decoder makes images of z, and is the generator of a GAN at the same
time; the discriminator tells data from both kinds of images, and lends one of its layers as the space in which a
reconstruction is compared with its original. Which loss moves which player is half of the method.

Source: Larsen, Sønderby, Larochelle, Winther (2016), "Autoencoding beyond pixels using a learned similarity metric",
ICML, arXiv 1512.09300.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from garm_course.adversarial.game import Game
from garm_course.adversarial.gan import MLPCritic, MLPGenerator
from garm_course.adversarial.lipschitz import batch_normalized, r1_of_scores
from garm_course.adversarial.losses import GANLoss
from garm_course.distributions.draws import normals
from garm_course.distributions.heads import kl_diag_gaussian_per_dim
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_scaled, check_settings, check_shape
from garm_course.models import configured
from garm_course.transforms import scale, unscale


def feature_nll(fx: Tensor, frec: Tensor) -> Tensor:
    """½ Σ (fx - frec)²: -log N(features of x; features of its reconstruction, I), without its constant; (15.2).

    Args:
        fx: (B, ...) features of the originals; they are a target, and get no gradient.
        frec: features of the reconstructions, of the same shape.

    Returns:
        (B,) nats, up to the constant ½ F log 2π for F features: summed over features, one for each example.

    Raises:
        ValueError: for shapes that differ.

    Source:
        Larsen et al. (2016), arXiv 1512.09300, section 2.3.

    Example:
        >>> feature_nll(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor([2.])
    """
    if fx.shape != frec.shape or fx.ndim < 2:
        raise ValueError(f"expected features (B, ...) of one shape, got {tuple(fx.shape)} and {tuple(frec.shape)}")
    return 0.5 * (fx.detach() - frec).square().flatten(1).sum(1)


def vaegan_losses(prior: Tensor, rec: Tensor, gan: Tensor, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Distribute three losses over three players, each of which minimizes its own; equation (15.3).

    Args:
        prior: KL(q(z | x) || p(z)), a scalar.
        rec: the reconstruction error in features, `feature_nll`, averaged.
        gan: the discriminator's loss, -log D(x) - log(1 - D(x̂)).
        gamma: how much the decoder cares for reconstruction against realism.

    Returns:
        (encoder, decoder, discriminator) = (prior + rec, gamma rec - gan, gan). The adversarial term is not in the
        encoder's: it would teach the code to be realistic, and not to say what x is.

    Source:
        Larsen et al. (2016), arXiv 1512.09300, section 2.3 and algorithm 1. All three descend there, so that its L_GAN
        must be the discriminator's loss, whereas the text writes log D(x) + log(1 - D(x̂)).

    Example:
        >>> losses = vaegan_losses(torch.tensor(3.0), torch.tensor(10.0), torch.tensor(1.0), gamma=0.5)
        >>> [float(loss) for loss in losses]
        [13.0, 4.0, 1.0]
    """
    return prior + rec, gamma * rec - gan, gan


class VAEGAN(nn.Module):
    """An encoder, a decoder and a discriminator with features.

    Args:
        encoder: x (B, *shape) -> (B, 2 Z), means and then log-variances.
        decoder: z (B, Z) -> images (B, *shape) in [-1, 1].
        critic: images -> logits (B,), with a method `features(x)` -> (B, ...) of an inner layer.
        shape: of the images.
        latents: Z.
        levels: of the images that it is trained on, or None for numbers.

    Example:
        >>> model = MLPVAEGAN((1, 8, 8), 17, latents=4)
        >>> model.reconstruct(model.sample(3)).shape
        torch.Size([3, 1, 8, 8])
    """

    n_classes = 0
    sampling_options = ()  # that `sample` takes

    def __init__(self, encoder, decoder, critic, shape, latents, *, levels=None):
        super().__init__()
        if latents < 1 or min(shape) < 1:
            raise ValueError(f"expected latents >= 1 and positive sizes, got {latents} and {tuple(shape)}")
        self.shape, self.latents, self.levels = tuple(shape), latents, levels
        self.encoder, self.decoder, self.critic = encoder, decoder, critic

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior's means and log-variances, (B, Z) each.

        Args:
            x: FloatTensor (B, *shape) in [-1, 1].

        Raises:
            TypeError, ValueError: for images that do not fit, or an encoder whose output does not.
        """
        check_scaled(x)
        check_shape(x, self.shape, f"images (B, {', '.join(map(str, self.shape))}) in [-1, 1]")
        params = self.encoder(x)
        if tuple(params.shape) != (len(x), 2 * self.latents):
            raise ValueError(
                f"expected {(len(x), 2 * self.latents)} from the encoder (a mean and a log-variance for each of "
                f"{self.latents} latents), got {tuple(params.shape)}; change the encoder or latents"
            )
        return params.chunk(2, 1)

    def prior_loss(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """KL(q(z | x) || N(0, I)) in nats, averaged over the batch: a scalar."""
        return kl_diag_gaussian_per_dim(mu, logvar).sum(1).mean()

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images (B, *shape) in [-1, 1] -> the decoder's images at the posterior means."""
        with evaluation_mode(self):
            return self.decoder(self.encode(x)[0])

    def levels_of(self, x: Tensor) -> Tensor:
        """Samples in [-1, 1] as levels 0..levels-1: see `transforms.unscale`."""
        return unscale(x, self.levels)

    @torch.no_grad()
    def sample(self, n: int, y: None = None, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw n images in [-1, 1] from the prior; image k is the same whatever n."""
        if n < 1:
            raise ValueError(f"expected at least one image to draw, got n={n}")
        if y is not None:
            raise ValueError("got classes y, but a VAEGAN knows none; leave y out")
        with evaluation_mode(self):
            return self.decoder(normals(n, self.latents, rng=rng, like=next(self.parameters())))


class VAEGANGame(Game):
    """The game of Larsen et al. (2016): encoder and decoder take a step, then the discriminator.

    Each loss is differentiated in the weights of its own player only: the adversarial term not in the encoder's, the
    reconstruction not in the discriminator's. Reconstructions and fresh images are made once.

    Args:
        model: see `VAEGAN`; encoder and decoder hold their average after training.
        gamma: weight of the reconstruction in the decoder's loss, at least 0, see `vaegan_losses`.
        variance: of the features' likelihood N(features of the reconstruction, variance I), above 0, 1 in the paper;
            the reconstruction error is divided by it. The smaller, the more nats the code may spend.
        loss: a name of `adversarial.losses.LOSSES`, or a pair of functions of scores. Fakes are the reconstructions and
            as many images from the prior, together.
        r1: gamma of the penalty on the discriminator's gradient at data, at least 0.

    Raises:
        ValueError: for settings outside their ranges, or batch normalization in the discriminator together with r1.

    Source:
        Larsen et al. (2016), arXiv 1512.09300, algorithm 1.
    """

    def __init__(
        self,
        model: VAEGAN,
        *,
        gamma: float = 1.0,
        variance: float = 1.0,
        loss: str | GANLoss = "non_saturating",
        r1: float = 0.0,
    ):
        check_settings(0, gamma=gamma, r1=r1)
        check_settings(0, above=True, variance=variance)
        if r1 and batch_normalized(model.critic):
            raise ValueError(
                "the discriminator has batch normalization, and a penalty on the gradient of one example's score means "
                "nothing then; build it without, or leave r1 out"
            )
        own = {"encoder": model.encoder, "decoder": model.decoder}
        super().__init__(
            model, {**own, "critic": model.critic}, averaged=nn.ModuleDict(own), levels=(model.levels,), loss=loss,
            gamma=gamma, variance=variance, r1=r1,
        )  # fmt: skip
        self.gamma, self.variance, self.r1 = gamma, variance, r1

    def step(self, batch, draw, descend) -> dict[str, Tensor]:
        """Algorithm 1 of the paper; see `Game` for what a step is handed.

        Returns:
            The losses "prior", "reconstruction" (in features), "generator", "critic" and, if there is one, "penalty".
        """
        model, critic = self.model, self.model.critic
        x, _ = batch()
        mu, logvar = (t.float() for t in model.encode(x))
        noise, fresh = draw(torch.randn, model.latents), draw(torch.randn, model.latents)
        images = model.decoder(torch.cat([mu + (0.5 * logvar).exp() * noise, fresh]))
        with torch.no_grad():
            target = critic.features(x).float()
        rebuilt = critic.features(images[: len(x)]).float()
        prior, rec = model.prior_loss(mu, logvar), feature_nll(target, rebuilt).mean() / self.variance
        realism = self.loss.generator(critic(images).float())
        terms = {"prior": prior, "reconstruction": rec, "generator": realism}
        descend(encoder=prior + rec, decoder=self.gamma * rec + realism)
        real_scores = critic(x.requires_grad_(bool(self.r1))).float()
        terms["critic"] = self.loss.critic(real_scores, critic(images.detach()).float())
        if self.r1:
            terms["penalty"] = r1_of_scores(real_scores, x, self.r1)
        descend(critic=terms["critic"] + terms.get("penalty", 0.0))
        return terms


class MLPVAEGAN(VAEGAN):
    """A VAE-GAN of three perceptrons for small images; the features are the discriminator's last hidden layer.

    Args:
        shape: see `VAEGAN`.
        levels: see `VAEGAN`.
        latents: see `VAEGAN`.
        hidden: units of each hidden layer of all three.

    Source:
        Larsen et al. (2016), arXiv 1512.09300, without convolutions.
    """

    name = "vaegan"

    @configured
    def __init__(self, shape, levels=None, n_classes=0, *, latents=16, hidden=(256, 256)):
        if n_classes:
            raise ValueError(f"expected n_classes=0, a VAEGAN knows no classes, got {n_classes}")
        hidden = tuple(hidden)
        inputs = torch.Size(shape).numel()
        sizes = [inputs, *hidden]
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        encoder = nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], 2 * latents))
        decoder = MLPGenerator(latents, shape, hidden=hidden[::-1])
        super().__init__(encoder, decoder, MLPCritic(shape, hidden=hidden), shape, latents, levels=levels)


class PixelLoss:
    """The loss of a plain VAE with the same encoder and decoder, for `training.fit`: pixels in place of features.

    KL(q(z | x) || p(z)) + |x - x̂|² / (2 variance), in nats up to a constant, at one draw of z, averaged over the batch.
    The discriminator has no part in it and does not move.

    Args:
        variance: of the pixels' likelihood N(x̂, variance I), with pixels in [-1, 1].

    Source:
        Kingma, Welling (2014), arXiv 1312.6114, appendix C.2, with a fixed variance.
    """

    def __init__(self, variance: float):
        if not variance > 0:
            raise ValueError(f"expected a variance above 0, got {variance}")
        self.variance = variance

    def __call__(self, model: VAEGAN, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = x if x.is_floating_point() else scale(x, model.levels)
        mu, logvar = model.encode(x)
        rebuilt = model.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
        return model.prior_loss(mu, logvar) + feature_nll(x, rebuilt).mean() / self.variance
