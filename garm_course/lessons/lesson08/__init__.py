"""The exercises of lesson 08, one file each, and its pictures: sound in levels, a reach, a stack that draws."""

from garm_course.lessons.lesson08 import causal_conv1d, mu_law_encode, receptive_field, residual_stack

EXERCISES = [mu_law_encode.EXERCISE, receptive_field.EXERCISE, causal_conv1d.EXERCISE, residual_stack.EXERCISE]

__all__ = ["EXERCISES"]
