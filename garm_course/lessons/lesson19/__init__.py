"""What lesson 19 owns: four exercises, one file each, and its pictures: maps, and two widgets."""

from garm_course.lessons.lesson19 import dp_sgd_grad, exposure, integrated_gradients, membership_auc
from garm_course.lessons.lesson19.maps import maps
from garm_course.lessons.lesson19.thresholds import thresholds
from garm_course.lessons.lesson19.watermarks import watermarks

EXERCISES = [exposure.EXERCISE, membership_auc.EXERCISE, dp_sgd_grad.EXERCISE, integrated_gradients.EXERCISE]

__all__ = ["EXERCISES", "maps", "thresholds", "watermarks"]
