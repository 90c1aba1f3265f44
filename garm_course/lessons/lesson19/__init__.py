"""The exercises of lesson 19, one file each: exposure, membership, the gradient of DP-SGD, integrated gradients."""

from garm_course.lessons.lesson19 import dp_sgd_grad, exposure, integrated_gradients, membership_auc

EXERCISES = [exposure.EXERCISE, membership_auc.EXERCISE, dp_sgd_grad.EXERCISE, integrated_gradients.EXERCISE]

__all__ = ["EXERCISES"]
