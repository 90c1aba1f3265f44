"""The exercises of lesson 02, one file each: masks of a MADE, the likelihood of a NADE, ancestral sampling."""

from garm_course.exercises.lesson02 import made_masks, nade_log_prob, sample_ar

EXERCISES = [nade_log_prob.EXERCISE, made_masks.EXERCISE, sample_ar.EXERCISE]  # in the order of the lesson
