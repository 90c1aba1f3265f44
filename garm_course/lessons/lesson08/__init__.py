"""The exercises of lesson 08, one file each, and its pictures: levels, a reach, a stack that plays."""

from garm_course.lessons.lesson08 import causal_conv1d, mu_law_encode, receptive_field, residual_stack
from garm_course.lessons.lesson08.growing import growing
from garm_course.lessons.lesson08.next_sample import next_sample
from garm_course.lessons.lesson08.physicist import physicist
from garm_course.lessons.lesson08.reach import reach_tree

EXERCISES = [mu_law_encode.EXERCISE, receptive_field.EXERCISE, causal_conv1d.EXERCISE, residual_stack.EXERCISE]

__all__ = ["EXERCISES", "growing", "next_sample", "physicist", "reach_tree"]
