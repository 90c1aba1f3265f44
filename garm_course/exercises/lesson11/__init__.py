"""The exercises of lesson 11, one file each: the importance-weighted bound, active units, free bits."""

from garm_course.exercises.lesson11 import active_units, free_bits, iwae_bound

EXERCISES = [iwae_bound.EXERCISE, active_units.EXERCISE, free_bits.EXERCISE]
