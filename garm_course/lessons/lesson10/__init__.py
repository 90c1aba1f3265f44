"""The exercises of lesson 10, one file each: the exact likelihood, the KL term, a draw with a gradient, the bound."""

from garm_course.lessons.lesson10 import elbo, kl_diag_gaussian, ppca_log_marginal, reparameterize
from garm_course.lessons.lesson10.latents import (
    latent_cloud,
    latent_cloud_figure,
    latent_map,
    manifold,
    manifold_figure,
)

EXERCISES = [ppca_log_marginal.EXERCISE, kl_diag_gaussian.EXERCISE, reparameterize.EXERCISE, elbo.EXERCISE]

__all__ = ["EXERCISES", "latent_cloud", "latent_cloud_figure", "latent_map", "manifold", "manifold_figure"]
