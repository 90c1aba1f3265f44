"""The exercises of lesson 01, one file each: a divergence, three likelihoods, and the unit that compares them."""

from garm_course.lessons.lesson01 import (
    bernoulli_nll,
    kl_categorical,
    mixture_log_prob,
    nll_to_bits_per_dim,
    poisson_nll,
)

EXERCISES = [
    kl_categorical.EXERCISE,
    bernoulli_nll.EXERCISE,
    nll_to_bits_per_dim.EXERCISE,
    poisson_nll.EXERCISE,
    mixture_log_prob.EXERCISE,
]
