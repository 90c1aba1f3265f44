"""Lesson 07: four exercises, from one attention to the layer that the live model trains through, and its pictures."""

from garm_course.lessons.lesson07 import causal_attention, next_token_loss, rotary, self_attention
from garm_course.lessons.lesson07.maps import attention_maps
from garm_course.lessons.lesson07.reading import next_characters
from garm_course.lessons.lesson07.sizes import file_sizes
from garm_course.lessons.lesson07.temperatures import temperatures
from garm_course.lessons.lesson07.wheel import rotary_wheel

EXERCISES = [next_token_loss.EXERCISE, causal_attention.EXERCISE, rotary.EXERCISE, self_attention.EXERCISE]

__all__ = ["EXERCISES", "attention_maps", "file_sizes", "next_characters", "rotary_wheel", "temperatures"]
