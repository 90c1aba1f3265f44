"""The exercises of lesson 16: two losses without pairs, what a patch critic sees, and the pool of earlier fakes."""

from garm_course.lessons.lesson16 import cycle_loss, identity_loss, image_pool, patchgan_rf
from garm_course.lessons.lesson16.translations import patch_fields, patch_fields_figure, round_trips

EXERCISES = [cycle_loss.EXERCISE, identity_loss.EXERCISE, patchgan_rf.EXERCISE, image_pool.EXERCISE]

__all__ = ["EXERCISES", "patch_fields", "patch_fields_figure", "round_trips"]
