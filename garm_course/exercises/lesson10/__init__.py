"""The exercises of lesson 10, one file each: the exact likelihood, the KL term, a draw with a gradient, the bound."""

from garm_course.exercises.lesson10 import elbo, kl_diag_gaussian, ppca_log_marginal, reparameterize

EXERCISES = [ppca_log_marginal.EXERCISE, kl_diag_gaussian.EXERCISE, reparameterize.EXERCISE, elbo.EXERCISE]
