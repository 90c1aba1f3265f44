"""The exercises of lesson 18, two distances, four shares of balls and a comparison that is fair, and its pictures."""

from garm_course.lessons.lesson18 import fid_from_stats, kid, leaderboard, prdc
from garm_course.lessons.lesson18.balls import outlier
from garm_course.lessons.lesson18.forced_choice import exact_interval, forced_choice
from garm_course.lessons.lesson18.named_points import named_points
from garm_course.lessons.lesson18.scoreboard import scoreboard
from garm_course.lessons.lesson18.standings import standings

EXERCISES = [fid_from_stats.EXERCISE, kid.EXERCISE, prdc.EXERCISE, leaderboard.EXERCISE]

__all__ = ["EXERCISES", "exact_interval", "forced_choice", "named_points", "outlier", "scoreboard", "standings"]
