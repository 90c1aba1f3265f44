"""Training: one call that fits a model, in any number of processes, and goes on after a crash."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "loop": "NonFiniteLossError Plan",
        "likelihood": "History fit negative_log_likelihood",
        "games": "AdversarialHistory ScaledBatches fit_game",
        "checkpoints": "Checkpoints",
        "processes": "Processes",
        "tracking": "Lines Several Stop Tracker open_tracker",
    },
)
