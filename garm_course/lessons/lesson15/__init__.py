"""The exercises of lesson 15: a likelihood of features, which loss moves which player, and how to see to it."""

from garm_course.lessons.lesson15 import feature_nll, route, vaegan_losses
from garm_course.lessons.lesson15.comparisons import beside, beside_figure

EXERCISES = [feature_nll.EXERCISE, vaegan_losses.EXERCISE, route.EXERCISE]

__all__ = ["EXERCISES", "beside", "beside_figure"]
