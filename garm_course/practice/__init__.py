"""Practice: what a model needs before it leaves the notebook."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "completion": "Completion complete",
        "compress": "distillation_loss from_bytes half prune quantize to_bytes used_weights",
        "ensemble": "Ensemble conditionals",
        "export": "Exported eight_bits graphs_of",
        "page": "page_html twin write_page",
        "search": "METHODS Table expected_minimum halving replay",
        "served": "write_served",
        "tuning": "Pruner Setting parse_space tune",
    },
)
