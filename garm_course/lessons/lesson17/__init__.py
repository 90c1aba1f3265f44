"""The exercises of lesson 17, one file each, and its pictures: samples that obey or not, and pixels between colors."""

from garm_course.lessons.lesson17 import adaptive_weight, guided_sample, prior_nll, vqgan_backward
from garm_course.lessons.lesson17.obedience import caption_box, gray_pixels, guided, sheet, strips

EXERCISES = [adaptive_weight.EXERCISE, vqgan_backward.EXERCISE, prior_nll.EXERCISE, guided_sample.EXERCISE]

__all__ = ["EXERCISES", "caption_box", "gray_pixels", "guided", "sheet", "strips"]
