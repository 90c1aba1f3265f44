# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · PixelRNN
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/03_pixelrnn.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F03_pixelrnn.ipynb)
#
# **How does a recurrent network carry everything that it has seen of an image to the pixel that comes next?**
#
# | | |
# |---|---|
# | Time | 90 minutes without the optional exercise; the cells run in under a minute |
# | Before this | [Lesson 01](01_likelihood.ipynb) (nats, bits per dimension) and [lesson 02](02_chain_rule.ipynb) (the chain rule, causality) |
# | Afterwards you can | *derive* the loss of a PixelRNN, *build* a two-dimensional LSTM, *measure* how far gradients travel through time, *diagnose* a missing shift |
# | Papers | van den Oord, Kalchbrenner, Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016, arXiv [1601.06759](https://arxiv.org/abs/1601.06759) · Cho et al., *Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation*, EMNLP 2014, arXiv [1406.1078](https://arxiv.org/abs/1406.1078) |

# %% tags=["setup"]
from importlib.util import find_spec

if find_spec("garm_course") is None:  # on Colab: install the release that this notebook belongs to
    import os
    import subprocess
    import sys

    source = os.environ.get("GARM_SOURCE", "git+https://github.com/garm-course/garm-course@v0.1.0")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

import garm_course

garm_course.seed(0)
print(garm_course.lesson.device_line())

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from garm_course import (
    budget, check, claims, fit, guess, load, load_pretrained, recorded, recorded_on, report, seed, show,
)  # fmt: skip
from garm_course.autoregressive import DiagonalBiLSTM, DiagonalBiLSTMLayer, PixelGRU, RowLSTM, lstm_cell, unskew
from garm_course.evaluation import ClassMarginals, all_examples, baselines, causality, evaluate, paired
from garm_course.lessons import lesson03

# %% [markdown]
# ## 1 The question, in pictures
#
# Cover the lower half of a handwritten digit.
# A network that has read the upper half, one pixel after another, can finish the digit.
# On the left are real digits; on the right, the best model of this lesson continues the tinted halves, twice each.

# %%
train, validation = load("digits", "train"), load("digits", "validation")
finisher = load_pretrained("pixel_gru-digits")
upper = torch.arange(8)[:, None].expand(1, 8, 8) < 4  # True in rows 0 to 3
real = torch.stack([validation.x[validation.y == k][0] for k in (0, 3, 5, 9)])
finished = [finisher.sample(4, given=real, mask=upper, rng=seed(n)) for n in (0, 1)]
show.panels(
    {"validation digits": real, "lower half drawn": finished[0], "drawn again": finished[1]},
    levels=17, rows=2, cols=2, given_mask={"lower half drawn": upper, "drawn again": upper},
    title="The upper half says which strokes have to be continued",
    alt="Four real digits, and two continuations of their upper halves by a GRU: strokes go on where they were cut, "
    "and where the upper half leaves a choice, the two continuations differ.",
)  # fmt: skip

# %% [markdown]
# **Try the naive thing first.** Use no past at all: give the model the class of the digit, and treat the pixels as independent given the class.
# The best model of this kind is a histogram of gray levels for each pixel and class. Draw from it.

# %%
by_class = ClassMarginals(train.x, train.y, 17)
tables = torch.stack([by_class.parts[k % 10].table.exp() for k in range(16)])  # (16, 1, 8, 8, 17) probabilities
independent = torch.multinomial(tables.flatten(0, -2), 1, generator=seed(0)).view(16, 1, 8, 8)
show.panels(
    {"training digits 0 to 9, then 0 to 5": torch.stack([train.x[train.y == k % 10][0] for k in range(16)]),
     "every pixel for itself": independent},
    levels=17, title="Knowing the class is not enough: pixels must know each other",
    alt="Left, 16 real digits. Right, 16 images drawn from per-class histograms: the ink is roughly in place, but "
    "strokes are torn and single dots float beside them.",
)  # fmt: skip
untrained = baselines(train, validation)
for name, likelihood in untrained.items():
    print(f"{name:16s} {likelihood}")
naive_bayes = untrained["class marginals"].nats
report("validation NLL, pixels independent given the class", naive_bayes, claimed=99.9, tolerance=0.1, unit="nats")

# %% [markdown]
# No pixel knows whether its neighbor is dark.
# (As in lesson 01, ± is the standard error over 180 images of a few writers, not over new writers.)
#
# ## 2 The chain rule over pixels and colors
#
# PixelRNN is the chain rule of lesson 02 in raster order: row by row, and from left to right in each row.
# A color pixel has three values, and the chain runs through them as well: red, green, blue.
# For an image of $H \times W$ pixels, numbered from 1,
#
# $$p(x) = \prod_{i=1}^{HW} p(x_i \mid x_{<i}), \qquad p(x_i \mid x_{<i}) = p(x_{i,R} \mid x_{<i})\; p(x_{i,G} \mid x_{i,R}, x_{<i})\; p(x_{i,B} \mid x_{i,R}, x_{i,G}, x_{<i}) \tag{3.1}$$
#
# In any network that respects this order, trained or not, the probabilities of all images sum to 1.
# We check this for three networks with random weights, on all $2^{12}$ images of 2 × 2 pixels with three binary colors.

# %%
colors = all_examples((3, 2, 2), 2)  # (4096, 3, 2, 2)
for cls, size in ((PixelGRU, {"hidden": 9}), (RowLSTM, {"channels": 6}), (DiagonalBiLSTM, {"channels": 6})):
    with torch.no_grad():
        total = cls((3, 2, 2), levels=2, **size).double().log_prob(colors).exp().sum().item()
    report(f"total probability, {cls.__name__}", total, claimed=1.0, tolerance=1e-9)

# %% [markdown]
# ## 3 Teacher forcing: the input is the answer, one step late
#
# Write all values of the image in a row, $x_0, \dots, x_{T-1}$, counted from 0 as in code.
# Here $T = 64$; for color images, $T = 3HW$.
# A recurrent network reads one input $u_t$ per time step.
# Its output $\ell_t$, one logit for each gray level, may depend on everything read so far.
# To predict $x_t$, the network must have read $x_0, \dots, x_{t-1}$ and nothing else, so its input is the image *shifted by one*:
#
# $$u_t = x_{t-1}, \quad u_0 = \text{start} \qquad \Longrightarrow \qquad \frac{\partial \ell_t}{\partial x_s} = 0 \ \text{ for all } s \ge t \tag{3.2}$$
#
# So in training the network always reads the *true* earlier values, even where it would have drawn something else: *teacher forcing* (Williams and Zipser, 1989).
# It is exact: the factors of (3.1) condition on the true earlier pixels.

# %% [markdown]
# **Exercise 1 · `shift_right`** · ●○○ · 4 minutes
#
# Write the input of teacher forcing.
#
# - `x`: tensor `(B, T)`. `start`: a number, what stands at position 0.
# - Returns a tensor of the same shape and dtype: `[start, x_0, ..., x_{T-2}]` in each row. The last value of `x` drops out. `x` itself must not change.
#
# Example: `shift_right(torch.tensor([[5, 6, 7]]), -1)` is `[[-1, 5, 6]]`.
#
# <details><summary>Hint 1</summary>All but the last column of <code>x</code> survive: <code>x[:, :-1]</code>. What stands in front of them has one column.</details>
# <details><summary>Hint 2</summary><code>torch.full_like(x[:, :1], start)</code></details>


# %%
@check
def shift_right(x: Tensor, start: float) -> Tensor:
    """(B, T) -> (B, T): the start value, then all values but the last."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# Check (3.2) on a GRU with random weights: `moves[t, s]` says whether input $x_s$ moves output $\ell_t$.

# %%
gru = nn.GRU(1, 8, batch_first=True).double()
x = torch.randn(1, 6, dtype=torch.float64)
jacobian = torch.autograd.functional.jacobian(lambda x: gru(shift_right(x, 0)[..., None])[0][0], x)  # (6, 8, 1, 6)
moves = jacobian.abs().sum((1, 2)) > 0  # (6, 6)
report("outputs that see their own pixel or a later one", int(moves.triu().sum()), claimed=0, tolerance=0, exact=True)
report("pairs (t, s) with s < t that are connected", int(moves.tril(-1).sum()), claimed=15, tolerance=0, exact=True)

# %% [markdown]
# **Inside the GRU.** The *gated recurrent unit* keeps a state $h$.
# It computes a proposal $n$ for the new state and two *gates* with values in $(0, 1)$: $z$ says how much of the old state stays, and $r$ says how much of it the proposal may see.
# With $\sigma(a) = 1 / (1 + e^{-a})$ and $\odot$ for the elementwise product,
#
# $$\begin{aligned} r_t &= \sigma(W_{r} u_t + b_r + U_r h_{t-1} + d_r), \qquad z_t = \sigma(W_z u_t + b_z + U_z h_{t-1} + d_z), \\ n_t &= \tanh\bigl(W_n u_t + b_n + r_t \odot (U_n h_{t-1} + d_n)\bigr), \qquad h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1} \end{aligned} \tag{3.3}$$
#
# $W$ and $U$ are matrices; $b$ and $d$ are biases.
# This is PyTorch's convention; other texts exchange $z$ and $1 - z$.


# %%
def gru_step(u: Tensor, h: Tensor, gru: nn.GRU) -> Tensor:
    u_r, u_z, u_n = (u @ gru.weight_ih_l0.T + gru.bias_ih_l0).chunk(3, 1)  # PyTorch stacks r, z, n
    h_r, h_z, h_n = (h @ gru.weight_hh_l0.T + gru.bias_hh_l0).chunk(3, 1)
    r, z = torch.sigmoid(u_r + h_r), torch.sigmoid(u_z + h_z)
    return (1 - z) * torch.tanh(u_n + r * h_n) + z * h


with torch.no_grad():
    h = torch.zeros(1, 8, dtype=torch.float64)
    for u in shift_right(x, 0)[0]:
        h = gru_step(u.view(1, 1), h, gru)
    gap = (h - gru(shift_right(x, 0)[..., None])[1][0]).abs().max().item()
report("largest difference from nn.GRU after six steps", gap, claimed=0, tolerance=1e-12)

# %% [markdown]
# ## 4 The loss is a sum over time
#
# By (3.1), the log-likelihood of an image is a sum of log-probabilities, one per position.
# Each is a *cross-entropy* (CE) between the output $\ell_t$ and the true value $x_t$.
# With $V$ possible values per position,
#
# $$-\ln p(x) = \sum_{t=0}^{T-1} \mathrm{CE}(\ell_t, x_t) = \sum_{t=0}^{T-1} \Bigl( \ln \sum_{v=1}^{V} e^{\ell_{t,v}} - \ell_{t, x_t} \Bigr) \tag{3.4}$$
#
# One value is known without training: if all logits are equal, each position costs $\ln V$, and the image costs $T \ln V$.

# %% [markdown]
# **Exercise 2 · `sequence_nll`** · ●○○ · 5 minutes
#
# Write the loss (3.4).
#
# - `logits`: `(B, T, V)`, not normalized; `logits[:, t]` predicts `x[:, t]`. `x`: LongTensor `(B, T)` of values 0..V-1.
# - Returns `(B,)`: one value per sequence, in nats, summed over time.
#
# Example: `sequence_nll(torch.zeros(2, 64, 17), torch.zeros(2, 64, dtype=torch.long))` is `[181.33, 181.33]`, that is $64 \ln 17$.
#
# <details><summary>Hint 1</summary><code>logits.log_softmax(-1)</code> gives all log-probabilities; <code>gather</code> picks the one of the true value: its index needs a last axis, <code>x[..., None]</code>.</details>
# <details><summary>Hint 2</summary><code>F.cross_entropy</code> also works, with <code>reduction="none"</code> and the classes on axis 1.</details>


# %%
@check
def sequence_nll(logits: Tensor, x: Tensor) -> Tensor:
    """(B, T, V), (B, T) -> (B,): negative log-likelihood in nats, summed over time."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# ## 5 A complete PixelRNN fits in twelve lines
#
# Embed the shifted values, run a recurrent network, and map each state to one logit per level.
# The start value has an index of its own, 17.


# %%
class TinyPixelRNN(nn.Module):
    def __init__(self, levels: int, hidden: int, cell=nn.GRU):
        super().__init__()
        self.levels = levels
        self.embedding = nn.Embedding(levels + 1, hidden)  # one more for the start
        self.rnn = cell(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, levels)

    def inputs(self, x: Tensor) -> Tensor:  # (B, 1, H, W) levels -> (B, T, hidden)
        return self.embedding(shift_right(x.flatten(1), self.levels))

    def forward(self, x: Tensor) -> Tensor:  # (B, 1, H, W) levels -> (B, 1, H, W, levels)
        return self.out(self.rnn(self.inputs(x))[0]).view(*x.shape, self.levels)

    def log_prob(self, x: Tensor) -> Tensor:  # (B,) nats
        return -sequence_nll(self(x).flatten(1, 3), x.flatten(1))


# %%
tiny = TinyPixelRNN(17, 16)
print(causality(tiny, shape=(1, 8, 8), levels=17))
report("NLL of the untrained network", evaluate(tiny, validation).nats, claimed=181.0, tolerance=4.0, unit="nats")

# %% [markdown]
# **Always look at the loss before the first step.** If it is far from $T \ln V$, find out why before you train.
#
# ## 6 The past is worth 18 nats
#
# The library's `PixelGRU` adds what helps on images: the value *above* as a second input, a learned vector for each position, an output network of two layers, and dropout.
# Train it live.

# %%
guess("validation NLL of the GRU trained here", ...)  # if you like: a number in place of the dots

# %%
seed(0)
model = PixelGRU((1, 8, 8), levels=17, hidden=128, dropout=0.4)
history = fit(
    model, train, validation=validation, steps=budget(smoke=2, quick=260, full=700), batch_size=32, lr=1e-2,
    evaluate_every=budget(smoke=2, quick=26, full=50), seed=0, label="GRU over pixels",
)  # fmt: skip
live = evaluate(model, validation).nats
claimed = budget(smoke=82.2, quick=82.2, full=79.0)  # longer training reaches more
report("validation NLL of the GRU trained here", live, claimed=claimed, tolerance=1.5, unit="nats")
show.curves(
    {"training batches (dropout on)": history.train, "validation": history.validation},
    baselines={name: likelihood.nats for name, likelihood in untrained.items() if name != "uniform"},
    title="Seeing the past is worth 18 nats over knowing the class",
    alt="Learning curve of the GRU: the validation NLL is below the class marginals (99.9 nats) after 26 steps and "
    "ends near 82 nats. Batches stand higher because dropout is on for them.",
)  # fmt: skip

# %% [markdown]
# Eighteen nats make an average digit about 50 million times more probable.
#
# **Sampling** runs the same recurrence on its own draws: draw $x_t$ from the output, feed it in, and go on.
# It keeps the state and computes nothing twice; the naive way runs the whole network again for every pixel.
# Count the multiplications of both for the Row LSTM of the next section.

# %%
guess("naive sampling, in passes", ...)  # if you like: a number in place of the dots


# %%
def multiplications(call) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2


row = load_pretrained("row_lstm-digits")
one_pass = multiplications(lambda: row(validation.x[:1]))
by_state = multiplications(lambda: row.sample(1, rng=seed(0)))
naive = multiplications(lambda: row.sample_naive(1, rng=seed(0)))
report("naive sampling, in passes", naive / one_pass, claimed=64, tolerance=0.01)
report("sampling with state, in passes", by_state / one_pass, claimed=1.0, tolerance=0.01)
same = torch.equal(row.sample(16, rng=seed(0)), row.sample_naive(16, rng=seed(0)))
print("the same images:", same)

# %% [markdown]
# With its state kept, an image costs one pass of work instead of 64. This is a good place for a pause.
#
# ## 7 Two dimensions: carry the state down the image
#
# A GRU over raster pixels treats an image as a line, in which the pixel above is a whole row of time steps away.
# The paper's two layers carry state *down* the image instead, and they compute many pixels at once.
# Both are LSTMs (*long short-term memory*, Hochreiter and Schmidhuber, 1997).
# An LSTM keeps a *cell* $c$ beside its state $h$.
# The forget gate $f$ says how much of the old cell stays, the input gate $i$ how much of the new content $g$ is added, and the output gate $o$ how much of the cell is shown:
#
# $$(o, f, i) = \sigma(\cdot), \quad g = \tanh(\cdot), \qquad c' = f \odot c + i \odot g, \qquad h' = o \odot \tanh(c') \tag{3.5}$$
#
# Each dot is a sum of *input to state*, which reads features of the image, and *state to state*, which reads earlier states.
# The features come from a first convolution that sees earlier pixels only (a mask of *kind A*; lesson 04 derives it).
# A layer that reads these features may therefore use their center as well (*kind B*).
#
# - **Row LSTM**: input to state is a 1 × 3 convolution of kind B; state to state is a 1 × 3 convolution over the row above. The cell comes from the pixel above. One step computes a whole row.
# - **Diagonal BiLSTM**: input to state is a 1 × 1 convolution; state to state reads the pixel to the left and the pixel above. The cell comes from the left. One step computes a whole diagonal. A second LSTM does the same from the right.
#
# Move the slider (it comes alive when you run the cell) and compare the number of steps *in training*, where all pixels are known.
# Sampling always takes 64 draws, one after another.

# %%
lesson03.scan_orders(8, 8, step=4)

# %% [markdown]
# The diagonal LSTM uses a trick.
# Let $r$ and $k$ be the row and the column of a pixel, and move row $r$ to the right by $r$ places.
# Then every diagonal of the image becomes one *column* of the skewed image $s$:
#
# $$s_{r,\, r + k} = x_{r, k}, \qquad 0 \le r < H, \ 0 \le k < W, \qquad s \text{ has } H \text{ rows and } W + H - 1 \text{ columns} \tag{3.6}$$

# %% [markdown]
# **Exercise 3 · `skew`** · ●●○ · 8 minutes
#
# Write (3.6).
#
# - `x`: `(B, C, H, W)`.
# - Returns `(B, C, H, W + H - 1)` of the same dtype: row `r` starts `r` places further to the right, and the rest is zero.
#
# Example, one image with one channel: `skew(torch.tensor([[[[1, 2], [3, 4]]]]))` is `[[[[1, 2, 0], [0, 3, 4]]]]`.
#
# <details><summary>Hint</summary>Start from zeros of the final shape, and write row <code>r</code> into the columns <code>r</code> to <code>r + W - 1</code>, in a loop over rows.</details>


# %%
@check
def skew(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W + H - 1): row r moves to the right by r; zeros elsewhere."""
    raise NotImplementedError("Replace this line with your answer.")


# %%
x = torch.arange(1, 13).view(1, 1, 3, 4)
print(skew(x)[0, 0])
print("unskew(skew(x)) is x:", torch.equal(unskew(skew(x)), x))
print("lstm_cell, four ones and an empty cell:", lstm_cell(torch.ones(4), torch.zeros(1)))  # (3.5): state, cell

# %% [markdown]
# Column 2 holds 3, 6, 9, which is a diagonal of the image.
# Of a pixel's two neighbors, the one to the left is now one column earlier in the same row, and the one above is one column earlier in the row above.
# So one step of the LSTM needs the states of the column before, and nothing else.

# %% [markdown]
# **Exercise 4 · `diagonal_lstm`** · ●●● · 20 minutes
#
# Build the layer: one direction of a Diagonal BiLSTM, in $W + H - 1$ steps.
# The rest of the lesson runs on your layer, with trained weights.
#
# - `gates`: `(B, 4h, H, W)`, input to state for every pixel: the four parts of (3.5) stacked in the order $o, f, i, g$.
# - `above`, `side`: `(h, 4h)`, state to state: they multiply (from the right) the state of the pixel above and of the pixel to the left.
# - Returns the states `(B, h, H, W)`, of the dtype of `gates`. Outside of the image, states and cells are zero. `gates` must not change.
#
# `lstm_cell(total, c)` computes (3.5): from the sum `(..., 4h)` and the old cell `(..., h)` it makes `(h', c')`.
#
# Example: `diagonal_lstm(torch.ones(1, 4, 2, 2), torch.zeros(1, 4), torch.zeros(1, 4))` is `[[[[0.3696, 0.5453], [0.3696, 0.5453]]]]`. No state is read, but the cell comes from the left.
#
# <details><summary>Hint 1</summary>Keep a state and a cell for every row, <code>(B, H, h)</code>, both zero at first. Loop over the columns of <code>skew(gates)</code>, each as <code>(B, H, 4h)</code>: <code>permute(3, 0, 2, 1)</code> puts the columns first.</details>
# <details><summary>Hint 2</summary>Row r of the state is what lies to the left of the new pixel. What lies above it is row r - 1 of the same state: <code>F.pad(state, (0, 0, 1, -1))</code> adds a row of zeros on top and cuts off the last one.</details>
# <details><summary>Hint 3</summary>Collect the states, stack them along a new last axis, <code>(B, H, h, W + H - 1)</code>, exchange axes 1 and 2, and undo the skew with <code>unskew</code>.</details>


# %%
@check
def diagonal_lstm(gates: Tensor, above: Tensor, side: Tensor) -> Tensor:
    """(B, 4h, H, W), (h, 4h), (h, 4h) -> states (B, h, H, W), one diagonal per step; the cell comes from the left."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# **From the right.** The second LSTM starts in the upper right corner and reads *above* and *right*: flip the image, run the same function, and flip back.
# But its state at a pixel has seen pixels further right in the same row, which come *later* in raster order.
# The paper therefore moves its output down by one row before adding it (the library's method `join`).
# Now put your function into the library's network, load trained weights, and compare.


# %%
class OwnLayer(DiagonalBiLSTMLayer):
    def forward(self, x: Tensor, pixels: Tensor, y: Tensor | None) -> Tensor:
        above, side = self.state.split(self.channels, 1)  # (2, h, 4h) each: one for each direction
        from_right = self.input_back(torch.cat([x, pixels], 1)).flip(-1)
        back = diagonal_lstm(from_right, above[1], side[1]).flip(-1)
        return self.join(diagonal_lstm(self.input(x), above[0], side[0]), back)


class OwnBiLSTM(DiagonalBiLSTM):
    layer = OwnLayer


diagonal = load_pretrained("diagonal_bilstm-digits")
own = OwnBiLSTM(**recorded("diagonal_bilstm-digits")["config"])
own.load_state_dict(diagonal.state_dict())
own.eval()
print(causality(own))
report("validation NLL with your layer", evaluate(own, validation).nats, claimed=80.9, tolerance=0.3, unit="nats")
gap = paired(own, diagonal, validation).nats
report("your layer minus the library's", gap, claimed=0, tolerance=1e-3, unit="nats")

# %% [markdown]
# The layer takes 15 steps instead of 64; for the paper's 32 × 32 images, 63 instead of 1,024.
#
# **What do the networks see?** The gradient of a prediction with respect to the input features draws the receptive field.
# (`from_features` is the part of `forward` after the table lookup.)


# %%
def sees(network, position: tuple[int, int]) -> Tensor:
    """(H, W): True where the prediction at one pixel has a gradient with respect to the input pixel."""
    x = torch.randint(network.levels, (16, *network.shape), generator=seed(0))
    features = network.table[x].requires_grad_()  # (16, 1, H, W, F)
    network.from_features(features)[:, 0, position[0], position[1]].pow(2).sum().backward()
    return features.grad.abs().sum((0, 1, -1)) > 0


shape, at = (1, 11, 11), (7, 5)
seed(0)
networks = {
    "GRU over pixels": PixelGRU(shape, 2, hidden=32).double(),
    "Row LSTM, 1 layer": RowLSTM(shape, 2, channels=16, layers=1, first_kernel=3).double(),
    "Diagonal BiLSTM, 1 layer": OwnBiLSTM(shape, 2, channels=16, layers=1, first_kernel=3).double(),
}
fields = {name: sees(network, at) for name, network in networks.items()}
show.fields(
    fields, at, title="GRU and Diagonal BiLSTM see the whole past, the Row LSTM a triangle",
    alt="Receptive fields of pixel (7, 5) of an 11 by 11 image, which has 82 past pixels: the GRU sees all 82, the "
    "Row LSTM 66, a triangle that widens upwards, the Diagonal BiLSTM all 82.",
)  # fmt: skip
for (name, field), claimed in zip(fields.items(), (82, 66, 82), strict=True):
    report(f"pixels seen by {name}", int(field.sum()), claimed=claimed, tolerance=0, exact=True)

# %% [markdown]
# We can derive the triangle.
# The first convolution has a $K \times K$ kernel of kind A with reach $a = (K - 1)/2$: it sees $a$ pixels to the left, and up to $a$ rows above.
# Each row that the state climbs moves it by at most one column, and in each of $L$ layers input to state may step one pixel to the left.
# So the prediction at $(r, k)$ sees the pixel $(r - \Delta r, k + \Delta k)$
#
# $$\text{for } \Delta r = 0 \iff -(L + a) \le \Delta k \le -1, \qquad \text{for } \Delta r \ge 1 \iff -(\Delta r + L + a) \le \Delta k \le \Delta r + a - 1 \tag{3.7}$$
#
# (On the right, the state climbs $\Delta r - 1$ rows and the convolution one.)
# More layers widen the triangle to the left only, so the blind wedge on the right stays, as in a PixelCNN (lesson 04).
# Compare with what gradients find:

# %%
up, right = at[0] - torch.arange(11)[:, None], torch.arange(11) - at[1]  # the rows above, the columns to the right
for layers, kernel in ((1, 3), (2, 3), (3, 5)):
    a = kernel // 2
    own_row = (up == 0) & (right >= -(layers + a)) & (right <= -1)
    above = (up >= 1) & (right >= -(up + layers + a)) & (right <= up + a - 1)
    found = sees(RowLSTM(shape, 2, channels=16, layers=layers, first_kernel=kernel).double(), at)
    same = torch.equal(own_row | above, found)
    print(f"{layers} layer(s), first kernel {kernel}: {found.sum()} pixels, as (3.7) says: {same}")

# %% [markdown]
# <details><summary>Optional: one pixel that the paper's Diagonal BiLSTM seems to miss</summary>
#
# As we read the paper, both LSTMs read features of *earlier* pixels only.
# Then the last pixel of the row above has not entered any feature of its own row, and it reaches the prediction only if the first convolution is large enough.
# The library's LSTM from the right also reads the pixels themselves, which is safe because its output moves down by a row.
# Set `layer.input_back.weight[:, 2 * channels :]` to zero in two layers, and `sees` shows one blind pixel, at (6, 10).
# </details>
#
# ## 8 The ladder of likelihoods
#
# Here are the three networks, and the models of lessons 02 and 04, as recorded with three seeds each; the command in the table reproduces an entry.
# The last row answers an easier question, because its model is told the class of the digit.

# %%
show.likelihood_ladder(
    recorded_on("digits", lesson=4), highlight=["pixel_gru", "row_lstm", "diagonal_bilstm"],
    title="Every model that sees its neighbors is far below the class marginals",
)  # fmt: skip

# %% [markdown]
# Overlapping bars do not decide, because some images are hard for every model; the difference *image by image* decides.
# These weights were selected on the validation images, so we compare them on the test images, once:

# %%
test = load("digits", "test")
for name, claimed, tolerance in (("pixel_gru", -1.98, 0.05), ("row_lstm", 0.14, 0.05), ("pixelcnn", -0.49, 0.05)):
    gap = paired(load_pretrained(f"{name}-digits"), own, test)  # NLL minus that of the Diagonal BiLSTM
    report(f"{name} minus Diagonal BiLSTM, test", gap.nats, claimed=claimed, tolerance=tolerance, unit="nats")
    print(f"  standard error over 360 images ≈ {gap.stderr:.2f}")
for name, claimed in (("pixel_gru", 78.68), ("pixelcnn", 80.17), ("row_lstm", 80.52), ("diagonal_bilstm", 80.66)):
    nats = recorded(f"{name}-digits")["test"]["nats"]
    report(f"recorded test NLL, three seeds, {name}", nats, claimed=claimed, tolerance=0.01, unit="nats")

# %% [markdown]
# The Row LSTM and the Diagonal BiLSTM are equal within one standard error.
# The PixelCNN of lesson 04 is better than the Diagonal BiLSTM by half a nat, nearly three standard errors, and the means over three seeds agree.
# The GRU is better by 2 nats, nine standard errors.
# The comparison is of trained models, not of architectures at equal cost: the GRU has 192,145 parameters, the others 106,065 to 124,177.
#
# In the paper the order is the opposite: Diagonal BiLSTM, Row LSTM, PixelCNN.
# Here the whole past is at most 63 steps long, and a state of 192 numbers can hold it.
# Section 9 shows what changes with distance.
#
# For real digits, nobody knows the best possible score.
# The data set `glyphs` (28 × 28 binary digits drawn from fonts, with 1 % of the pixels flipped) has a known entropy, so its ladder has a floor.

# %%
show.likelihood_ladder(recorded_on("glyphs", lesson=4), title="On glyphs the floor is known, and still far away")
glyph_floor = recorded("made-glyphs")["floor"]["nats"]
report("entropy of glyphs", glyph_floor, claimed=53.0, tolerance=0.05, unit="nats")

# %% [markdown]
# No model of this ladder is near 53 nats.
# Read the column of seconds before you compare: the training times are very different.
#
# **Samples**: the first 16 of each network, nothing selected.

# %%
show.panels(
    {"validation data": validation.x[:16], "GRU": finisher.sample(16, rng=seed(0)),
     "Row LSTM": row.sample(16, rng=seed(0)), "Diagonal BiLSTM": diagonal.sample(16, rng=seed(0))},
    levels=17, title="Strokes are connected, and many samples are legible",
    alt="Four grids of 16: real digits and samples of three PixelRNNs. The three networks draw similar images in the "
    "same places, because the same random numbers were turned into pixels.",
)  # fmt: skip

# %% [markdown]
# ## 9 How far does a gradient travel through time?
#
# By the chain rule of calculus, the gradient of the output $\ell_t$ with respect to an earlier input $u_s$ is a product of matrices, one for each step in between:
#
# $$\frac{\partial \ell_t}{\partial u_s} = \frac{\partial \ell_t}{\partial h_t} \left( \prod_{j=s+1}^{t} \frac{\partial h_j}{\partial h_{j-1}} \right) \frac{\partial h_s}{\partial u_s}, \qquad \Bigl\lVert \prod_{j=s+1}^{t} \frac{\partial h_j}{\partial h_{j-1}} \Bigr\rVert \le \gamma^{\,t-s} \ \text{ if every factor has norm at most } \gamma \tag{3.8}$$
#
# (In the product, later steps stand on the left.)
# For $\gamma < 1$, the gradient *vanishes* exponentially with the distance $t - s$ (Hochreiter, 1991; Bengio, Simard, and Frasconi, 1994).
# Gates help.
# In a GRU with $z_t$ near 1, each factor is near the identity; in an LSTM, the cell has the direct path $\partial c'/\partial c = f$.
#
# In the paper's images the pixel above is 32 steps back.
# Which fraction of the gradient of $\ln p(x_t \mid x_{<t})$ with respect to the newest input is left after 32 steps?
# Measure it for a plain RNN, $h_t = \tanh(W u_t + U h_{t-1} + b)$, a GRU, and an LSTM, before and after a short training.

# %%
guess("log10 of the fraction after 32 steps, plain RNN", ...)  # if you like: 0 is all of it, -3 a thousandth


# %%
def memory(network: TinyPixelRNN, x: Tensor) -> list[float]:
    """log10 of the norm of the gradient of log p(x_t | x_<t) for the inputs 0 to 32 steps back; the newest one is 0."""
    u = network.inputs(x).detach().requires_grad_()
    log_p = network.out(network.rnn(u)[0]).log_softmax(-1).gather(-1, x.flatten(1)[..., None]).squeeze(-1)
    back = []
    for t in range(40, 48):  # the pixels of row 5
        gradient = torch.autograd.grad(log_p[:, t].sum(), u, retain_graph=True)[0]
        back.append(gradient[:, t - 32 : t + 1].norm(dim=-1).mean(0).flip(0))
    mean = torch.stack(back).mean(0)
    return (mean / mean[0]).log10().tolist()


curves, trained = {}, {}
for name, cell in (("plain RNN", nn.RNN), ("GRU", nn.GRU), ("LSTM", nn.LSTM)):
    seed(0)
    network = TinyPixelRNN(17, 48, cell)
    curves[f"{name}, untrained"] = list(enumerate(memory(network, validation.x[:64])))
    if name != "LSTM":
        steps = budget(smoke=2, quick=250, full=250)
        run = fit(network, train, validation=validation, steps=steps, batch_size=32, lr=1e-2, label=name,
                  evaluate_every=budget(smoke=2, quick=25, full=25))  # fmt: skip
        curves[f"{name}, trained"] = list(enumerate(memory(network, validation.x[:64])))
        trained[name] = network, run

# %%
show.curves(
    curves, xlabel="steps back", ylabel="log10 of the fraction of the gradient", ylim=(-12, 0.5),
    title="Untrained networks forget exponentially; training lengthens their memory",
    alt="Logarithm of the gradient over 32 steps back: straight lines that fall to about -10.6 for a plain RNN, and to "
    "-6 for an untrained GRU and LSTM; after training all stay above -3.",
)  # fmt: skip
for (name, points), claimed in zip(curves.items(), (-10.6, -2.3, -5.8, -1.4, -5.7), strict=True):
    name = "plain RNN" if name == "plain RNN, untrained" else name
    report(f"log10 of the fraction after 32 steps, {name}", points[-1][1], claimed=claimed, tolerance=0.7)
gap = paired(trained["GRU"][0], trained["plain RNN"][0], validation).nats
report("trained GRU minus trained plain RNN", gap, claimed=1.0, tolerance=1.4, unit="nats")

# %% [markdown]
# Before training, a plain RNN passes on about $10^{-11}$ of the gradient over one row of the paper's images, the GRU and the LSTM about a millionth.
# After 8 steps, one row of *our* images, the untrained plain RNN still has about a thousandth, enough to start from.
# Training then lengthens the memory of both networks by orders of magnitude.
# On these small images, the gates of the GRU do not lower the NLL: after the same short run, at one learning rate, the GRU is about a nat behind the plain RNN (0.7 and 1.4 nats with two seeds).
# Two remedies: a positive bias of the forget gate (Gers, Schmidhuber, and Cummins, 2000; the library uses 1), and shorter paths, such as those of section 7.
#
# ## 10 Break it
#
# Leave out the shift. The network then reads at step $t$ the very value that it predicts at step $t$.


# %%
class NoShift(TinyPixelRNN):
    def inputs(self, x: Tensor) -> Tensor:
        return self.embedding(x.flatten(1))


seed(0)
leaky = NoShift(17, 48)
run = fit(
    leaky, train, validation=validation, steps=budget(smoke=2, quick=100, full=100), batch_size=32, lr=1e-2,
    evaluate_every=budget(smoke=2, quick=10, full=10), label="not shifted",
)  # fmt: skip
show.curves(
    {"shifted": trained["GRU"][1].validation, "not shifted": run.validation},
    baselines={"class marginals": untrained["class marginals"].nats},
    title="Without the shift the loss falls to nothing",
    alt="Validation NLL: the network with the shift ends near the class marginals, the one without is at 0 nats within "
    "100 steps.",
)  # fmt: skip

# %% tags=["exact"]
report("validation NLL without the shift", run.validation[-1][1], claimed=0.0, tolerance=0.5, unit="nats")
print(causality(leaky, shape=(1, 8, 8), levels=17))

# %% [markdown]
# The curve is too good, and the audit names the reason.
# The second classic is quieter: a Diagonal BiLSTM whose second direction is *not* moved down.
# Every mask is in place, and still pixels leak from the right:


# %%
class NotMovedDownLayer(OwnLayer):
    def join(self, ahead: Tensor, back: Tensor) -> Tensor:
        return ahead + back  # the library moves `back` down by one row


class NotMovedDown(DiagonalBiLSTM):
    layer = NotMovedDownLayer


print(causality(NotMovedDown((1, 3, 4), levels=2, channels=6, layers=1)))

# %% [markdown]
# ## 11 Optional: repair a published program
#
# This course checks the claims of an article ([all of them on one page](../docs/article.md)), which prints a "PixelRNN" that classifies every pixel and generates nothing.
# The next cell has its idea as a generative model, with nine faults. No later cell needs it.

# %% [markdown]
# **Exercise 5 · `repair_article`** · ●●● · 25 minutes, optional
#
# Repair the program. The check names *one* fault at a time, in an order in which they can be repaired.
#
# - `levels`: number of gray levels; values are 0..levels-1, and `levels` itself is the start token. `hidden`: size of the state.
# - Returns an `nn.Module` with
#   - `forward(inputs, state=None) -> (logits, state)`: inputs `(B, T)` of 0..levels (*already shifted*), logits `(B, T, levels)`, the state after the last input `(1, B, hidden)`; `None` is the zero state;
#   - `nll(x, y) -> (B,)`: pixels `x` `(B, T)`, class labels `y` `(B,)`, which an unconditional model must not use; nats per image, summed over time;
#   - `bits_per_dim(x, y)` -> a number (a float, or a tensor with one element): bits per *pixel*, averaged over images;
#   - `next_probabilities(logits) -> (B, levels)`: of the value after the last input;
#   - `sample(n, T, rng) -> (n, T)`, which is right already.
#
# Example: with all weights zero, `nll` is $T \ln(\text{levels})$ for every image, and `bits_per_dim` is $\log_2(\text{levels})$.
#
# <details><summary>Hint 1: sizes</summary>28 is the width of an MNIST image, 10 the number of its classes, and 64 was the batch size.</details>
# <details><summary>Hint 2: state and loss</summary>Return the second result of <code>nn.GRU</code>. Inputs are <code>shift_right(x, levels)</code>, targets are <code>x</code>, and <code>F.cross_entropy</code> takes logits.</details>
# <details><summary>Hint 3: sampling and units</summary>A softmax over an axis of length 1 is always 1. Bits per dimension are nats divided by the number of dimensions and by ln 2.</details>


# %%
@check
def repair_article(levels: int, hidden: int) -> nn.Module:
    """The article's PixelRNN as a generative model: forward, nll, bits_per_dim, next_probabilities, sample."""

    class PixelRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(28, hidden)  # one vector for each input value
            self.gru = nn.GRU(hidden, hidden, batch_first=True)
            self.dense = nn.Linear(hidden, 10)

        def forward(self, inputs, state=None):  # (B, T) -> logits (B, T, levels), state (1, B, hidden)
            if state is None:
                state = torch.zeros(1, 64, hidden)
            out, _ = self.gru(self.embedding(inputs), state)
            return self.dense(out), state

        def nll(self, x, y):  # (B, T) pixels, (B,) labels -> (B,) nats per image
            logits, _ = self(x)
            p = logits.softmax(-1)
            target = y[:, None].expand_as(x)
            return F.cross_entropy(p.transpose(1, 2), target, reduction="none").sum(1)

        def bits_per_dim(self, x, y):  # -> a number
            return self.nll(x, y).mean() / math.log(2)

        def next_probabilities(self, logits):  # (B, T, levels) -> (B, levels), of the value after the last input
            return logits.softmax(1)[:, -1]

        def sample(self, n, T, rng):  # -> (n, T); right, once the rest is
            value, state, values = torch.full((n, 1), levels), None, []
            for _ in range(T):
                logits, state = self(value, state)
                value = torch.multinomial(self.next_probabilities(logits), 1, generator=rng)
                values.append(value)
            return torch.cat(values, 1)

    return PixelRNN()


# %% [markdown]
# ## 12 Check yourself

# %% [markdown]
# 1. The loss of your new PixelRNN before the first step is 1,088. What is wrong?
#
# <details><summary>Answer</summary>It should be near 64 ln 17 = 181. The logits are large before any training, so wrong levels get nearly all of the probability: look at the initialization.</details>
#
# 2. Your validation loss is 2 nats per image. Should you be glad?
#
# <details><summary>Answer</summary>No. Models that see the past reach about 80 here. Two nats per image mean that the pixel itself, or a later one, reaches its prediction: run <code>causality</code>.</details>
#
# 3. The Row LSTM needs 8 steps for an 8 × 8 image, the Diagonal BiLSTM 15 (in training). Why use the Diagonal BiLSTM?
#
# <details><summary>Answer</summary>It sees the whole past. The Row LSTM sees a triangle (3.7), and more layers do not close the wedge on the right.</details>
#
# 4. Each factor in (3.8) has norm 0.9. What is left of the gradient after 32 steps, and after 1,024?
#
# <details><summary>Answer</summary>At most 0.034 after 32 steps and 10<sup>-47</sup> after 1,024, which float32 rounds to zero.</details>
#
# 5. Teacher forcing feeds the truth, sampling feeds draws. Is the reported likelihood biased?
#
# <details><summary>Answer</summary>No. The factors of (3.1) condition on the true earlier pixels. The difference shows in samples: a model that has seen only true pasts may behave badly after an early slip of its own. This is called <em>exposure bias</em> (Bengio et al., 2015; Ranzato et al., 2016).</details>

# %% [markdown]
# ## Take-aways
#
# - Shift the input by one and sum the cross-entropy over time: that is the exact negative log-likelihood. Before training it must be near $T \ln V$.
# - A GRU and a Diagonal BiLSTM see the whole past, a Row LSTM a triangle; training takes $HW$, $W + H - 1$, and $H$ steps. In sampling, the state is the cache.
# - A gradient shrinks on its way back through time; gates, biases, training, and shorter paths lengthen its reach.
# - Too good is an alarm. Compare models image by image, on images that did not choose them.
#
# ## Your turn
#
# The recorded GRU has 192,145 parameters and 78.5 nats on the validation digits (78.7 on test, three seeds).
# Can an architecture of this lesson beat it with no more parameters?
# Start from `garm train pixel_gru --data digits --seed 0`; choose on validation, and look at test once.
#
# ## Where next
#
# - van den Oord et al. (above): sections 3.1 and 3.2 are the two layers, 3.3 the residual connections, 3.4 the masks. Theis, Bethge, *Generative Image Modeling Using Spatial LSTMs*, NIPS 2015, arXiv 1506.03478, came before.
# - Hochreiter, Schmidhuber, *Long Short-Term Memory*, Neural Computation 9(8), 1997; Gers, Schmidhuber, Cummins, *Learning to Forget*, Neural Computation 12(10), 2000; Bengio, Simard, Frasconi, *Learning Long-Term Dependencies with Gradient Descent is Difficult*, IEEE Transactions on Neural Networks 5(2), 1994.
# - Williams, Zipser, Neural Computation 1(2), 1989: teacher forcing. Bengio, Vinyals, Jaitly, Shazeer, *Scheduled Sampling*, NIPS 2015, arXiv 1506.03099, and Ranzato, Chopra, Auli, Zaremba, ICLR 2016, arXiv 1511.06732: exposure bias.
# - Recurrence returned after 2020 with *linear* state updates, which train in parallel and start with a long memory: Gu, Goel, Ré, *Efficiently Modeling Long Sequences with Structured State Spaces*, ICLR 2022, arXiv 2111.00396; Orvieto et al., *Resurrecting Recurrent Neural Networks for Long Sequences*, ICML 2023, arXiv 2303.06349.
# - [Lesson 04](04_pixelcnn.ipynb) replaces the recurrence by masked convolutions: all pixels in one parallel step.

# %%
claims()
