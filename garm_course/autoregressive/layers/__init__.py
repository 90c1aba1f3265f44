"""Layers that see nothing but the past, each with the cache that repeats it one value at a time."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "attention": "CausalAttention KeyValueCache rotary",
        "causal_conv": "CausalConv2d ConvCache conv_mask mask3d rgb_center_mask",
        "causal_conv1d": "CausalConv1d RingBuffer conv_step",
        "shifted_conv": "PixelCache RowCache ShiftedConv2d",
    },
)
