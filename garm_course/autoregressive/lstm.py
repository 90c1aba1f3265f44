"""An LSTM over tokens: all that it knows of the past is a state of fixed size.

Source: Hochreiter, Schmidhuber (1997), "Long short-term memory", Neural Computation 9(8); as a language model Graves
(2013), "Generating Sequences With Recurrent Neural Networks", arXiv 1308.0850.
"""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.autoregressive.sequences import SequenceModel
from garm_course.inputs import check_settings
from garm_course.models import configured


class TokenLSTM(SequenceModel):
    """One layer of LSTM over embedded tokens; it reads sequences of any length.

    Args:
        shape: (T,), the length that it is trained on.
        levels: number of tokens.
        n_classes: 0, or the number of classes of a class-conditional model.
        hidden: size of the state, and of the embeddings.
        dropout: probability of dropping a feature of the embeddings and of what is read out.

    Raises:
        ValueError: for hidden < 1.

    Source:
        Graves (2013), arXiv 1308.0850, with one layer.

    Example:
        >>> TokenLSTM((64,), 96, hidden=16)(torch.zeros(2, 10, dtype=torch.long)).shape
        torch.Size([2, 10, 96])
    """

    name = "token_lstm"
    looks_ahead = 32  # its steps follow each other, so that it gains nothing; but it can go back, as a draft must

    @configured
    def __init__(self, shape, levels, n_classes=0, *, hidden=256, dropout=0.0):
        super().__init__(shape, levels, n_classes)
        check_settings(1, whole=True, hidden=hidden)
        self.embed = nn.Embedding(levels + 1, hidden)
        self.classes = nn.Embedding(n_classes, hidden) if n_classes else None
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, self.head.n_params)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: the LSTM reads all values, each of them one step late."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        e = self.embed(self.shifted(x))
        e = e if y is None else e + self.classes(y).unsqueeze(1)
        h, _ = self.lstm(self.dropout(e))
        return self.head.of(self.out(self.dropout(h)))

    # While a sequence is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None, *, length: int | None = None) -> SimpleNamespace:
        """The zero state of n sequences of classes y; see `step`."""
        self.check_classes(y, n)
        self.shape_of(length)
        lstm = self.lstm
        zeros = self.embed.weight.new_zeros(self.looks_ahead + 1, n, lstm.hidden_size)
        return SimpleNamespace(
            # what each token, and the class, add to the gates
            tokens=self.embed.weight @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0,
            classes=None if y is None else self.classes(y) @ lstm.weight_ih_l0.T,
            recurrent=lstm.weight_hh_l0.T.contiguous(),
            h=zeros,  # the state after input t lies at t modulo their number: the last ones, to which it may go back
            c=zeros.clone(),
        )

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: one step of the LSTM."""
        slots, n, hidden = state.h.shape
        with one_thread(4 * n * hidden):
            gates = state.tokens[x_prev] if i else state.tokens[self.levels :].expand(n, -1)
            if state.classes is not None:
                gates = gates + state.classes
            inward, forget, content, outward = torch.addmm(gates, state.h[(i - 1) % slots], state.recurrent).chunk(4, 1)
            c = forget.sigmoid() * state.c[(i - 1) % slots] + inward.sigmoid() * content.tanh()
            h = outward.sigmoid() * c.tanh()
            state.c[i % slots], state.h[i % slots] = c, h
            return self.head.of(self.out(h))

    def look_ahead(self, state: SimpleNamespace, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """See `Autoregressive.look_ahead`; a step after the other."""
        if len(guesses) > self.looks_ahead:
            raise ValueError(f"expected at most {self.looks_ahead} guesses, got {len(guesses)}")
        return torch.stack([self.step(state, i + k, x) for k, x in enumerate([x_prev, *guesses])])
