"""Probabilistic PCA: the latent-variable model in which everything is known, the oracle for what a VAE computes.

z ~ N(0, I), x | z ~ N(W z + b, sigma2 I). Then x ~ N(b, W W^T + sigma2 I), the posterior is a Gaussian, and the
maximum-likelihood solution is an eigenvalue problem.

Source: M. E. Tipping, C. M. Bishop (1999), "Probabilistic Principal Component Analysis", Journal of the Royal
Statistical Society B 61.
"""

import math

import torch
from torch import Tensor


def ppca_log_marginal(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    """log p(x) = log N(x; b, W W^T + sigma2 I), exactly; equation (10.1).

    Args:
        W: (D, Z) loadings.
        b: (D,) mean.
        sigma2: variance of the noise, above 0.
        x: (B, D).

    Returns:
        (B,) nats.

    Raises:
        ValueError: for shapes that do not fit, or a variance that is not positive.

    Example:
        >>> ppca_log_marginal(torch.zeros(2, 1), torch.zeros(2), 1.0, torch.zeros(1, 2))  # -ln 2 pi
        tensor([-1.8379])
    """
    if W.ndim != 2 or b.shape != W.shape[:1] or x.ndim != 2 or x.shape[1] != len(b):
        raise ValueError(
            f"expected W (D, Z), b (D,) and x (B, D), got {tuple(W.shape)}, {tuple(b.shape)} and {tuple(x.shape)}"
        )
    if not sigma2 > 0:
        raise ValueError(f"expected a variance sigma2 > 0, got {sigma2}")
    covariance = W @ W.T + sigma2 * torch.eye(len(b), dtype=W.dtype, device=W.device)
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, (x - b).T, upper=False)  # (D, B), covariance I
    return -0.5 * (white**2).sum(0) - factor.diagonal().log().sum() - 0.5 * len(b) * math.log(2 * math.pi)


class PPCA:
    """A probabilistic PCA with its exact posterior, ELBO and maximum-likelihood fit.

    Args:
        W: (D, Z).
        b: (D,).
        sigma2: variance of the noise, above 0.
    """

    def __init__(self, W: Tensor, b: Tensor, sigma2: float):
        self.W, self.b, self.sigma2 = W, b, float(sigma2)
        ppca_log_marginal(W, b, self.sigma2, b[None])  # refuses what does not fit

    @classmethod
    def fit(cls, x: Tensor, latents: int) -> "PPCA":
        """The maximum-likelihood solution: the leading eigenvectors, each of length sqrt(max(eigenvalue - sigma2, 0)).

        sigma2 is the mean of the eigenvalues that are left over.

        Args:
            x: (N, D) data.
            latents: Z, below D.
        """
        if not 1 <= latents < x.shape[1]:
            raise ValueError(f"expected 1 <= latents < {x.shape[1]}, got {latents}")
        b = x.mean(0)
        values, vectors = torch.linalg.eigh((x - b).T @ (x - b) / len(x))  # ascending
        sigma2 = values[:-latents].mean()
        W = vectors[:, -latents:].flip(1) * (values[-latents:].flip(0) - sigma2).clamp(min=0).sqrt()
        return cls(W, b, sigma2.item())

    def log_prob(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,) nats."""
        return ppca_log_marginal(self.W, self.b, self.sigma2, x)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """p(z | x) = N(mean, covariance): mean (B, Z), and the covariance (Z, Z) that all x share."""
        precision = torch.eye(self.W.shape[1], dtype=self.W.dtype) + self.W.T @ self.W / self.sigma2
        covariance = torch.linalg.inv(precision)
        return (x - self.b) @ self.W @ covariance / self.sigma2, covariance

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) of x (..., D) at z (..., Z): (...) nats."""
        square = ((x - z @ self.W.T - self.b) ** 2).sum(-1)
        return -0.5 * (square / self.sigma2 + len(self.b) * math.log(2 * math.pi * self.sigma2))

    def expected_log_likelihood(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """E_q log p(x | z) for q = N(mu, diag e^logvar), in closed form.

        Args:
            x: (B, D).
            mu: (B, Z).
            logvar: (B, Z).

        Returns:
            (B,) nats: the value at the mean, less tr(W^T W diag e^logvar) / (2 sigma2).
        """
        spread = (torch.exp(logvar) * (self.W**2).sum(0)).sum(-1)
        return self.log_likelihood(x, mu) - 0.5 * spread / self.sigma2
