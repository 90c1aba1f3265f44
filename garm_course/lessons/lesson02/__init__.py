"""The exercises of lesson 02, one file each: masks of a MADE, the likelihood of a NADE, ancestral sampling."""

from garm_course.lessons.lesson02 import made_masks, nade_log_prob, sample_ar
from garm_course.lessons.lesson02.connections import made_paths

EXERCISES = [nade_log_prob.EXERCISE, made_masks.EXERCISE, sample_ar.EXERCISE]  # in the order of the lesson

__all__ = ["EXERCISES", "made_paths"]
