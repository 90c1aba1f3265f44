"""The exercises of lesson 03: the shift of the input, skewed images, the likelihood of a sequence, a repair."""

from garm_course.exercises.lesson03 import repair_article, sequence_nll, shift_right, skew

EXERCISES = [shift_right.EXERCISE, skew.EXERCISE, sequence_nll.EXERCISE, repair_article.EXERCISE]
