"""Lesson 00: a first exercise, and the map of the course."""

from garm_course.lessons.lesson00 import nats_to_bits
from garm_course.lessons.lesson00.overview import families, families_figure

EXERCISES = nats_to_bits.EXERCISES

__all__ = ["EXERCISES", "families", "families_figure"]
