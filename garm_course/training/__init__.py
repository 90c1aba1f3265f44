"""Training: one call that fits a model, in any number of processes, and goes on after a crash."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "likelihood": "History NonFiniteLossError fit negative_log_likelihood",
        "games": "AdversarialHistory ScaledBatches fit_adversarial fit_cyclegan fit_vaegan",
        "checkpoints": "Checkpoints",
        "processes": "Processes",
        "tracking": "Tracker",
    },
)
