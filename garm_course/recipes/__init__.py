"""Recipes that train the models of the course, and what they reached."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "catalog": "RECIPES find",
        "kinds": "KINDS Kind kind_of",
        "recipe": "Recipe",
        "records": "recorded recorded_names recorded_on",
        "runs": "InterruptedRun evaluate_run read_result train",
        "studies": "record recorded_study study_names",
    },
)
