"""The exercises of lesson 21: modes, paired intervals, fronts, a stranger's score; its players and pictures."""

from garm_course.lessons.lesson21 import blind_score, mode_coverage, paired_bootstrap_ci, pareto_front, players
from garm_course.lessons.lesson21.comparison import show_intervals, show_points
from garm_course.lessons.lesson21.mass import show_mass, temperature
from garm_course.lessons.lesson21.records import NAMES, rows
from garm_course.lessons.lesson21.who_wins import who_wins

EXERCISES = [mode_coverage.EXERCISE, paired_bootstrap_ci.EXERCISE, pareto_front.EXERCISE, blind_score.EXERCISE]

__all__ = [
    "EXERCISES",
    "NAMES",
    "players",
    "rows",
    "show_intervals",
    "show_mass",
    "show_points",
    "temperature",
    "who_wins",
]
