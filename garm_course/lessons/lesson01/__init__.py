"""The exercises of lesson 01, one file each: a divergence, two likelihoods, and the unit in which they are compared."""

from garm_course.lessons.lesson01 import bernoulli_nll, kl_categorical, nll_to_bits_per_dim, poisson_nll

EXERCISES = [kl_categorical.EXERCISE, bernoulli_nll.EXERCISE, nll_to_bits_per_dim.EXERCISE, poisson_nll.EXERCISE]
