"""The variational autoencoder: p(x) = E_{z ~ p(z)} p(x | z), learned through a lower bound.

`VAE` holds what does not depend on the networks: the terms of the ELBO, importance weights and the bound that they
give, samples and reconstructions. The encoder and the decoder are passed in. `MLPVAE` passes in two perceptrons, and
can be trained from a recipe and saved.

Sources: Kingma, Welling (2014), "Auto-Encoding Variational Bayes", arXiv 1312.6114; Rezende, Mohamed, Wierstra (2014),
"Stochastic Backpropagation and Approximate Inference in Deep Generative Models", arXiv 1401.4082; Burda, Grosse,
Salakhutdinov (2016), "Importance Weighted Autoencoders", arXiv 1509.00519.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.distributions.draws import next_stage, uniforms
from garm_course.distributions.heads import (
    Bernoulli,
    Categorical,
    Gaussian,
    Poisson,
    as_weights,
    at_least_float32,
    ordered_logits,
    output_head,
)
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_classes, check_levels, check_numbers, check_shape, readable
from garm_course.latent.bounds import ELBO, free_bits, iwae_bound
from garm_course.latent.priors import PoissonPrior, StandardNormal
from garm_course.models import configured
from garm_course.transforms import level_features

CHUNK = 2**20  # numbers that the decoder puts out at a time, where no gradient is kept; larger is not faster on a CPU


class VAE(nn.Module):
    """An image model with latents z: a prior p(z), a decoder p(x | z), and an encoder that proposes q(z | x).

    Args:
        encoder: x -> (B, prior.n_params · Z); with classes it is called with (x, y).
        decoder: z (N, Z) -> parameters of the head, (N, C, H, W) or (N, C, H, W, n_params); with classes it is called
            with (z, y). Or an autoregressive model: a module with `log_prob(x, z) -> (N,)` and `sample(n, z, rng=...)`
            (with classes, the class is appended to z as a one-hot vector).
        shape: (C, H, W) of the images.
        prior: `StandardNormal(Z)`, `PoissonPrior(Z)`, or a module like these.
        levels: number of gray levels of a pixel, or None for real numbers and counts.
        head: p(x_i | its parameters): `Bernoulli()`, `Categorical(levels)`, `Gaussian()`, `Poisson()`. None takes the
            one for `levels`.
        n_classes: 0, or the number of classes of a conditional VAE: p(x | y), with a prior that does not depend on y.

    Source:
        Kingma, Welling (2014), arXiv 1312.6114; conditional: Sohn, Lee, Yan (2015), "Learning Structured Output
        Representation using Deep Conditional Generative Models".

    Example:
        >>> encoder, decoder = nn.Sequential(nn.Flatten(), nn.Linear(6, 4)), nn.Linear(2, 6)
        >>> decoder = nn.Sequential(decoder, nn.Unflatten(1, (1, 2, 3)))
        >>> model = VAE(encoder, decoder, (1, 2, 3), StandardNormal(2), head=Gaussian())
        >>> model.elbo(torch.randn(5, 1, 2, 3))  # the decoder lacks the log-variances
        Traceback (most recent call last):
        ...
        ValueError: expected parameters (5, 1, 2, 3, 2) for Gaussian, got (5, 1, 2, 3); change the decoder or the head
    """

    sampling_options = ("mean",)  # that `sample` takes

    def __init__(self, encoder, decoder, shape, prior, *, levels=None, head=None, n_classes=0):
        super().__init__()
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"expected an image shape (C, H, W) of positive sizes, got {tuple(shape)}")
        if levels is None and head is None:
            raise ValueError(
                "expected levels (whole numbers 0..levels-1) or a head (Gaussian(), Poisson()), got neither"
            )
        if n_classes < 0:
            raise ValueError(f"expected n_classes >= 0 (0: no classes), got {n_classes}")
        self.shape, self.levels, self.n_classes = tuple(shape), levels, n_classes
        self.head = output_head(levels) if head is None else head
        if isinstance(self.head, (Bernoulli, Categorical)) and levels != self.head.levels:
            raise ValueError(f"expected levels={self.head.levels} for this head, got levels={levels}")
        self.encoder, self.decoder, self.prior = encoder, decoder, prior
        self.autoregressive = hasattr(decoder, "log_prob")

    @property
    def latents(self) -> int:
        """Number of latents Z."""
        return self.prior.latents

    def encode(self, x: Tensor, y: Tensor | None = None):
        """The posterior q(z | x): its `mean` is (B, Z), and it has `sample`, `log_prob` and `kl`.

        Args:
            x: (B, C, H, W), a LongTensor of levels or counts, or a FloatTensor for a Gaussian head.
            y: LongTensor (B,) of classes, for a conditional VAE.

        Raises:
            TypeError, ValueError: for images or classes that do not fit, or an encoder whose output does not.
            FloatingPointError: a posterior that is not finite, or whose variance overflows; the message names it.
        """
        self._check(x, y)
        params = at_least_float32(self.encoder(x) if y is None else self.encoder(x, y))
        expected = (len(x), self.prior.n_params * self.latents)
        if tuple(params.shape) != expected:
            raise ValueError(
                f"expected {expected} from the encoder ({self.prior.n_params} numbers for each of {self.latents} "
                f"latents), got {tuple(params.shape)}; change the encoder or the prior"
            )
        return self.prior.posterior(params)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Parameters of p(x | z): (N, C, H, W) or (N, C, H, W, n_params).

        Args:
            z: (N, Z).
            y: LongTensor (N,) of classes, for a conditional VAE.

        Raises:
            ValueError: for latents or classes that do not fit, or a decoder whose output does not match the head.
            TypeError: for an autoregressive decoder.
        """
        self._check_latents(z)
        check_classes(y, len(z), self.n_classes)
        if self.autoregressive:
            raise TypeError("an autoregressive decoder has no parameters without the pixels before; use sample")
        z = as_weights(z, self.decoder)
        params = at_least_float32(self.decoder(z) if y is None else self.decoder(z, y))
        single = self.head.n_params == 1
        expected = (len(z), *self.shape, *(() if single else (self.head.n_params,)))
        if tuple(params.shape) != expected:
            raise ValueError(
                f"expected parameters {expected} for {type(self.head).__name__}, got {tuple(params.shape)}; "
                "change the decoder or the head"
            )
        return params

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | z) in nats, summed over pixels.

        Args:
            x: (B, C, H, W).
            z: (B, k, Z).
            y: LongTensor (B,) of classes, for a conditional VAE.

        Returns:
            (B, k) nats.
        """
        k = z.shape[1]
        x = x.repeat_interleave(k, 0)
        y = None if y is None else y.repeat_interleave(k)
        flat = z.flatten(0, 1)
        if self.autoregressive:
            self._check_latents(flat)
            nats = self.decoder.log_prob(x, self._condition(flat, y))
        else:
            params = self.decode(flat, y)
            nats = self.head.log_prob(params, x).flatten(1).sum(1)
        return nats.unflatten(0, (-1, k))

    def terms(self, x: Tensor, y: Tensor | None = None, *, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """What every objective is made of: log p(x | z) (B,) at one draw of z, and KL(q || p) of each latent (B, Z).

        In training mode, latents that cannot be reparameterized are relaxed (Poisson). Arguments as in `elbo`.
        """
        posterior = self.encode(x, y)
        z = posterior.sample(1, rng, relaxed=self.training)
        reconstruction, kl = self.log_likelihood(x, z, y).squeeze(1), posterior.kl()
        for name, term in (("reconstruction", reconstruction), ("kl", kl)):
            if readable(term) and not torch.isfinite(term).all():
                bad = term[~torch.isfinite(term)].flatten()[0].item()
                raise FloatingPointError(f"the ELBO's {name} term became {bad}; lower the learning rate")
        return reconstruction, kl

    def elbo(self, x: Tensor, y: Tensor | None = None, *, rng: torch.Generator | None = None) -> ELBO:
        """The two terms of the evidence lower bound at one draw of z, whose difference is at most log p(x) on average.

        Args:
            x: (B, C, H, W).
            y: LongTensor (B,) of classes, for a conditional VAE.
            rng: source of the draw; None takes torch's global generator.

        Returns:
            ELBO(reconstruction, kl), each (B,) nats, summed over dimensions. In training mode Poisson latents are
            relaxed, see `terms`, and the difference is no bound.

        Raises:
            TypeError, ValueError: see `encode` and `decode`.
            FloatingPointError: a term that is not finite; the message names it.
        """
        reconstruction, kl = self.terms(x, y, rng=rng)
        return ELBO(reconstruction, kl.sum(1))

    def log_weights(
        self, x: Tensor, k: int, y: Tensor | None = None, *, rng: torch.Generator | None = None, beta: float = 1.0
    ) -> Tensor:
        """log w_j = log p(x | z_j) + log p(z_j) - log q(z_j | x) at k draws z_j ~ q(z | x): (B, k) nats.

        Without gradients the decoder works on pieces of at most `CHUNK` outputs, so that memory does not grow with k.

        Args:
            x: see `iwae_bound`.
            k: see `iwae_bound`.
            y: see `iwae_bound`.
            rng: see `iwae_bound`.
            beta: weight of log p(z_j) - log q(z_j | x), for annealing; only 1 gives a bound.

        Raises:
            ValueError: for k < 1, images that do not fit, or the training of latents that have no gradient (Poisson).
        """
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"expected k >= 1 samples (an integer), got {k}")
        if self.training and torch.is_grad_enabled() and not self.prior.reparameterized:
            raise ValueError(
                f"weights of a {type(self.prior).__name__} have no gradient through their draws; train with "
                "NegativeELBO, and evaluate under torch.no_grad()"
            )
        outputs = math.prod(self.shape) * self.head.n_params
        rows = max(1, CHUNK // outputs) if not torch.is_grad_enabled() else len(x) * k
        images = max(1, rows // k)
        table = []
        for at in range(0, len(x), images):
            x_part, y_part = x[at : at + images], None if y is None else y[at : at + images]
            posterior = self.encode(x_part, y_part)
            row = []
            for z in posterior.sample(k, rng).split(max(1, rows // len(x_part)), 1):
                log_ratio = self.prior.log_prob(z) - posterior.log_prob(z)
                row.append(self.log_likelihood(x_part, z, y_part) + beta * log_ratio)
            table.append(torch.cat(row, 1))
        return torch.cat(table)

    def iwae_bound(self, x: Tensor, k: int, y: Tensor | None = None, *, rng: torch.Generator | None = None) -> Tensor:
        """The importance-weighted bound with exactly k draws for each image: at most log p(x) on average, rising in k.

        Args:
            x: (B, C, H, W).
            k: draws, at least 1.
            y: LongTensor (B,) of classes, for a conditional VAE.
            rng: source of the draws, image after image: the batch size does not change them.

        Returns:
            (B,) nats.

        Raises:
            ValueError: for k < 1, or images that do not fit.
        """
        return iwae_bound(self.log_weights(x, k, y, rng=rng))

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, *, rng: torch.Generator | None = None, mean: bool = False
    ) -> Tensor:
        """Draw n images: z from the prior, then x from p(x | z).

        Args:
            n: number of images.
            y: LongTensor (n,) of classes, for a conditional VAE.
            rng: source of the draws; image k gets the same ones whatever n is. None takes torch's global generator.
            mean: return the expected image E[x | z] instead of a draw (not with an autoregressive decoder).

        Returns:
            (n, C, H, W): levels or counts as a LongTensor, real numbers otherwise.
        """
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"expected n >= 1 images (an integer), got {n}")
        pixels = next_stage(rng)
        z = self.prior.sample(n, rng, like=next(self.parameters()))
        return self.draw(z, y, rng=pixels, mean=mean)

    def levels_of(self, x: Tensor) -> Tensor:
        """Samples as levels, which they are; expected images (`mean`) are rounded."""
        return x.round().long()

    @torch.no_grad()
    def draw(
        self, z: Tensor, y: Tensor | None = None, *, rng: torch.Generator | None = None, mean: bool = False
    ) -> Tensor:
        """Images from given latents z (N, Z); other arguments and result as in `sample`."""
        if self.autoregressive:
            if mean:
                raise ValueError("an autoregressive decoder has no expected image in one pass; use mean=False")
            check_classes(y, len(z), self.n_classes)
            self._check_latents(z)
            return self.decoder.sample(len(z), self._condition(z, y), rng=rng)
        with evaluation_mode(self):
            params = self.decode(z, y)
        if mean:
            return self.head.mean(params)
        return self.head.sample(params, uniforms(len(z), *self.shape, rng=rng, like=params).to(params.dtype))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The expected image E[x | z] at the posterior mean of z: (B, C, H, W) real numbers, without noise."""
        with evaluation_mode(self):
            return self.draw(self.encode(x, y).mean, y, mean=True)

    def _condition(self, z: Tensor, y: Tensor | None) -> Tensor:
        z = as_weights(z, self.decoder)
        return z if y is None else torch.cat([z, F.one_hot(y, self.n_classes).to(z)], 1)

    def _check(self, x: Tensor, y: Tensor | None) -> None:
        if self.levels is not None:
            check_levels(x, self.shape, self.levels)
        elif isinstance(self.head, Gaussian):
            check_numbers(x, self.shape)
        else:
            check_shape(x, self.shape, f"counts (B, {', '.join(map(str, self.shape))})")
        check_classes(y, len(x), self.n_classes)

    def _check_latents(self, z: Tensor) -> None:
        if z.ndim != 2 or z.shape[1] != self.latents:
            raise ValueError(
                f"expected latents (N, {self.latents}), got {tuple(z.shape)}; build z from this model's prior"
            )


class NegativeELBO:
    """The training loss of a VAE: -(E_q log p(x | z) - beta KL), nats per example, averaged over the batch.

    Args:
        beta: weight of the KL term; with any value but 1 the loss is no bound on -log p(x) (beta < 1) or a looser one.
        warmup: fraction of the training in [0, 1] over which the weight rises from 0 to beta (KL annealing).
        lam: free bits: nats that each latent may carry at no cost, see `free_bits`.

    Attributes:
        progress: how far the training is, from 0 to 1; `fit` sets it before each step.

    Source:
        beta: Higgins et al. (2017), "beta-VAE"; annealing: Bowman et al. (2016), arXiv 1511.06349.
    """

    def __init__(self, beta: float = 1.0, warmup: float = 0.0, lam: float = 0.0):
        if not (beta >= 0 and 0 <= warmup <= 1 and lam >= 0):
            raise ValueError(f"expected beta >= 0, warmup in [0, 1] and lam >= 0, got {beta}, {warmup} and {lam}")
        self.beta, self.warmup, self.lam, self.progress = beta, warmup, lam, 1.0

    @property
    def weight(self) -> float:
        """Of the KL term at this point of the training."""
        return self.beta * (min(1.0, self.progress / self.warmup) if self.warmup else 1.0)

    def __call__(self, model: VAE, x: Tensor, y: Tensor | None = None) -> Tensor:
        reconstruction, kl = model.terms(x, y if model.n_classes else None)
        rate = free_bits(kl, self.lam) if self.lam else kl.sum(1).mean()
        return self.weight * rate - reconstruction.mean()


class NegativeIWAE:
    """The training loss of an importance-weighted autoencoder: minus the bound with k draws, averaged over the batch.

    Args:
        k: draws for each example, at least 1.
        warmup: as in `NegativeELBO`: the weight of log p(z) - log q(z | x) rises from 0 to 1.

    Raises:
        ValueError: for k < 1, or, when it is called, for latents that cannot be reparameterized (Poisson).

    Source:
        Burda, Grosse, Salakhutdinov (2016), arXiv 1509.00519, section 3.
    """

    def __init__(self, k: int, warmup: float = 0.0):
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"expected k >= 1 samples (an integer), got {k}")
        self.k, self.annealing = k, NegativeELBO(warmup=warmup)

    @property
    def progress(self) -> float:
        """How far the training is, from 0 to 1; `fit` sets it before each step."""
        return self.annealing.progress

    @progress.setter
    def progress(self, value: float) -> None:
        self.annealing.progress = value

    def __call__(self, model: VAE, x: Tensor, y: Tensor | None = None) -> Tensor:
        y = y if model.n_classes else None
        return -iwae_bound(model.log_weights(x, self.k, y, beta=self.annealing.weight)).mean()


class MLPEncoder(nn.Module):
    """Images of levels to the numbers of a posterior: levels as a thermometer, then a perceptron.

    Args:
        shape: of the images.
        levels: of the images.
        outputs: numbers for each image.
        n_classes: 0, or classes that are appended.
        hidden: units of each hidden layer.
        dropout: probability of dropping a hidden unit.
        input_dropout: probability of dropping an input feature.
    """

    def __init__(self, shape, levels, outputs, n_classes=0, *, hidden=(256, 256), dropout=0.0, input_dropout=0.0):
        super().__init__()
        self.n_classes = n_classes
        self.register_buffer("table", level_features(levels, "thermometer")[:, :-1], persistent=False)
        inputs = math.prod(shape) * self.table.shape[1]
        self.drop = nn.Dropout(input_dropout)
        self.net = _perceptron([inputs + n_classes, *hidden, outputs], dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """LongTensor (B, C, H, W), classes (B,) -> (B, outputs)."""
        h = self.drop(self.table[x].flatten(1))
        return self.net(h if y is None else torch.cat([h, F.one_hot(y, self.n_classes).to(h)], 1))


class MLPDecoder(nn.Module):
    """Latents to the parameters of a head: a perceptron; logits of levels leave as differences of neighbors.

    Args:
        latents: Z.
        shape: of the images.
        head: the distribution of a pixel.
        n_classes: 0, or classes that are appended.
        hidden: see `MLPEncoder`.
        dropout: see `MLPEncoder`.
    """

    def __init__(self, latents, shape, head, n_classes=0, *, hidden=(256, 256), dropout=0.0):
        super().__init__()
        self.n_classes, self.shape, self.head = n_classes, tuple(shape), head
        self.net = _perceptron([latents + n_classes, *hidden, math.prod(shape) * head.n_params], dropout)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, Z), classes (N,) -> (N, C, H, W) or (N, C, H, W, n_params)."""
        params = self.net(z if y is None else torch.cat([z, F.one_hot(y, self.n_classes).to(z)], 1))
        if self.head.n_params == 1:
            return params.unflatten(1, self.shape)
        params = params.unflatten(1, (*self.shape, self.head.n_params))
        return ordered_logits(params) if isinstance(self.head, Categorical) else params


class MLPVAE(VAE):
    """A VAE of two perceptrons for images of levels, conditional on the class on request.

    Args:
        shape: see `VAE`.
        levels: see `VAE`.
        n_classes: see `VAE`.
        latents: number of latents.
        hidden: units of each hidden layer of the encoder, and reversed of the decoder.
        dropout: probability of dropping a hidden unit of either.
        input_dropout: the same for an input feature.
        prior: "gaussian" or "poisson".
        head: "levels" (a softmax, one logit for two levels) or "poisson" (a level is a count).

    Raises:
        ValueError: for an unknown prior or head, fewer than one latent or two levels.

    Source:
        Kingma, Welling (2014), arXiv 1312.6114, appendix C; the thermometer and the levels' logits are this course's.

    Example:
        >>> model = MLPVAE((1, 8, 8), levels=17, latents=4)
        >>> model.elbo(torch.zeros(3, 1, 8, 8, dtype=torch.long)).kl.shape
        torch.Size([3])
    """

    name = "vae"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, latents=16, hidden=(256, 256), dropout=0.0, input_dropout=0.0,
        prior="gaussian", head="levels",
    ):  # fmt: skip
        priors = {"gaussian": StandardNormal, "poisson": PoissonPrior}
        heads = {"levels": lambda: output_head(levels), "poisson": Poisson}
        for what, value, known in (("prior", prior, priors), ("head", head, heads)):
            if value not in known:
                raise ValueError(f"expected {what} {' or '.join(map(repr, known))}, got {value!r}")
        prior_module, pixel = priors[prior](latents), heads[head]()
        drops = {"hidden": tuple(hidden), "dropout": dropout}
        encoder = MLPEncoder(
            shape, levels, prior_module.n_params * latents, n_classes, **drops, input_dropout=input_dropout
        )
        drops["hidden"] = drops["hidden"][::-1]
        decoder = MLPDecoder(latents, shape, pixel, n_classes, **drops)
        super().__init__(encoder, decoder, shape, prior_module, levels=levels, head=pixel, n_classes=n_classes)


def _perceptron(sizes: list[int], dropout: float) -> nn.Sequential:
    layers = []
    for n_in, n_out in pairwise(sizes[:-1]):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
