"""The exercises of lesson 03: the shift of the input, the likelihood of a sequence, skewed images, a repair."""

from garm_course.lessons.lesson03 import repair_article, sequence_nll, shift_right, skew
from garm_course.lessons.lesson03.scans import scan_orders

EXERCISES = [shift_right.EXERCISE, sequence_nll.EXERCISE, skew.EXERCISE, repair_article.EXERCISE]

__all__ = ["EXERCISES", "scan_orders"]
