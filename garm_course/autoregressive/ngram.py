"""The n-gram: tables of how often each value followed the values before it, smoothed after Witten and Bell.

A table over four values before is empty nearly everywhere. So its counts are mixed with the prediction from one value
fewer, all the more the fewer of them there are, and the more different values have already followed.

Source: Witten, Bell (1991), "The zero-frequency problem: Estimating the probabilities of novel events in adaptive text
compression", IEEE Transactions on Information Theory 37(4), method C.
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from garm_course.autoregressive.sequences import SequenceModel
from garm_course.inputs import check_settings
from garm_course.models import configured


class NGram(SequenceModel):
    """p(x_t | the `order` values before it), from counts. It is counted, not trained: see `fit_counts`.

    With c(h x) the number of times that x followed h, N of values that followed h, and T of different ones among them,

        p(x | h) = (c(h x) + T p(x | h without its first value)) / (N + T),

    down to p(x) without any value before, below which all values are equally likely. A history that was never seen
    counts as the shorter one, and so does one that reaches before the beginning.

    Args:
        shape: (T,), the length that is drawn unless another is asked for.
        levels: number of values.
        n_classes: 0, or the number of classes, each with tables of its own.
        order: how many values before it reads: 0 for frequencies alone (unigram), 1 for a bigram, and so on.

    Attributes:
        keys: LongTensor (K,), every n-gram that was seen, of 1 to `order` + 1 values, as one number, ascending.
        counts: LongTensor (K,), how often.

    Raises:
        ValueError: for an order below 0, or one whose n-grams are too many to number.

    Example:
        >>> model = NGram((4,), 2, order=1).fit_counts(torch.tensor([0, 1, 0, 1, 0]))
        >>> model.log_prob(torch.tensor([[0, 1, 0]])).exp()  # (3 + 2/2)/(5 + 2), (2 + 3/7)/(2 + 1), (2 + 4/7)/(2 + 1)
        tensor([0.3965], dtype=torch.float64)
    """

    name = "ngram"
    looks_ahead = 32

    @configured
    def __init__(self, shape, levels, n_classes=0, *, order=4):
        super().__init__(shape, levels, n_classes)
        check_settings(0, whole=True, order=order)
        self.reach = order
        # n-grams of k + 1 values are numbered from firsts[k] on, class by class
        sizes = [max(n_classes, 1) * levels ** (k + 1) for k in range(order + 1)]
        if sum(sizes) >= 2**62:
            raise ValueError(
                f"order={order} gives {levels}^{order + 1} n-grams, too many to number; choose a smaller order"
            )
        self.firsts = [sum(sizes[:k]) for k in range(order + 1)]
        self.register_buffer("keys", torch.zeros(0, dtype=torch.long))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.long))

    def fit_counts(self, tokens: Tensor, y: Tensor | None = None) -> "NGram":
        """Count all n-grams of a text, or of several; what was counted before is forgotten.

        Args:
            tokens: LongTensor (T,) or (B, T) of levels; an n-gram lies within one row.
            y: LongTensor (B,) of classes, for a class-conditional model.

        Returns:
            The model.

        Raises:
            TypeError, ValueError: for tokens or classes that do not fit.
        """
        tokens = tokens[None] if isinstance(tokens, Tensor) and tokens.ndim == 1 else tokens
        self.check_examples(tokens)
        self.check_classes(y, len(tokens))
        histories = self._histories(tokens, y)  # (order + 1, B, T)
        keys = torch.cat([(histories[k] * self.levels + tokens)[:, k:].flatten() + self.firsts[k]
                          for k in range(len(histories))])  # fmt: skip
        self.keys, self.counts = (t.to(self.keys.device) for t in keys.unique(return_counts=True))
        return self

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`; in float64."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        seen = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        return self._params(self._histories(x, y).flatten(1), seen.flatten()).unflatten(0, x.shape)

    def _histories(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The last k values before each position as one number, LongTensor (order + 1, B, T) for k = 0, 1, ..."""
        h = x.new_zeros(len(self.firsts), *x.shape)
        for back in range(1, min(len(self.firsts), x.shape[1])):
            h[back:, :, back:] += x[:, :-back] * self.levels ** (back - 1)
        return h if y is None else h + y[:, None] * self._powers(x)[:, None, None]

    def _powers(self, like: Tensor) -> Tensor:
        return torch.tensor([self.levels**k for k in range(len(self.firsts))], device=like.device)

    def _params(self, histories: Tensor, seen: Tensor) -> Tensor:
        """Parameters of the head.

        Args:
            histories: LongTensor (order + 1, M), see `_histories`.
            seen: LongTensor (M,), how many values stand before.

        Returns:
            (M, n_params), or (M,) where that is 1.
        """
        first = torch.tensor(self.firsts, device=seen.device)[:, None] + histories * self.levels
        begin, end = torch.searchsorted(self.keys, torch.stack([first, first + self.levels]))  # (order + 1, M)
        far = torch.arange(len(self.firsts), device=seen.device)[:, None] > seen
        end = torch.where(far, begin, end)  # a history that reaches before the beginning was never seen
        distinct = end - begin
        counts = torch.zeros(*first.shape, self.levels, dtype=torch.float64, device=seen.device)
        if len(self.keys):
            entry = begin[..., None] + torch.arange(self.levels, device=seen.device)  # the n-grams of each history
            real = entry < end[..., None]
            entry = entry.clamp(max=len(self.keys) - 1)
            value = (self.keys[entry] - first[..., None]).where(real, 0)
            counts.scatter_add_(-1, value, self.counts[entry].where(real, 0).double())
        weight = distinct.clamp(min=1).double()
        total = counts.sum(-1) + weight
        p = torch.full_like(counts[0], 1 / self.levels)
        for k in range(len(counts)):
            p = (counts[k] + weight[k, :, None] * p) / total[k, :, None]
        p = p.log()
        return p if self.head.n_params > 1 else p[:, 1] - p[:, 0]

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        for name in ("keys", "counts"):  # as long as what was counted
            if (stored := state_dict.get(f"{prefix}{name}")) is not None:
                setattr(self, name, torch.empty_like(stored, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    # While a sequence is drawn

    def start(self, n: int, y: Tensor | None = None, *, length: int | None = None) -> SimpleNamespace:
        """No value yet, of n sequences of classes y; see `step`."""
        self.check_classes(y, n)
        (length,) = self.shape_of(length)
        return SimpleNamespace(values=torch.zeros(n, length, dtype=torch.long, device=self.keys.device), y=y)

    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: a look into the tables."""
        return self.look_ahead(state, i, x_prev, state.values.new_zeros(0, len(state.values)))[0]

    def look_ahead(self, state: SimpleNamespace, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """See `Autoregressive.look_ahead`."""
        m, low = len(guesses), max(i - self.reach, 0)
        if m > self.looks_ahead:
            raise ValueError(f"expected at most {self.looks_ahead} guesses, got {m}")
        if i:
            state.values[:, i - 1] = x_prev
        state.values[:, i : i + m] = guesses.T
        histories = self._histories(state.values[:, low : i + m + 1], state.y)[:, :, i - low :]  # (order + 1, n, m + 1)
        seen = torch.arange(i, i + m + 1, device=state.values.device).expand(len(state.values), -1)
        return self._params(histories.flatten(1), seen.flatten()).unflatten(0, seen.shape).transpose(0, 1)
