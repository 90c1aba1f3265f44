"""The exercises of lesson 20: a search that stops early, a checkpoint, rows in eight bits, completion; its pictures."""

from garm_course.lessons.lesson20 import checkpoint, complete, halve, quantize_rows
from garm_course.lessons.lesson20.bits import bits, rounded
from garm_course.lessons.lesson20.costs import Costs
from garm_course.lessons.lesson20.rungs import show_rungs

EXERCISES = [halve.EXERCISE, checkpoint.EXERCISE, quantize_rows.EXERCISE, complete.EXERCISE]

__all__ = ["EXERCISES", "Costs", "bits", "rounded", "show_rungs"]
