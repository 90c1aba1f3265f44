"""An arithmetic coder: a sequence of choices becomes one number in [0, 1), in almost exactly -log2 p bits.

Each choice narrows an interval to the part that its probability has in it; at the end the interval is as wide as the
whole sequence is probable, and the shortest binary fraction whose continuations all lie inside is sent. Python's whole
numbers have no largest one, so there is no carry to propagate and nothing overflows.

Source: Witten, Neal, Cleary (1987), "Arithmetic coding for data compression", Communications of the ACM 30(6).
"""

import torch
from torch import Tensor

PRECISION = 32  # probabilities are multiples of 2^-32
_WORD = 32  # bits that the interval is widened by at a time
_NARROW = 1 << 64  # below this width it is widened, so that rounding costs less than 2^-32 of it


def cumulative_counts(log_probs: Tensor) -> Tensor:
    """Probabilities as whole numbers that sum to 2^32, at least 1 for each level, and summed up from the left.

    Args:
        log_probs: (..., levels) in nats; normalized here in double precision, as float32 sums to 1 only nearly.

    Returns:
        LongTensor (..., levels + 1) from 0 to 2^32; level k owns [counts[k], counts[k + 1]).

    Raises:
        ValueError: for NaN, the mark of a model that diverged: no interval could be cut by it.

    Example:
        >>> (cumulative_counts(torch.tensor([0.25, 0.75]).log()) / 2**32).tolist()
        [0.0, 0.25, 1.0]
    """
    p = log_probs.double().softmax(-1)
    if not torch.isfinite(p).all():
        raise ValueError("expected finite log-probabilities, got NaN: the model diverged; train it again")
    levels = p.shape[-1]
    counts = 1 + (p * (2**PRECISION - levels)).floor().long()
    missing = 2**PRECISION - counts.sum(-1, keepdim=True)
    counts.scatter_add_(-1, p.argmax(-1, keepdim=True), missing)  # what rounding left over changes the largest least
    return torch.nn.functional.pad(counts.cumsum(-1), (1, 0))


class Encoder:
    """Narrows the interval, choice by choice.

    Example:
        >>> encoder = Encoder()
        >>> for _ in range(100):
        ...     encoder.encode(0, 3 << 30)  # a choice of probability 3/4, a hundred times: 41.5 bits
        >>> encoder.finish()[1]
        42
    """

    def __init__(self):
        self.low, self.width, self.bits = 0, 1 << 96, 96  # the interval is [low, low + width) / 2^bits

    def encode(self, start: int, end: int) -> None:
        """A choice that owns [start, end) of 2^32."""
        unit = self.width >> PRECISION
        self.low += unit * start
        self.width = unit * (end - start)
        while self.width < _NARROW:
            self.low, self.width, self.bits = self.low << _WORD, self.width << _WORD, self.bits + _WORD

    def finish(self) -> tuple[int, int]:
        """(code, length): the shortest binary fraction code / 2^length whose continuations all lie in the interval."""
        drop = self.width.bit_length()  # 2^drop is wider than the interval; try shorter codes first
        while True:
            code = -(-self.low >> drop)  # rounded up
            if (code + 1) << drop <= self.low + self.width:
                return code, max(self.bits - drop, 0)
            drop -= 1


class Decoder:
    """Follows the encoder: says where in the interval the code lies, and narrows it in the same way.

    Args:
        code: from `Encoder.finish`.
        length: from `Encoder.finish`.
    """

    def __init__(self, code: int, length: int):
        self.code, self.left = code, length
        self.width = 1 << 96
        self.offset = self._next(96)  # of the code from the lower end of the interval

    def _next(self, count: int) -> int:
        """The next bits of the code; zeros after its end."""
        take = min(count, self.left)
        self.left -= take
        bits = (self.code >> self.left) & ((1 << take) - 1)
        return bits << (count - take)

    def target(self) -> int:
        """A number in 0..2^32 - 1: the choice that owns it is the one that was encoded."""
        return min(self.offset // (self.width >> PRECISION), 2**PRECISION - 1)

    def consume(self, start: int, end: int) -> None:
        """Narrow the interval to the choice that owns [start, end) of 2^32."""
        unit = self.width >> PRECISION
        self.offset -= unit * start
        self.width = unit * (end - start)
        while self.width < _NARROW:
            self.offset, self.width = (self.offset << _WORD) | self._next(_WORD), self.width << _WORD
