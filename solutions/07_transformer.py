# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · Transformers and text
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/07_transformer.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F07_transformer.ipynb)
#
# **Who predicts a text best, and why: a table of counts, a compressor, a recurrent network, or attention?**
#
# | | |
# |---|---|
# | Time | 90 minutes; the cells run in under a minute |
# | Before this | the chain rule, [lesson 02](02_chain_rule.ipynb); compression, [lesson 05](05_pixelcnnpp.ipynb); caches and speculative sampling, [lesson 06](06_sampling.ipynb) |
# | Afterwards you can | *derive* attention and its scale, *implement* a layer that trains, reads a prompt and takes single steps, *measure* text in nats, bits and bytes, *control* what is drawn, *diagnose* a mask that is off by one |
# | Papers | Vaswani et al., *Attention Is All You Need*, 2017, arXiv [1706.03762](https://arxiv.org/abs/1706.03762) · Su et al., *RoFormer*, 2021, arXiv [2104.09864](https://arxiv.org/abs/2104.09864) · Delétang et al., *Language Modeling Is Compression*, ICLR 2024, arXiv [2309.10668](https://arxiv.org/abs/2309.10668) |

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
import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course import (
    budget, check, claims, fit, guess, load, load_pretrained, recorded, recorded_on, report, seed, show,
)  # fmt: skip
from garm_course.autoregressive import CharTransformer, NGram, SequenceModel
from garm_course.autoregressive.sampling import Automaton, compress, decompress, speculative
from garm_course.evaluation import causality, compressors, forgets, log_probs_in_context, novelty, paired, repetition
from garm_course.lessons import lesson07

# %% [markdown]
# ## 1 Text that a machine has read
#
# The text of this lesson is the language reference of Python, which comes with every Python: some 370,000 characters of English, code and grammar.
# A transformer with three layers has read the training part for about four minutes of processor time.
# Below is a piece of validation text, shaded by what each character cost the transformer.
# Move the slider: where is the transformer sure, and where is it surprised?

# %% tags=["exact"]
train, validation, test = (load("pydoc", split, length=128) for split in ("train", "validation", "test"))
network = load_pretrained("char_transformer-pydoc")
line = validation.text[:400].rsplit("\n", 1)[0][-260:].split("\n", 1)[1].lstrip("\n")
expected = network.head.log_probs(network(validation.encode(line)[None]))[0].detach()
lesson07.next_characters(expected, line, validation.vocabulary, at=40)

# %% [markdown]
# Words cost most where they begin; their endings are almost free.
# So the question is how far back a model can use what it has read.
#
# We measure in nats per character, and in three other units that say the same.
# If a model gives the $n$ characters of a text the probabilities $p_1, \dots, p_n$, then
#
# $$L = -\frac1n\sum_{t=1}^n \ln p_t \ \text{nats}, \qquad \frac{L}{\ln 2}\ \text{bits}, \qquad \mathrm{PPL} = e^{L} = (p_1 \cdots p_n)^{-1/n} \tag{7.1}$$
#
# The **perplexity** PPL is the number of equally likely characters among which the model seems to hesitate.
# A model that knows nothing of our 96 characters has $L = \ln 96 = 4.56$ and PPL 96.
# And by lesson 05, bits are file sizes: with an arithmetic coder, the text takes $nL/(8\ln 2)$ bytes.
#
# ## 2 The naive thing: count
#
# An **n-gram** table counts which character followed the last few.
# The library's [`NGram`](../garm_course/autoregressive/ngram.py) mixes every table with the next shorter one, because most contexts never occurred (Witten and Bell, 1991).
# With more context the table knows more, but it has seen each context less often.
# How many characters of context are best?
# Compressors compete as well: they save what they can predict.

# %%
guess("best number of characters before, for a table", ...)  # a number in place of the dots, if you like

# %%
CONTEXT = 64  # every model sees at least so many characters before each that is scored
nats = {}
for order in range(7):
    table = NGram((128,), 96, order=order).fit_counts(train.tokens)
    nats[order] = -log_probs_in_context(table, validation, CONTEXT).mean().item()
report("best number of characters before, for a table", min(nats, key=nats.get), claimed=4, tolerance=0, exact=True)
for order, claimed in ((0, 3.24), (2, 1.90), (4, 1.385)):
    report(f"table, {order} before", nats[order], claimed=claimed, tolerance=0.005, unit="nats")

# %%
alone, after = (
    {name: bits * math.log(2) for name, bits in compressors(validation.text, text).items()} for text in ("", train.text)
)
report("bzip2 on the validation text alone", alone["bz2"], claimed=1.71, tolerance=0.005, unit="nats")
report("bzip2, after it has compressed the training text", after["bz2"], claimed=1.22, tolerance=0.005, unit="nats")

# %% [markdown]
# Four characters of context are best for a table of this much text.
# The best of three compressors, bzip2, is better still once it has read the training text: a reference manual repeats itself, and bzip2 finds repetitions of any length.
# It also adapts to the text that it compresses; our tables and networks do not.
# So there are two numbers to beat: 1.385 nats for counting, 1.22 for compression.
#
# ## 3 A query asks, keys answer
#
# A table of 4 characters cannot know that a bracket was opened 30 characters ago.
# A network could average features of *all* earlier characters, but the plain average of a bag of characters is the same for "not if" and "if not".
# Attention learns *which* earlier positions matter now.
# From the features $x_t$ of each position, three learned matrices compute a **query** $q_t$ (what am I looking for?), a **key** $k_t$ (what do I have?) and a **value** $v_t$ (what do I say?), all vectors of $D$ numbers, the rows of $Q$, $K$ and $V$.
# The output at $t$ is an average of values, weighted by how well the keys fit the query:
#
# $$y_t = \sum_{s \le t} a_{ts}\, v_s, \qquad a_{ts} = \frac{\exp(q_t \cdot k_s / \sqrt D)}{\sum_{r \le t} \exp(q_t \cdot k_r / \sqrt D)} \tag{7.2}$$
#
# Sums over $s \le t$ only keep the future out, which the chain rule demands.
#
# Why the root of $D$?
# If the entries of $q$ and $k$ are independent with mean 0 and variance 1, each product $q_j k_j$ has mean 0 and variance 1, and variances of independent terms add up:
#
# $$\operatorname{Var}(q \cdot k) = \sum_{j=1}^{D} \operatorname{Var}(q_j k_j) = D \tag{7.3}$$
#
# Without the root, scores from 64 features would have a standard deviation of 8; a softmax of such scores puts most of its weight on one position, and its gradient becomes small.

# %%
rng = seed(0)
for d in (4, 64):
    products = (torch.randn(100_000, d, generator=rng) * torch.randn(100_000, d, generator=rng)).sum(-1)
    report(f"variance of a product of {d} features, over {d}", products.var() / d, claimed=1, tolerance=0.03)

# %% [markdown]
# **Exercise 1 · `next_token_loss`** · ●○○ · 6 minutes
#
# Write the loss of a model of text: pair each output with the token that it should predict.
#
# - `logits`: `(B, T, V)`; the logits at position $t$ predict token $t + 1$.
# - `tokens`: `LongTensor (B, T)`, $T \ge 2$.
# - Returns `(B,)`: for each sequence the mean of $-\ln p$ over its $T - 1$ predicted tokens, in nats. The last logits predict nothing here.
#
# Example: `next_token_loss(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]]))` is `[1.3863]`, that is, $\ln 4$.
#
# <details><summary>Hint 1</summary>Which slice of <code>logits</code> has a token to predict, and which slice of <code>tokens</code> is predicted?</details>
# <details><summary>Hint 2</summary><code>log_softmax(-1)</code>, then <code>gather</code> along the last axis. Or <code>F.cross_entropy(..., reduction="none")</code>, which wants the classes on axis 1.</details>


# %%
@check
def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """(B, T, V), (B, T) -> (B,), mean nats per predicted token."""
    ### BEGIN SOLUTION
    log_p = logits[:, :-1].log_softmax(-1)
    return -log_p.gather(-1, tokens[:, 1:, None])[..., 0].mean(1)
    ### END SOLUTION


# %% [markdown]
# **Exercise 2 · `causal_attention`** · ●○○ · 8 minutes
#
# Write (7.2) for several heads at once: each *head* has queries, keys and values of its own.
#
# - `q`, `k`, `v`: `(B, heads, T, D)`.
# - Returns `(B, heads, T, D)`. It must work for $T = 1$ and for huge scores.
#
# Example: `causal_attention(torch.zeros(1, 1, 2, 1), torch.zeros(1, 1, 2, 1), torch.tensor([[[[1.0], [3.0]]]]))` is `[[[[1.0], [2.0]]]]`: all keys fit equally well, so position 1 averages both values, and position 0 sees only itself.
#
# <details><summary>Hint 1</summary><code>q @ k.mT</code> has one row per query and one column per key.</details>
# <details><summary>Hint 2</summary><code>torch.ones(T, T, dtype=torch.bool).triu(1)</code> marks the future; <code>masked_fill</code> puts minus infinity there.</details>


# %%
@check
def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, heads, T, D) three times -> (B, heads, T, D)."""
    ### BEGIN SOLUTION
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ v
    ### END SOLUTION


# %% [markdown]
# Check with gradients that nothing comes from the future:
#
# $$\frac{\partial y_t}{\partial x_s} = 0 \quad \text{for } s > t \tag{7.4}$$

# %%
x = torch.randn(1, 1, 8, 4, generator=rng, dtype=torch.float64).requires_grad_()
[slope] = torch.autograd.grad(causal_attention(x, x, x)[0, 0, 4].sum(), x)
report("gradient from later positions", slope[0, 0, 5:].abs().max(), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# ## 4 Attention alone does not know the order
#
# Shuffle the inputs of attention without a mask, and the outputs are shuffled in the same way.
# For a permutation matrix $P$,
#
# $$f(PX) = P f(X), \qquad f(X) = \operatorname{softmax}\!\big(Q K^\top / \sqrt D\big)\, V, \tag{7.5}$$
#
# because $PQ (PK)^\top = P\,(QK^\top)\,P^\top$, the softmax works row by row, and $P^\top P = I$ cancels in front of $V$.
# The mask breaks this symmetry, but weakly: in one layer, the last position still sees a bag of the others.
# So we let the order enter through the features.
# **Rotary positions** turn queries and keys.
# Take features $j$ and $j + D/2$ as a point in the plane and turn it by the angle $p\,\theta_j$ at position $p$, with $\theta_j = 10000^{-2j/D}$.
# Write $R_p$ for all these turns.
# Turning both vectors by the same angle does not change their product, so
#
# $$(R_m q) \cdot (R_n k) = (R_{m-n}\, q) \cdot k \tag{7.6}$$
#
# A product depends on *how far apart* two positions are, not on where they are:

# %%
lesson07.rotary_wheel()

# %% [markdown]
# **Exercise 3 · `rotary`** · ●●○ · 10 minutes
#
# Write $R_p$: turn each pair of features by its angle.
#
# - `x`: `(B, heads, T, D)`, $D$ even. `positions`: `LongTensor (T,)`; a cache will call it with `[57]`, say.
# - Returns the same shape. With $a$ the first and $b$ the second half of the features, pair $j$ becomes $(a_j \cos\varphi - b_j \sin\varphi,\ a_j \sin\varphi + b_j \cos\varphi)$ with $\varphi = p \cdot 10000^{-2j/D}$, $j = 0, \dots, D/2 - 1$.
#
# Example: `rotary(torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([1]))` is `[[[[0.5403, 0.8415]]]]`: cosine and sine of 1.
#
# <details><summary>Hint 1</summary>Angles have the shape (T, D/2): positions as a column times frequencies as a row.</details>
# <details><summary>Hint 2</summary><code>x[..., :D // 2]</code> and <code>x[..., D // 2:]</code> are a and b; join the two new halves with <code>torch.cat(..., -1)</code>.</details>


# %%
@check
def rotary(x: Tensor, positions: Tensor) -> Tensor:
    """(B, heads, T, D), (T,) -> (B, heads, T, D)."""
    ### BEGIN SOLUTION
    half = x.shape[-1] // 2
    frequencies = 10_000 ** (-torch.arange(half, dtype=x.dtype, device=x.device) / half)
    angles = positions[:, None] * frequencies
    a, b, cos, sin = x[..., :half], x[..., half:], angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    ### END SOLUTION


# %%
q, k = torch.randn(2, 1, 1, 1, 16, generator=rng, dtype=torch.float64)
near, far = ((rotary(q, torch.tensor([m])) * rotary(k, torch.tensor([n]))).sum() for m, n in ((5, 3), (105, 103)))
report("products two places apart, here and 100 places later: off by", (near - far).abs(), claimed=0, tolerance=1e-10)

# %% [markdown]
# ## 5 One layer that trains, reads a prompt and takes single steps
#
# The key and value of a position depend on it and on earlier positions only.
# While we draw a text they never change, so we keep them: this is the **cache**.
# New positions compute their own queries, keys and values and look at the cache as well.
# Feed a sequence in pieces of any size, each with the cache of the pieces before, and you get the rows of the whole:
#
# $$f(x_{1:T}) = \big[\,f(x_{1:m};\, \varnothing),\ f(x_{m+1:T};\, K_{1:m}, V_{1:m})\,\big] \tag{7.7}$$
#
# Pieces of one position are *decoding*; one large piece is *reading a prompt*; the whole sequence is *training*.

# %% [markdown]
# **Exercise 4 · `self_attention`** · ●●● · 25 minutes
#
# Build the layer that does all three. The network below trains through it.
#
# - `x`: `(B, m, C)`, what the layer reads at $m$ new positions. `heads` divides $C$.
# - `w_qkv`: `(3C, C)`. Its output holds queries, keys and values in this order, the heads of each one after the other. `w_out`: `(C, C)`, applied to the joined heads.
# - `past`: `None`, or keys (already turned) and values of $t$ earlier positions, each `(B, heads, t, C / heads)`. It must stay as it is.
# - Returns `(y, (keys, values))`: the outputs `(B, m, C)`, and keys and values of all $t + m$ positions.
# - New position $r$ is position $t + r$: turn its query and key with `rotary` accordingly, and let it see positions $0$ to $t + r$. The root in (7.2) is that of the features of *one* head.
#
# Example: `self_attention(torch.ones(1, 1, 2), torch.ones(6, 2), torch.eye(2), 1)[0]` is `[[[2.0, 2.0]]]`: a single position hears its own value.
#
# <details><summary>Hint 1</summary><code>F.linear(x, w_qkv).unflatten(-1, (3, heads, -1))</code> has the shape (B, m, 3, heads, D). Move the axes so that you can unpack q, k, v of shape (B, heads, m, D).</details>
# <details><summary>Hint 2</summary>The new keys go behind the old ones: <code>torch.cat([past[0], k], 2)</code>.</details>
# <details><summary>Hint 3</summary>Which keys may row r see? <code>torch.ones(m, t + m, dtype=torch.bool).tril(t)</code>; <code>F.scaled_dot_product_attention(q, k, v, attn_mask=...)</code> takes it.</details>


# %%
@check
def self_attention(
    x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(B, m, C) -> (B, m, C), and keys and values of all positions so far."""
    ### BEGIN SOLUTION
    q, k, v = F.linear(x, w_qkv).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    t, m = 0 if past is None else past[0].shape[2], x.shape[1]
    positions = torch.arange(t, t + m, device=x.device)
    q, k = rotary(q, positions), rotary(k, positions)
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    sees = torch.ones(m, t + m, dtype=torch.bool, device=x.device).tril(t)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=sees)
    return F.linear(y.transpose(1, 2).flatten(2), w_out), (k, v)
    ### END SOLUTION


# %%
x, w_qkv, w_out = (torch.randn(*size, generator=rng, dtype=torch.float64) for size in ((2, 7, 8), (24, 8), (8, 8)))
whole, _ = self_attention(x, w_qkv, w_out, 2)
past, rows = None, []
for piece in x.split((3, 1, 2, 1), 1):
    y, past = self_attention(piece, w_qkv, w_out, 2, past)
    rows.append(y)
difference = (torch.cat(rows, 1) - whole).abs().max()
report("pieces of 3, 1, 2 and 1 against the whole", difference, claimed=0, tolerance=1e-10)

# %% [markdown]
# What does this cost?
# A product with a matrix of $d \times d$ numbers takes $2d^2$ operations per position.
# A layer of width $d$ has $12d^2$ numbers in its matrices (4 for attention, 8 for a network that is four times as wide), and attention adds $2d$ operations for each key and $2d$ for each value.
# With all $T$ products computed, as in training, a token costs per layer
#
# $$24\,d^2 + 4\,T d \quad \text{operations} \tag{7.8}$$
#
# For $d = 96$ the matrices outweigh attention until $T = 6d = 576$ characters.
#
# A cache grows with every character.
# A **window** of $w$ positions bounds it, and since one query asks all keys alike, their order in memory does not matter:
#
# $$\sum_s a_{ts} v_s \ \text{is the same for every order of the pairs } (k_s, v_s), \qquad \text{reach of } N \text{ layers} = 1 + N\,(w - 1) \tag{7.9}$$
#
# Each layer reaches $w - 1$ positions further back.
# A ring of $w$ slots is therefore enough: each new key overwrites the oldest, as in lesson 06.
# The library's transformer does this, and an audit checks that it forgets exactly what it should:

# %%
windowed = CharTransformer((64,), 96, width=16, layers=3, heads=2, window=4, taps=0)
report("reach of 3 layers with a window of 4", windowed.reach, claimed=10, tolerance=0, exact=True)
report("the audit finds a memory that is too long", int(not forgets(windowed)), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# ## 6 The whole model, trained on your layer
#
# A transformer is a stream of features `(B, T, C)` to which layers add.
# Each block adds attention, and then the output of a small network that works on every position alone.
# Before each of them, the features are divided by the root of their mean square (*RMSNorm*).
#
# Two choices speed up training at this size.
# Without either of them (`taps=0` or `muon=None`), 600 steps end more than 0.2 nats higher (one run each, at the same learning rate).
# First, attention needs many steps to learn to look at the neighbor, so three causal taps (a convolution, as in lesson 04, with one weight per feature) add the three characters before the newest one.
# Second, the matrices in the blocks are trained by **Muon** (Jordan et al., 2024): the singular values of its momentum step are nearly equal, so that every direction of a matrix is trained.


# %%
WIDTH = 64  # features of a position


class Block(nn.Module):
    """x + attention(norm x), then x + network(norm x); both outputs begin at zero."""

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def attend(self, h: Tensor) -> Tensor:
        return self_attention(h, self.qkv.weight, self.out.weight, self.heads)[0]

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.attend(F.rms_norm(h, h.shape[-1:]))
        return h + self.down(F.relu(self.up(F.rms_norm(h, h.shape[-1:]))).square())


# %%
class MyTransformer(SequenceModel):
    """A small transformer over characters that runs on self_attention; position t reads the characters before it."""

    def __init__(
        self, length: int, levels: int, *, block: type = Block, layers: int = 2, heads: int = 2, taps: int = 3
    ):
        super().__init__((length,), levels)
        self.embed = nn.Embedding(levels + 1, WIDTH)  # one more: the beginning
        self.taps = nn.Parameter(torch.zeros(taps, WIDTH))
        self.blocks = nn.ModuleList(block(heads) for _ in range(layers))
        self.read_out = nn.Linear(WIDTH, levels, bias=False)
        nn.init.zeros_(self.read_out.weight)  # the model begins by knowing nothing

    def logits(self, tokens: Tensor) -> Tensor:
        """(B, T) tokens -> (B, T, levels), where row t predicts token t + 1."""
        h = e = self.embed(tokens)
        for back, tap in enumerate(self.taps[: tokens.shape[1] - 1], 1):
            h = h + tap * F.pad(e[:, :-back], (0, 0, back, 0))
        for block in self.blocks:
            h = block(h)
        return self.read_out(F.rms_norm(h, h.shape[-1:]))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.head.of(self.logits(self.shifted(x)))


# %%
def loss(model: MyTransformer, x: Tensor, y: Tensor) -> Tensor:
    """Nats per window."""
    tokens = F.pad(x, (1, 0), value=model.levels)  # the beginning, then the characters
    return next_token_loss(model.logits(tokens), tokens).mean() * x.shape[1]


windows = load("pydoc", "train", length=64, stride=1)  # a window at every character
seed(0)
model = MyTransformer(64, 96)
report("untrained, perplexity", (loss(model, train.x[:4, :64], None) / 64).exp().item(), claimed=96, tolerance=1e-3)
result = causality(model.double(), (9,), levels=96)
report("the audit of lesson 02 finds a leak", int(not result), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# Now train it: 600 steps of 16 windows, in some twenty seconds.
# How many nats per character will it reach on validation text?

# %%
guess("our transformer after 600 steps", ...)


# %%
def trained(model: SequenceModel, steps: int, label: str) -> SequenceModel:
    fit(model, windows, loss=loss, steps=steps, batch_size=16, lr=4e-3, muon=0.02, ema=0.98, label=label)
    return model


model = trained(model.float(), budget(smoke=3, quick=600, full=6000), "transformer")


# %%
def scores(model: SequenceModel, data: object = validation) -> Tensor:
    """log p of every character that has at least CONTEXT characters before it."""
    return log_probs_in_context(model, data, CONTEXT)


mine = -scores(model).mean()
report("our transformer after 600 steps", mine, claimed=1.50, tolerance=0.06, unit="nats")

# %% [markdown]
# ## 7 The ladder
#
# Our network has read $600 \cdot 16 \cdot 64$ characters, twice the training text, and the table has counted each character once.
# Still, the table wins, on a test that is hard for our network: trained on windows of 64, it is scored at places 65 to 128, which it has never seen.
# A larger network does better: the recorded transformer of section 1 has 351,264 parameters and took 1,500 steps with windows of 128 (`garm train char_transformer --data pydoc`).
# Beside it stands a recorded **LSTM** (lesson 03) with 575,840 parameters, 1,000 steps and windows of 64 (`garm train token_lstm --data pydoc`).
# Both are the best of three seeds on validation text, and the runs differ in size, steps and windows, so the ladder says what was reached, not which idea is better.
#
# Two models can also be **mixed**: with weight $\lambda$ on the network and $1 - \lambda$ on the table,
#
# $$-\ln\big(\lambda p + (1 - \lambda) q\big) \le \min\big(-\ln p - \ln \lambda,\ -\ln q - \ln(1 - \lambda)\big) \tag{7.10}$$
#
# since the sum is at least each of its two terms.
# So a mixture never costs more than $-\ln\lambda$ nats above the network at any character, and where one model is surprised and the other is not, it saves much more.
# We choose $\lambda$ on validation text.

# %%
table = NGram((128,), 96, order=4).fit_counts(train.tokens)
lstm = load_pretrained("token_lstm-pydoc")
found = {name: scores(m) for name, m in (("table", table), ("LSTM", lstm), ("transformer", network))}


def mixed(a: Tensor, b: Tensor, weight: float) -> Tensor:
    return torch.logaddexp(a + math.log(weight), b + math.log(1 - weight))


weight = max((0.5, 0.6, 0.7, 0.8, 0.9), key=lambda w: mixed(found["transformer"], found["table"], w).mean().item())

# %%
rungs = {
    "equally likely": (math.log(96), "table"),
    "table, 1 character before": (nats[1], "table"),
    "table, 2 characters": (nats[2], "table"),
    "table, 4 characters": (nats[4], "table"),
    "zlib": (alone["zlib"], "compressor"),
    "bzip2": (alone["bz2"], "compressor"),
    "bzip2 after the training text": (after["bz2"], "compressor"),
    "our transformer": (mine.item(), "network"),
    "recorded LSTM": (-found["LSTM"].mean().item(), "network"),
    "recorded transformer": (-found["transformer"].mean().item(), "network"),
    "transformer and table": (-mixed(found["transformer"], found["table"], weight).mean().item(), "both"),
}
lesson07.file_sizes(
    rungs,
    len(validation.text),
    title="On validation text, four minutes of training beat every table, and bzip2 too",
    alt="Bars of file sizes for the validation text. From the longest: equally likely characters, tables of 1 and 2 "
    "characters, zlib and bzip2 alone; then our transformer near the table of 4 characters, the LSTM, bzip2 after the "
    "training text, the recorded transformer, and, shortest, transformer and table together.",
)

# %% [markdown]
# Compare models on the same characters.
# Neighboring characters are not independent, so errors come from blocks of 2,000 characters.
# Then we look once at the test text, which is *another* part of the manual and harder for everybody: never set a validation number beside a test number.

# %%
for name, data, claimed, tolerance in (("validation", validation, -0.23, 0.04), ("test", test, -0.29, 0.06)):
    difference = paired(network, table, data, context=CONTEXT)
    report(f"{name}: transformer minus table", difference.nats, claimed=claimed, tolerance=tolerance, unit="nats")
    print(f"standard error over blocks ≈ {difference.stderr:.3f} nats")
unseen = {"network": scores(network, test), "both": mixed(scores(network, test), scores(table, test), weight)}
report("test: transformer", -unseen["network"].mean(), claimed=1.413, tolerance=0.06, unit="nats")
report("test: transformer and table", -unseen["both"].mean(), claimed=1.357, tolerance=0.06, unit="nats")
report("test: bzip2 after the training text", compressors(test.text, train.text)["bz2"] * math.log(2), claimed=1.34,
       tolerance=0.005, unit="nats")  # fmt: skip

# %% [markdown]
# On validation text the recorded transformer beats bzip2; on test text it does not, and with the table it comes close.
# A likely reason: the network generalizes, the table remembers short strings exactly, and bzip2 reuses long ones.
#
# ## 8 What does the network look at?
#
# The first picture shows the attention of all heads on one line: each row is a character to predict, and dark columns are where the head looks.
# Look for heads that stay near the diagonal (the newest character), and for a head that finds the open bracket in the last row.

# %%
snippet = "object.__len__(self)"
lesson07.attention_maps(
    [layer[0] for layer in network.attention(validation.encode(snippet)[None])],
    snippet,
    title="In layer 3, head 3, the closing bracket finds the open one",
    alt="Nine squares of attention, three layers of three heads, over the line object.__len__(self). In layer 2 dark "
    "places keep near the diagonal. In the last row of layer 3, head 3, which predicts the closing bracket, the "
    "column of the open bracket is by far the darkest.",
)

# %%
x, token = validation.x[:100], validation.vocabulary.index
looks = network.attention(x)
local = max(sum(layer.diagonal(-back, -2, -1)[..., 64:].mean((0, 2)) for back in range(4)).max() for layer in looks)
report("weight of the last four characters, most local head", local, claimed=0.5, tolerance=0.05)
opened = torch.where(x == token("("), torch.arange(128), -1).cummax(1).values[:, :-1]  # the last one so far
far, closes = (opened >= 0) & (torch.arange(1, 128) - opened > 4), x[:, 1:] == token(")")
weights = looks[2][:, 2, 1:].gather(-1, (opened + 1)[..., None])[..., 0]  # column s has read character s - 1
report("weight on the open bracket, where one closes", weights[far & closes].mean(), claimed=0.27, tolerance=0.05)
print(f"its weight on the last open bracket at all other characters ≈ {weights[far & ~closes].mean():.2f}")

# %% [markdown]
# Heads divide the work.
# The most local one gives half of its weight to the last four characters.
# Head 3 of layer 3 watches the last open bracket: five or more characters later, it gives the bracket a quarter of its weight where a bracket closes, and far less elsewhere.
# No table of four characters can do that.
#
# The second shows what context is worth: nats by place in a window of 128 characters.

# %%
by_place = -torch.cat([network.position_log_probs(x) for x in validation.x.split(64)]).detach().mean(0)
show.curves(
    {"recorded transformer": (range(1, 129), by_place)},
    baselines={"places 65 to 128": by_place[64:].mean().item()},
    xlabel="place in the window",
    ylabel="nats per character",
    title="The first few characters of a window pay for having no past",
    alt="Nats per character against the place in the window: 3.1 at the first place, below 1.6 from the fifth place "
    "on, then up and down around 1.15.",
)
report("characters 65 to 128", by_place[64:].mean(), claimed=1.14, tolerance=0.08, unit="nats")

# %% [markdown]
# So a likelihood of text belongs to a window length: over windows of 128 from their first character on, this model costs ≈ 1.216 nats, and with 64 characters of context ≈ 1.16.
# That is why every number of the ladder was measured in context.
#
# ## 9 Use it: continue, sharpen, constrain
#
# All sampling of lesson 06 works on text without new code.
# A **prompt** is read in one pass, then characters are drawn one by one.
# Two numbers judge such text better than the eye: **novelty**, the share of strings of eight characters that never occur in the training text, and **repetition**, the share that already stood in the same sample.
# Held-out text gives the yardstick.

# %%
prompt = "The assignment statement "
given = validation.encode(prompt)
size = budget(smoke=60, quick=300, full=300)


def written(n: int, **options) -> list[str]:
    x = network.sample(n, length=size, given=given, rng=seed(1), **options)
    return [validation.decode(row) for row in x]


texts = {t: written(budget(smoke=2, quick=16, full=64), temperature=t) for t in (0.5, 0.75, 1.0, 1.25, 1.5)}
drawn_texts = {t: [text[len(prompt) :] for text in texts[t]] for t in texts}  # without the prompt
own = size - len(prompt)
pieces = [test.text[i : i + own] for i in range(0, 16 * own, own)]
values = {t: (novelty(drawn_texts[t], train.text).value, repetition(drawn_texts[t]).value) for t in texts}
yardstick = novelty(pieces, train.text).value, repetition(pieces).value
report("novelty of held-out text", yardstick[0], claimed=0.5, tolerance=0.15)
for t, claimed in ((0.5, 0.2), (1.0, 0.5), (1.5, 0.75)):
    report(f"novelty at temperature {t}", values[t][0], claimed=claimed, tolerance=0.15)
report("repetition of held-out text", yardstick[1], claimed=0.13, tolerance=0.05)
report("repetition at temperature 1", values[1.0][1], claimed=0.01, tolerance=0.03)

# %% [markdown]
# Move the slider through the temperatures; the text is the first draw at each, not selected.

# %% tags=["exact"]
lesson07.temperatures({t: texts[t][0] for t in texts}, values, held_out=yardstick, prompt=prompt)

# %% [markdown]
# At temperature 1 the samples are about as new as held-out text, but the manual repeats itself far more.
# Colder samples are less new and repeat themselves more; hotter samples are new because they are noise.
#
# **A grammar.** Some texts must obey a rule: a date, or brackets that close.
# A finite automaton says which characters may come next so that the text can still end correctly, and the sampler draws among these.
# Let $m_t$ be the probability that the model gives to all allowed characters together at step $t$.
# The sampler divides by it, so it draws from
#
# $$q(x) = \frac{p(x)}{\prod_t m_t(x)}, \qquad \mathbb E_{q}\Big[\prod_t m_t\Big] = \sum_{x \in A} p(x) = P(A), \qquad p(x \mid A) = \frac{q(x) \prod_t m_t(x)}{P(A)} \tag{7.11}$$
#
# So $q$ is *not* the model's distribution given the set $A$ of texts that obey the rule: a beginning after which the model rarely obeys is drawn too often.
# The weights $\prod_t m_t$ repair this.
# Check it by enumeration, with four characters from an alphabet of three, where 2 must not follow 2 and the text must not end with 0:

# %%
small = NGram((4,), 3, order=1).fit_counts(torch.randint(3, (30,), generator=seed(4)))
#                        after:  0  1  2    the states: nothing or a 0, a 1, a 2
rule = Automaton(torch.tensor([[0, 1, 2], [0, 1, 2], [0, 1, -1]]), torch.tensor([False, True, True]))
words = [w for w in itertools.product(range(3), repeat=4) if w[-1] and (2, 2) not in itertools.pairwise(w)]
exact = small.log_prob(torch.tensor(words)).exp()
n = budget(smoke=200, quick=20_000, full=200_000)
drawn = small.sample(n, allowed=rule, rng=seed(0))
mass = drawn.log_mass.exp().double()
report("P(A) from the weights of the draws", mass.mean(), claimed=round(exact.sum().item(), 4), tolerance=0.006)
index = {word: i for i, word in enumerate(words)}
which = torch.tensor([index[tuple(row)] for row in drawn.x.tolist()])
plain = torch.bincount(which, minlength=len(words)) / n
repaired = torch.zeros(len(words)).double().index_add(0, which, mass) / mass.sum()
distance = [0.5 * (share - exact / exact.sum()).abs().sum() for share in (plain, repaired)]
report("weights bring the draws closer to p(x | A)", int(distance[1] < distance[0]), claimed=1, tolerance=0, exact=True)

# %% [markdown]
# Now on text: continue `print(` on one line so that all brackets are closed at the end, with at most three open (draws from $q$, not reweighted).

# %% tags=["exact"]
follows = torch.arange(4)[:, None].repeat(1, 96)
follows[:, token("(")] = torch.tensor([1, 2, 3, -1])
follows[:, token(")")] = torch.tensor([-1, 0, 1, 2])
follows[:, token("\n")] = -1
balanced = Automaton(follows, torch.arange(4) == 0)
start = validation.encode("print(")
calls = network.sample(budget(smoke=2, quick=8, full=8), length=40, given=start, allowed=balanced, rng=seed(3))
for row in calls.x[:4]:
    print(validation.decode(row))
broken = sum(validation.decode(row).count("(") != validation.decode(row).count(")") for row in calls.x)
report("lines with an open bracket", broken, claimed=0, tolerance=0, exact=True)

# %% [markdown]
# **Speculation.** In lesson 06 a cheap draft guessed and the model checked several guesses in one pass, without changing the distribution.
# The table of four characters is a draft that costs next to nothing.

# %%
run = speculative.sample(network, table, 1, length=budget(smoke=30, quick=300, full=300), block=6, rng=seed(0))
print(f"characters per pass of the transformer ≈ {run.x.shape[1] / run.passes:.1f}, accepted ≈ {run.accepted:.2f}")
report("more than 1.5 characters a pass", int(run.x.shape[1] / run.passes > 1.5), claimed=1, tolerance=0, exact=True)

# %% [markdown]
# **Compression.** The coder of lesson 05 takes any autoregressive model, so it takes this one: 16 windows of test text, and back.

# %%
chunk = test.x[:: len(test.x) // budget(smoke=2, quick=16, full=64)]
stream = compress(network, chunk)
ideal = -network.log_prob(chunk).sum().item() / math.log(2)
report("bits of the stream over those of the model", sum(stream.bits) / ideal, claimed=1, tolerance=0.01)
same = torch.equal(decompress(network, stream.data), chunk)
report("windows come back bit for bit", int(same), claimed=1, tolerance=0, exact=True)

# %% [markdown]
# ## 10 The same layers draw digits
#
# The library's [`PixelTransformer`](../garm_course/autoregressive/transformer.py) reads the 64 pixels of a digit in raster order; each position sees its neighbors left and above as inputs, and each head has a bias for every displacement.
# On the ladder of lessons 02 to 05 it stands here (`garm train pixel_transformer --data digits`, three seeds); PixelCNN++ and the recurrent GRU reach slightly lower means in less processor time:

# %%
show.likelihood_ladder(
    recorded_on("digits", lesson=7), highlight=["pixel_transformer"],
    title="A transformer over pixels comes close to PixelCNN++ and the GRU",
)  # fmt: skip

# %%
pixels = recorded("pixel_transformer-digits")
report("transformer over pixels, validation", pixels["validation"]["nats"], claimed=79.04, tolerance=0.05, unit="nats")
report("transformer over pixels, test", pixels["test"]["nats"], claimed=78.73, tolerance=0.05, unit="nats")
digits = load_pretrained("pixel_transformer-digits")
show.panels(
    {
        "training digits": load("digits", "train").x[:16],
        "transformer": digits.sample(16, rng=seed(0)),
        "PixelCNN": load_pretrained("pixelcnn-digits").sample(16, rng=seed(0)),
    },
    levels=17,
    title="The first sixteen of each",
    alt="Three grids of sixteen 8 by 8 digits: training digits, samples of the transformer, and of the PixelCNN. "
    "Most samples of both models can be read.",
)

# %% [markdown]
# ## 11 Break it
#
# Move the mask by one, so that each position also sees the next one.
# One character in the code is wrong, and nothing crashes:


# %%
class Leaky(Block):
    """A mask that is off by one."""

    def attend(self, h: Tensor) -> Tensor:
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = (rotary(t, torch.arange(h.shape[1])) for t in (q, k))
        sees = torch.ones(h.shape[1], h.shape[1], dtype=torch.bool).tril(1)  # tril(0) would be right
        return self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=sees).transpose(1, 2).flatten(2))


seed(0)
leaky = trained(MyTransformer(64, 96, block=Leaky), budget(smoke=3, quick=150, full=1500), "leaky")
report("half a nat below every honest model", int(-scores(leaky).mean() < 0.63), claimed=1, tolerance=0, exact=True)
print(str(causality(leaky, (9,), levels=96)).splitlines()[0])
babble = leaky.sample_naive(budget(smoke=2, quick=8, full=8), length=60, rng=seed(0))
report("its samples cost more than 3 nats under the honest model",
       int(-model.log_prob(babble).mean() / 60 > 3), claimed=1, tolerance=0, exact=True)  # fmt: skip

# %% [markdown]
# The loss falls far below that of every honest model, because the answer is among the inputs.
# The samples are noise, because the next character is not there yet to be copied.
# Three alarms went off: a likelihood far below a strong compressor's, an audit that names the position, and samples that do not fit their likelihood.
#
# ## 12 Check yourself
#
# 1. On the same text, one model reports a perplexity of 20 over tokens of about four characters, another model 3 over characters. Which is better?
#
# <details><summary>Answer</summary>Per character the first one costs ln 20 / 4 = 0.75 nats, the second ln 3 = 1.10 nats. Perplexities compare only over the same units; bits per byte compare whenever the text is the same.</details>
#
# 2. You train with dropout and forget to switch it off when you fill the cache. What breaks?
#
# <details><summary>Answer</summary>Equation (7.7): the kept keys and values are those of another random network than the one that asks. Nothing crashes; the likelihood of what is drawn gets worse.</details>
#
# 3. Why may keys be turned before they are cached, although the query that will ask them is not known yet?
#
# <details><summary>Answer</summary>By (7.6) the product depends on the difference of the two positions, and each vector is turned by its own position only.</details>
#
# 4. A window of 64 in each of 4 layers: can the model use a bracket that was opened 200 characters ago?
#
# <details><summary>Answer</summary>Yes: the reach is 1 + 4 · 63 = 253 inputs. What is 200 characters away arrives through positions in between, if they have learned to pass it on.</details>

# %% [markdown]
# ## Take-aways
#
# - Attention is a weighted average of values, with weights from products of queries and keys, divided by the root of the number of features.
# - Order enters by turning queries and keys; products then depend on distances only, and a cache may keep turned keys.
# - One layer trains, reads prompts and takes steps: pieces of any size give the rows of the whole.
# - Nats, bits, perplexity and file sizes say the same, if window, context and split are named; tables and compressors are serious opponents.
#
# ## Your turn
#
# Get below 1.40 nats on the *test* text, in context, with at most 60 seconds of processor time on one thread; any model, no compressor.
# Choose everything on validation text, and look at the test text once.
#
# ## Where next
#
# Attention began inside a recurrent translator (Bahdanau et al., 2014, arXiv [1409.0473](https://arxiv.org/abs/1409.0473)).
# GPT-2 and GPT-3 are much larger causal transformers with learned positions (Radford et al., 2019; Brown et al., 2020, arXiv [2005.14165](https://arxiv.org/abs/2005.14165)); they predict tokens of several characters.
# FlashAttention computes (7.2) exactly with less memory traffic (Dao et al., 2022, arXiv [2205.14135](https://arxiv.org/abs/2205.14135)); grouped queries shrink the cache (Ainslie et al., 2023, arXiv [2305.13245](https://arxiv.org/abs/2305.13245)); state spaces replace it by a state of fixed size (Gu and Dao, 2023, Mamba, arXiv [2312.00752](https://arxiv.org/abs/2312.00752)).
# Without any positions a causal transformer still learns some order from its mask (Haviv et al., 2022, arXiv [2203.16634](https://arxiv.org/abs/2203.16634)).
# On grammars: Willard and Louf, 2023, arXiv [2307.09702](https://arxiv.org/abs/2307.09702), and on (7.11) Park et al., *Grammar-Aligned Decoding*, NeurIPS 2024, arXiv [2405.21047](https://arxiv.org/abs/2405.21047).
# Muon: Jordan et al., 2024, kellerjordan.github.io/posts/muon; Liu et al., 2025, arXiv [2502.16982](https://arxiv.org/abs/2502.16982).
# On images: Parmar et al., *Image Transformer*, ICML 2018, arXiv [1802.05751](https://arxiv.org/abs/1802.05751); Chen et al., *Generative Pretraining from Pixels*, ICML 2020.
#
# Next: [lesson 08](08_wavenet.ipynb) replaces attention by dilated convolutions, and text by sound.

# %%
claims()
