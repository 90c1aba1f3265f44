"""The exercises of lesson 04, one file each: masks, the gate, the shift between two stacks, masks of colors."""

from garm_course.lessons.lesson04 import conv_mask, down_shift, gated_activation, rgb_center_mask

EXERCISES = [conv_mask.EXERCISE, gated_activation.EXERCISE, down_shift.EXERCISE, rgb_center_mask.EXERCISE]
