"""The exercises of lesson 03: the shift of the input, the likelihood of a sequence, diagonals, a repair."""

from garm_course.lessons.lesson03 import diagonal_lstm, repair_article, sequence_nll, shift_right, skew
from garm_course.lessons.lesson03.scans import scan_orders

EXERCISES = [
    shift_right.EXERCISE, sequence_nll.EXERCISE, skew.EXERCISE, diagonal_lstm.EXERCISE, repair_article.EXERCISE,
]  # fmt: skip

__all__ = ["EXERCISES", "scan_orders"]
