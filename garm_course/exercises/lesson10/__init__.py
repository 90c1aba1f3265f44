"""The exercises of lesson 10, one file each: a divergence, a draw with a gradient, the bound, and an exact marginal."""

from garm_course.exercises.lesson10 import elbo, kl_diag_gaussian, ppca_log_marginal, reparameterize

EXERCISES = [kl_diag_gaussian.EXERCISE, reparameterize.EXERCISE, elbo.EXERCISE, ppca_log_marginal.EXERCISE]
