"""Exact sampling, one loop for all models, and what else walks a model value by value: compression, speculation."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "loop": "position_uniforms sample",
        "constraints": "Automaton Constrained",
        "compression": "Compressed compress decompress",
        "arithmetic_coding": "Decoder Encoder",
    },
)
