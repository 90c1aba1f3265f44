"""Practice: what a model needs before it leaves the notebook."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "compress": "distillation_loss from_bytes half prune quantize to_bytes used_weights",
        "ensemble": "Ensemble conditionals",
        "export": "Exported eight_bits export graphs_of",
        "search": "METHODS Table expected_minimum halving replay",
        "tuning": "Pruner Setting parse_space tune",
    },
)
