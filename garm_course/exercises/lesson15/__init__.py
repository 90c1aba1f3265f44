"""The exercises of lesson 15: a likelihood of features, and which loss moves which player."""

from garm_course.exercises.lesson15 import feature_nll, vaegan_losses

EXERCISES = [feature_nll.EXERCISE, vaegan_losses.EXERCISE]
