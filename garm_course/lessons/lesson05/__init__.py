"""The exercises of lesson 05, one file each: the mass of a bin, means that follow each other, and a draw."""

from garm_course.lessons.lesson05 import bin_log_masses, channel_means, logistic_levels

EXERCISES = [bin_log_masses.EXERCISE, channel_means.EXERCISE, logistic_levels.EXERCISE]
