"""The exercises of lesson 07, one file each, from one attention to the layer that the live model trains through."""

from garm_course.lessons.lesson07 import causal_attention, next_token_loss, rotary, self_attention

EXERCISES = [next_token_loss.EXERCISE, causal_attention.EXERCISE, rotary.EXERCISE, self_attention.EXERCISE]

__all__ = ["EXERCISES"]
