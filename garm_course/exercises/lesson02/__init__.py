"""The exercises of lesson 02, one file each: masks of a MADE, the likelihood of a NADE, ancestral sampling."""

from garm_course.exercises.lesson02 import made_masks, nade_log_prob, sample_ar

EXERCISES = [made_masks.EXERCISE, nade_log_prob.EXERCISE, sample_ar.EXERCISE]
