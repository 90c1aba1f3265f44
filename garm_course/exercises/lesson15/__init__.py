"""The exercises of lesson 15: a likelihood of features, which loss moves which player, and how to see to it."""

from garm_course.exercises.lesson15 import feature_nll, route, vaegan_losses

EXERCISES = [feature_nll.EXERCISE, vaegan_losses.EXERCISE, route.EXERCISE]
