"""Recipes that train the models of the course, and what they reached."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "catalog": "RECIPES Recipe evaluate_run find read_result recorded recorded_names recorded_on train",
        "studies": "recorded_study study_names",
    },
)
