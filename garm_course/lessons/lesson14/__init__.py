"""The exercises of lesson 14: a distance with a slope, two ways to keep a critic flat, and a loss with a margin."""

from garm_course.lessons.lesson14 import gradient_penalty, hinge_d_loss, spectral_norm, wasserstein1

EXERCISES = [
    wasserstein1.EXERCISE,
    gradient_penalty.EXERCISE,
    spectral_norm.EXERCISE,
    hinge_d_loss.EXERCISE,
]
