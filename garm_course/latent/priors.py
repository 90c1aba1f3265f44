"""Priors of latent variables, and the posteriors that an encoder chooses from the same family.

A prior turns the numbers of an encoder into posteriors. A posterior can be drawn from, has a log-density, and knows its
KL divergence from the prior in closed form. Draws come from uniforms, one for each example, sample and latent, so that
neither the batch size nor the device changes them.
"""

import math

import torch
from torch import Tensor, nn

from garm_course.distributions.draws import normals, uniforms
from garm_course.distributions.heads import Poisson, kl_diag_gaussian_per_dim
from garm_course.inputs import readable
from garm_course.latent.bounds import check_gaussian, reparameterize


class StandardNormal(nn.Module):
    """The prior z ~ N(0, I); posteriors are Gaussians with a mean and a log-variance for each latent.

    Args:
        latents: number of latents Z.
    """

    n_params = 2  # numbers of the encoder for each latent
    reparameterized = True  # an exact draw is differentiable

    def __init__(self, latents: int):
        super().__init__()
        self.latents = _at_least_one(latents)

    def log_prob(self, z: Tensor) -> Tensor:
        """(..., Z) -> (...) nats."""
        return -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)

    def sample(self, n: int, rng: torch.Generator | None = None, *, like: Tensor) -> Tensor:
        """(n, Z) draws, on the device and in the dtype of `like`."""
        return normals(n, self.latents, rng=rng, like=like)

    def posterior(self, params: Tensor) -> "GaussianPosterior":
        """The posteriors of (B, 2 Z) numbers: Z means, then Z log-variances."""
        return GaussianPosterior(*params.chunk(2, -1))


class GaussianPosterior:
    """q(z | x) = N(mu, diag e^logvar), one for each of B examples.

    Args:
        mu: (B, Z).
        logvar: (B, Z).

    Raises:
        ValueError: shapes that differ. FloatingPointError: values that are not finite, or a variance that overflows.
    """

    def __init__(self, mu: Tensor, logvar: Tensor):
        check_gaussian(mu, logvar)
        self.mean, self.logvar = mu, logvar

    def sample(self, k: int, rng: torch.Generator | None = None, *, relaxed: bool = False) -> Tensor:
        """(B, k, Z) reparameterized draws, differentiable in the parameters; they need no relaxation."""
        eps = normals(len(self.mean), k, self.mean.shape[1], rng=rng, like=self.mean)
        return reparameterize(self.mean.unsqueeze(1), self.logvar.unsqueeze(1), eps)

    def log_prob(self, z: Tensor) -> Tensor:
        """(B, k, Z) -> (B, k) nats."""
        mu, logvar = self.mean.unsqueeze(1), self.logvar.unsqueeze(1)
        return -0.5 * (math.log(2 * math.pi) + logvar + (z - mu) ** 2 * torch.exp(-logvar)).sum(-1)

    def kl(self) -> Tensor:
        """(B, Z) nats: KL(q || N(0, 1)) of each latent."""
        return kl_diag_gaussian_per_dim(self.mean, self.logvar)


class PoissonPrior(nn.Module):
    """The prior z_j ~ Poisson(r), spikes in a window of time; posteriors are Poisson with a rate for each latent.

    Args:
        latents: number of latents Z.
        rate: r, the mean of each latent under the prior.
        temperature: of the relaxed counts that training uses, see `PoissonPosterior.sample`.

    Source:
        Vafaii, Galor, Yates (2024), arXiv 2405.14473.
    """

    n_params = 1
    reparameterized = False  # only a relaxed draw is

    def __init__(self, latents: int, rate: float = 1.0, temperature: float = 0.1):
        super().__init__()
        if not (rate > 0 and temperature > 0):
            got = f"{rate} and {temperature}"
            raise ValueError(f"expected rate > 0 and temperature > 0, got {got}; 1 and 0.1 are a start")
        self.latents, self.rate, self.temperature = _at_least_one(latents), rate, temperature

    def log_prob(self, z: Tensor) -> Tensor:
        """Counts (..., Z) -> (...) nats."""
        return Poisson().log_prob(torch.full_like(z, math.log(self.rate)), z).sum(-1)

    def sample(self, n: int, rng: torch.Generator | None = None, *, like: Tensor) -> Tensor:
        """(n, Z) counts, on the device and in the dtype of `like`."""
        u = uniforms(n, self.latents, rng=rng, like=like)
        return Poisson().sample(torch.full_like(u, math.log(self.rate)), u).to(like.dtype)

    def posterior(self, params: Tensor) -> "PoissonPosterior":
        """The posteriors of (B, Z) numbers a: rates r e^a, so that an encoder that says 0 says the prior."""
        return PoissonPosterior(params + math.log(self.rate), self.rate, self.temperature)


class PoissonPosterior:
    """q(z | x) = prod_j Poisson(rate_j), one for each of B examples.

    Args:
        log_rate: (B, Z), logarithms of the rates.
        prior_rate: of the prior, above 0.
        temperature: of relaxed counts.

    Raises:
        FloatingPointError: rates that are not finite, or so large that they cannot be simulated.
    """

    LARGEST = 1000.0  # a relaxed count is a sum over so many arrivals

    def __init__(self, log_rate: Tensor, prior_rate: float, temperature: float):
        fits = torch.isfinite(log_rate) & (log_rate <= math.log(self.LARGEST))
        if readable(log_rate) and not fits.all():
            bad = log_rate.flatten()[torch.nan_to_num(log_rate, nan=math.inf).argmax()].item()
            raise FloatingPointError(
                f"the posterior's rate exp(log_rate) is out of range: log_rate is {bad:g}, rates end at "
                f"{self.LARGEST:g}; lower the learning rate"
            )
        self.log_rate, self.mean = log_rate, log_rate.exp()
        self.prior_rate, self.temperature = prior_rate, temperature

    def sample(self, k: int, rng: torch.Generator | None = None, *, relaxed: bool = False) -> Tensor:
        """(B, k, Z) counts; or, relaxed, real numbers near them that are differentiable in the rates.

        A Poisson count is the number of arrivals before time 1, when the gaps between arrivals are exponential.
        Relaxed, each arrival at time t counts as sigmoid((1 - t) / temperature). Relaxed draws train the model; a bound
        needs exact ones.
        """
        size = (len(self.mean), k, self.mean.shape[1])
        if not relaxed:
            u = uniforms(*size, rng=rng, like=self.mean)
            return Poisson().sample(self.log_rate.unsqueeze(1).expand(size), u).to(self.mean.dtype)
        most = float(self.mean.detach().max()) if readable(self.mean) else self.LARGEST
        arrivals = math.ceil(most + 6 * math.sqrt(most) + 12)  # more than come before time 1 but once in 1e8 draws
        gaps = -uniforms(*size, arrivals, rng=rng, like=self.mean).log().to(self.mean.dtype)
        times = gaps.cumsum(-1) / self.mean[:, None, :, None]
        return torch.sigmoid((1 - times) / self.temperature).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Counts (B, k, Z) -> (B, k) nats."""
        return Poisson().log_prob(self.log_rate.unsqueeze(1).expand_as(z), z).sum(-1)

    def kl(self) -> Tensor:
        """(B, Z) nats: KL(q || prior) of each latent."""
        return self.mean * (self.log_rate - math.log(self.prior_rate)) - self.mean + self.prior_rate


def _at_least_one(latents: int) -> int:
    if not isinstance(latents, int) or latents < 1:
        raise ValueError(f"expected a number of latents of at least 1, got {latents!r}")
    return latents
