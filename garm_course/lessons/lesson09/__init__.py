"""The exercises of lesson 09, one file each: a mask over frames, frames fed back, flicker, and a clip that is drawn."""

from garm_course.lessons.lesson09 import flicker, mask3d, rollout, sample_clip
from garm_course.lessons.lesson09.continuing import continuing
from garm_course.lessons.lesson09.surprises import surprises

EXERCISES = [flicker.EXERCISE, mask3d.EXERCISE, rollout.EXERCISE, sample_clip.EXERCISE]

__all__ = ["EXERCISES", "continuing", "surprises"]
