"""The exercises of lesson 11, one file each: the importance-weighted bound, active units, free bits."""

from garm_course.lessons.lesson11 import active_units, free_bits, iwae_bound
from garm_course.lessons.lesson11.rate_distortion import Sweep, beta_sweep

EXERCISES = [iwae_bound.EXERCISE, active_units.EXERCISE, free_bits.EXERCISE]

__all__ = ["EXERCISES", "Sweep", "beta_sweep"]
