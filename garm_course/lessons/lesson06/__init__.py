"""The exercises of lesson 06, one file each: a step of a convolution, a tail that is cut off, a draft corrected."""

from garm_course.lessons.lesson06 import conv_step, speculative_output_dist, top_p_filter
from garm_course.lessons.lesson06.filtering import filtered_samples
from garm_course.lessons.lesson06.rings import ring_buffers

EXERCISES = [conv_step.EXERCISE, top_p_filter.EXERCISE, speculative_output_dist.EXERCISE]

__all__ = ["EXERCISES", "filtered_samples", "ring_buffers"]
