"""The exercises of lesson 03, one file each: the shift of the input, skewed images, the likelihood of a sequence."""

from garm_course.exercises.lesson03 import sequence_nll, shift_right, skew

EXERCISES = [shift_right.EXERCISE, skew.EXERCISE, sequence_nll.EXERCISE]
