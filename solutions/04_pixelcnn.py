# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · PixelCNN
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/04_pixelcnn.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F04_pixelcnn.ipynb)
#
# **How can one pass of convolutions predict every pixel of an image, when no pixel may see itself or what comes after it?**
#
# | | |
# |---|---|
# | Time | 75 minutes; the cells run in under a minute |
# | Before this | Python, PyTorch modules, probabilities; [lesson 00](00_start_here.ipynb) shows how exercises work. The chain rule of [lesson 02](02_chain_rule.ipynb) is repeated in one paragraph |
# | Afterwards you can | *derive* the masks and the blind spot, *implement* a two-stack gated layer, *diagnose* a leaking mask, *compare* models by exact likelihood, *complete* half an image |
# | Papers | van den Oord, Kalchbrenner, Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016, arXiv [1601.06759](https://arxiv.org/abs/1601.06759) · van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu, *Conditional Image Generation with PixelCNN Decoders*, NIPS 2016, arXiv [1606.05328](https://arxiv.org/abs/1606.05328) |

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
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course import (
    budget, check, claims, fit, guess, load, load_pretrained, recorded, recorded_on, recorded_study, report, seed, show,
)  # fmt: skip
from garm_course.autoregressive import GatedPixelCNN, PixelCNN
from garm_course.autoregressive.layers import CausalConv2d
from garm_course.distributions import Bernoulli
from garm_course.evaluation import (
    all_examples, baselines, calibration, causality, evaluate, kl_to_model, normalization, paired, receptive_field,
)  # fmt: skip

# %% [markdown]
# ## 1 The question, in pictures
#
# The data of this lesson are real: 1,797 handwritten digits of 8 x 8 pixels with 17 gray levels (a pixel counts black dots, 0 to 16). We train on
# 1,257 of them and make every choice on 180 others, the *validation* split. The remaining 360 are the *test* split: it is looked at once, when a result is recorded. Look at how much one pixel tells about its neighbors.

# %%
train, validation = load("digits", "train"), load("digits", "validation")
show.grid(
    train.x, levels=17, title="Strokes are connected: neighbors predict each other",
    alt="The first 16 training digits, 8 by 8 pixels each, with strokes two or three pixels wide.",
)  # fmt: skip

# %% [markdown]
# A generative model of images is a probability $p(x)$ for every image $x$. With $D = 64$ pixels of 17 levels there are $17^{64}$ images, far too many for
# a table. The chain rule turns this into 64 small questions, exactly and for any fixed order of the pixels: $\log p(x) = \sum_{i=1}^{D} \log p(x_i \mid x_1, \dots, x_{i-1})$.
# We take *raster order*: row by row, left to right.
#
# So a network has to answer 64 questions, each from a different part of the image. A convolutional network answers all positions in
# one pass, which is tempting. **Try the naive thing first:** an ordinary convolutional network that receives the image and predicts,
# for each pixel, which of the 17 levels it has. This is also the whole training loop, once, in the open.

# %%
net = nn.Sequential(nn.Conv2d(17, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 17, 1))


def naive_logits(x: Tensor) -> Tensor:
    return net(F.one_hot(x[:, 0], 17).movedim(-1, 1).float())  # (B, 17, 8, 8)


rng = seed(0)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
for _ in range(budget(smoke=2, quick=200, full=200)):
    x = train.x[torch.randint(len(train), (64,), generator=rng)]  # (64, 1, 8, 8)
    loss = F.cross_entropy(naive_logits(x), x[:, 0], reduction="none").sum((1, 2)).mean()  # nats per image
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% [markdown]
# The loss is the negative log-likelihood (NLL) in **nats per image**: summed over pixels, averaged over images. For scale: predicting each pixel from its own histogram
# costs about 108 nats on the validation split, one histogram per class about 100.

# %%
floor_of_sense = baselines(train, validation)
for name, figure in floor_of_sense.items():
    print(f"{name:16s} {figure}")
with torch.no_grad():
    nll = F.cross_entropy(naive_logits(validation.x), validation.x[:, 0], reduction="none").sum((1, 2)).mean().item()
report("validation NLL of the naive network", nll, claimed=0.1, tolerance=0.1, unit="nats")

# %% [markdown]
# Nearly 0 nats: it claims to be certain of every pixel of images that it has never seen. A number that is too good is a reason to look, so we **draw** from it, in raster order:
# each pixel from its predicted distribution, given the pixels drawn so far. Before reading on: what will it draw?

# %%
x = torch.zeros(16, 1, 8, 8, dtype=torch.long)
with torch.no_grad():
    for r in range(8):
        for c in range(8):
            x[:, 0, r, c] = torch.multinomial(naive_logits(x)[:, :, r, c].softmax(1), 1, generator=rng)[:, 0]
show.grid(
    x, levels=17, title="The network that scored best draws nothing",
    alt="16 samples of the naive network: almost every pixel is empty, no digit can be seen.",
)  # fmt: skip

# %% [markdown]
# It learned to copy. Each prediction sees the very pixel that it predicts; while drawing, that pixel is still empty, so it predicts *empty*. The course has a tool that
# finds such leaks in any function, by changing one pixel at a time and watching which predictions move. It wants parameters per pixel, levels last, hence the change of axes:

# %%
def naive_params(x: Tensor) -> Tensor:
    return naive_logits(x).movedim(1, -1)[:, None]  # (B, 1, 8, 8, 17)


print(causality(naive_params, shape=(1, 8, 8), levels=17))

# %% [markdown]
# The rest of this lesson makes a convolution that cannot cheat.
#
# ## 2 A kernel that sees only the past
#
# **Step 1: which taps of a kernel are in the past?** Center a $k \times k$ kernel at a pixel. In raster order the rows above the center come earlier, and so do the pixels to its left in the same row. A mask
# keeps those taps and zeros the others. *Kind A* drops the center, *kind B* keeps it. With $m = (k-1)/2$ and tap $(u, v)$, counted from 0,
#
# $$M^{\text{A}}_{uv} = \begin{cases} 1 & u < m \ \text{ or } \ (u = m \text{ and } v < m) \\ 0 & \text{otherwise,} \end{cases}
# \qquad \sum_{u,v} M^{\text{A}}_{uv} = \frac{k^2-1}{2}, \qquad \sum_{u,v} M^{\text{B}}_{uv} = \frac{k^2+1}{2} \tag{4.1}$$
#
# The count is right because a $180°$ turn maps every tap before the center to one after it, so half of the $k^2 - 1$ others are before it.

# %% [markdown]
# **Exercise 1 · `conv_mask`** · ●○○ · 5 minutes
#
# Write the mask of equation (4.1). Every causal convolution of this lesson is built on it.
#
# - `k`: an odd kernel size, at least 3. `kind`: `"A"` (center hidden) or `"B"` (center kept).
# - Returns a torch tensor `(k, k)` of 0 and 1; any dtype will do.
#
# Example: `conv_mask(3, "A")` is `[[1, 1, 1], [1, 0, 0], [0, 0, 0]]`.
#
# <details><summary>Hint 1</summary>Start from zeros. Two slices set everything that comes before the center: the rows above, and the left part of the middle row.</details>
# <details><summary>Hint 2</summary>The middle is at index <code>k // 2</code>. Only the center itself differs between the two kinds.</details>

# %%
@check
def conv_mask(k: int, kind: str) -> Tensor:
    """(k, k) mask of 0 and 1 in raster order; kind "A" hides the center, "B" keeps it."""
    ### BEGIN SOLUTION
    mask = torch.zeros(k, k)
    mask[: k // 2] = 1
    mask[k // 2, : k // 2] = 1
    if kind == "B":
        mask[k // 2, k // 2] = 1
    return mask
    ### END SOLUTION

# %%
for k in (3, 5, 7):
    a, b = int(conv_mask(k, "A").sum()), int(conv_mask(k, "B").sum())
    print(f"{k}x{k}: kind A has {a} ones, kind B {b}; (4.1) says {(k * k - 1) // 2} and {(k * k + 1) // 2}")
report("ones in a 7x7 mask of kind A", int(conv_mask(7, "A").sum()), claimed=24, tolerance=0, exact=True)

# %%
show.masks(
    {"kind A, first layer": conv_mask(5, "A"), "kind B, all others": conv_mask(5, "B")},
    title="The two kinds differ in the center only",
    alt="Two 5 by 5 masks: 12 ones before the center in kind A, 13 in kind B, which keeps the center.",
)  # fmt: skip

# %% [markdown]
# **Step 2: why two kinds?** The first layer reads pixels, so it must not read the pixel that it predicts: kind A. What it puts out at a pixel is a feature of *earlier* pixels only.
# From the second layer on, the feature at the center is harmless and useful: kind B.
#
# **Step 3: do not compute with zeros.** Multiplying weights by a mask wastes about half of the arithmetic. The library's `CausalConv2d` holds only the taps that are known: one kernel for the
# rows above, `above` (c_out, c_in, 2, 5) here, and one for the current row, `row` (c_out, c_in, 1, 2 or 3). Check that this is the same function:

# %%
x = torch.randn(4, 2, 6, 9, dtype=torch.float64)
for kind in ("A", "B"):
    conv = CausalConv2d(2, 3, 5, kind).double()
    taps = conv.row.shape[-1]  # 2 for kind A, 3 for kind B
    dense = torch.randn(3, 2, 5, 5, dtype=torch.float64)  # what the mask hides may be anything
    with torch.no_grad():
        dense[:, :, :2], dense[:, :, 2, :taps] = conv.above, conv.row[:, :, 0]
        masked = F.conv2d(x, dense * conv_mask(5, kind), conv.bias, padding=2)
        same = torch.allclose(masked, conv(x), atol=1e-12)
    print(f"kind {kind}: equal {same}, with {conv.above[0, 0].numel() + taps} of 25 multiplications")

# %% [markdown]
# **PixelCNN** is one kind A layer, then blocks with kind B kernels, then two 1 x 1 convolutions that put out 17 numbers per pixel. An untrained one is causal already, because causality is a
# property of the wiring and not of the weights:

# %%
pixelcnn = PixelCNN((1, 8, 8), levels=17, channels=8, layers=2)
print(causality(pixelcnn))

# %% [markdown]
# ## 3 The blind spot
#
# Causal means that a prediction sees *nothing but* the past. Does it see the *whole* past? Follow one path of influence backwards through a stack of masked $3 \times 3$ kernels. Each layer lets
# it stay (kind B), moves it one pixel to the left in the same row, or up by one row and sideways by at most one column. To get one column further to the *right* it has to climb one row. So after climbing
# $\Delta r$ rows it is at most $\Delta r$ columns to the right. However many layers there are:
#
# $$\text{the prediction at } (r, c) \text{ never sees } (r - \Delta r,\; c + \Delta c) \iff \Delta c > \Delta r, \qquad \Delta r \ge 1 \tag{4.2}$$
#
# To check it, predict pixel (9, 5) of an 11 x 11 image, with enough layers to reach every row, and compare the measured blind pixels with the set that (4.2) names. `receptive_field` changes each input
# pixel in turn and measures how much the prediction at one position moves.

# %%
guess("blind pixels, 3x3 kernels everywhere", ...)  # if you like: a number in place of the dots

# %%
deep = PixelCNN((1, 11, 11), levels=2, channels=8, layers=9, first_kernel=3)
seen = receptive_field(deep, (9, 5))[0] > 0  # (11, 11)
past = {(r, c) for r in range(11) for c in range(11) if 11 * r + c < 11 * 9 + 5}
measured = {(r, c) for r, c in past if not seen[r, c]}
named = {(r, c) for r, c in past if r < 9 and c - 5 > 9 - r}
print("measured set == set of (4.2):", measured == named)
report("blind pixels, 3x3 kernels everywhere", len(measured), claimed=10, tolerance=0, exact=True)

# %% [markdown]
# Ten of 104 past pixels are invisible, a wedge to the upper right, and more depth does not help. The original PixelCNN softens this with a $7 \times 7$ first layer, which jumps three columns at once: its wedge begins two columns further out, at $\Delta c > \Delta r + 2$.
# In the picture, look at the hatched wedge.

# %%
wide = PixelCNN((1, 11, 11), levels=2, channels=8, layers=9, first_kernel=7)
field_wide = receptive_field(wide, (9, 5))[0] > 0
report("blind pixels, 7x7 first layer", len([p for p in past if not field_wide[p]]), claimed=3, tolerance=0, exact=True)
show.fields(
    {"3x3 everywhere": seen, "7x7 first": field_wide}, (9, 5),
    title="A stack of masked kernels has a blind spot at the upper right",
    alt="Receptive fields of pixel (9, 5): 10 of 104 past pixels are blind with 3x3 kernels, 3 with a 7x7 first layer.",
)  # fmt: skip

# %% [markdown]
# ## 4 Gates, and two stacks
#
# The second paper replaces the rectifier by a **gate**. Half of the channels propose a value in $(-1, 1)$, the other half decides how much of it passes. A class $y$, as a one-hot vector $e_y$, picks a row of a table $V$, which is added as a bias to both halves:
#
# $$\text{out} = \tanh\!\left(W_f * x + V_f^{\top} e_y\right) \odot \sigma\!\left(W_g * x + V_g^{\top} e_y\right) \tag{4.3}$$
#
# Here $*$ is a convolution (causal in the model, which does not matter for this identity), $\odot$ multiplies element by element, $\sigma$ is the logistic function. In code one convolution computes both halves: the first half of its channels is $f$, the second half is $g$.

# %% [markdown]
# **Exercise 2 · `gated_activation`** · ●○○ · 3 minutes
#
# Write the gate of (4.3). It lets the network multiply features: one decides how much of another passes.
#
# - `x`: `(B, 2C, H, W)`. The *first* half of the channels goes through tanh, the second through the logistic function.
# - Returns `(B, C, H, W)`.
#
# Example, one pixel with `C = 1`: `gated_activation(torch.tensor([0.5, 0.0]).view(1, 2, 1, 1))` is `[[[[0.2311]]]]`, that is `tanh(0.5) * 0.5`.
#
# <details><summary>Hint</summary><code>x.chunk(2, dim=1)</code> splits the channels in the middle.</details>

# %%
@check
def gated_activation(x: Tensor) -> Tensor:
    """tanh(first half of the channels) * sigmoid(second half): (B, 2C, H, W) -> (B, C, H, W)."""
    ### BEGIN SOLUTION
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)
    ### END SOLUTION

# %%
W_f, W_g = torch.randn(2, 4, 3, 2, 3, dtype=torch.float64)  # two kernels (4, 3, 2, 3)
V_f, V_g = torch.randn(2, 10, 4, dtype=torch.float64)
x, e_y = torch.randn(5, 3, 6, 7, dtype=torch.float64), F.one_hot(torch.arange(5), 10).double()
f, g = (F.conv2d(x, W) + (e_y @ V)[..., None, None] for W, V in ((W_f, V_f), (W_g, V_g)))
by_hand = torch.tanh(f) * torch.sigmoid(g)
at_once = F.conv2d(x, torch.cat([W_f, W_g])) + (e_y @ torch.cat([V_f, V_g], 1))[..., None, None]
print("equation (4.3), half by half == all at once:", torch.allclose(by_hand, gated_activation(at_once), atol=1e-12))

# %% [markdown]
# **Step 4: two stacks.** The blind spot exists because one mask has to serve two purposes. Split them. A *vertical* stack reads whole rows, left and right, with no mask at all. A *horizontal* stack
# reads to the left in the current row. The horizontal stack may use what the vertical stack found, **but only from the row above**, since the vertical features of the current row have seen the current row to its end.
# Shifting the vertical features down by one row arranges exactly that. Let $v$ and $h$ be what the two stacks receive (in the first layer both are the image), $a$ and $b$ the inputs of their gates, and $U$ a $1 \times 1$ convolution:
#
# $$\begin{aligned}
# a_{r,c} &= (W_v * v)_{r,c} && W_v \text{ reads rows up to } r \\
# b_{r,c} &= (W_h * h)_{r,c} + U\, a_{r-1,\,c} && W_h \text{ reads columns up to } c \text{ of row } r
# \end{aligned} \tag{4.4}$$
#
# In the first layer $W_h$ is of kind A and reads columns up to $c - 1$. With enough layers, the prediction at $(r, c)$ then sees all rows above and everything to its left, and nothing else.

# %% [markdown]
# **Exercise 3 · `down_shift`** · ●○○ · 3 minutes
#
# Write the shift $a_{r-1,\,c}$ of (4.4). Without it, a pixel sees its own row to the end.
#
# - `v`: `(B, C, H, W)`.
# - Returns the same shape and dtype: row $r$ of the result is row $r - 1$ of `v`; the first row is zero; the last row of `v` drops out. `v` itself stays as it is.
#
# Example, a single column: `down_shift(torch.tensor([1, 2, 3]).view(1, 1, 3, 1)).flatten()` is `[0, 1, 2]`.
#
# <details><summary>Hint</summary>Concatenate a row of zeros with all rows of <code>v</code> but the last, along the axis of the rows.</details>

# %%
@check
def down_shift(v: Tensor) -> Tensor:
    """Row r of the result is row r - 1 of v (B, C, H, W); zeros in the first row."""
    ### BEGIN SOLUTION
    return torch.cat([torch.zeros_like(v[:, :, :1]), v[:, :, :-1]], dim=2)
    ### END SOLUTION

# %% [markdown]
# **Build it.** With your three functions, a gated layer with two stacks is fifteen lines. Read `forward` with (4.4) beside it. (It multiplies by the mask, which is easier to read than two kernels.)

# %%
class TwoStackLayer(nn.Module):
    def __init__(self, c_in: int, channels: int, kind: str, shift: bool = True):
        super().__init__()
        self.vertical = nn.Conv2d(c_in, 2 * channels, (2, 3))  # this row and the one above
        self.horizontal = nn.Conv2d(c_in, 2 * channels, (1, 3))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.register_buffer("mask", conv_mask(3, kind)[1:2].float())  # the middle row of the mask
        self.shift = shift

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a = self.vertical(F.pad(v, (1, 1, 1, 0)))  # (B, 2C, H, W): rows up to r
        left = F.conv2d(h, self.horizontal.weight * self.mask, self.horizontal.bias, padding=(0, 1))
        b = left + self.link(down_shift(a) if self.shift else a)  # (B, 2C, H, W)
        return gated_activation(a), gated_activation(b)

# %%
def two_stacks(shift: bool, depth: int = 10):
    kinds = ["A"] + ["B"] * (depth - 1)
    layers = nn.ModuleList(TwoStackLayer(1 if i == 0 else 8, 8, kind, shift) for i, kind in enumerate(kinds)).double()

    def predict(x: Tensor) -> Tensor:
        v = h = x.double()
        for layer in layers:
            v, h = layer(v, h)
        return h.sum(1, keepdim=True)  # (B, 1, H, W)

    return predict


field = receptive_field(two_stacks(shift=True), (9, 5), shape=(1, 11, 11), levels=2)[0] > 0
leaky_field = receptive_field(two_stacks(shift=False), (9, 5), shape=(1, 11, 11), levels=2)[0] > 0
report("past pixels seen by two stacks, of 104", int(field.sum()), claimed=104, tolerance=0, exact=True)
report("pixels leaked without the shift", int(leaky_field.sum()) - 104, claimed=6, tolerance=0, exact=True)

# %%
show.fields(
    {"one stack, 3x3": seen, "two stacks": field, "two stacks, no shift": leaky_field}, (9, 5),
    title="Two stacks see the whole past; without the shift they see the future too",
    alt="Receptive fields of pixel (9, 5): one stack sees 94 of 104 past pixels, two stacks see all 104 and nothing "
    "else; without the downward shift they also see the pixel itself and the 5 to its right.",
)  # fmt: skip

# %% [markdown]
# The wedge is gone, and the last picture shows a common mistake: without the shift six values leak, the target itself and the five to its right. The loss would look wonderful.
#
# ## 5 Is it a distribution?
#
# A model with causal conditionals sums to one whatever its weights are: the last pixel's probabilities sum to one given all others, then the one before it, and so on. On images small enough to enumerate
# we can check it (the audit computes in float64), here all $2^9$ binary images of 3 x 3 pixels, with random weights, made larger so that the distribution is not flat:
#
# $$\sum_{x \in \{0,1\}^{9}} p(x) = 1 \tag{4.5}$$

# %%
seed(0)
tiny = GatedPixelCNN((1, 3, 3), levels=2, channels=8, layers=2)
with torch.no_grad():
    for parameter in tiny.parameters():
        parameter *= 4
total = normalization(tiny)
print(total)
report("total probability of all 512 images", total.total, claimed=1.0, tolerance=1e-9, unit="")

# %% [markdown]
# **Do its samples follow its probabilities?** Draw 20,000 images and compare the frequency of every image with its probability. The audit computes $\chi^2 = \sum_k (n_k - n p_k)^2 / (n p_k)$ over the images, those expected fewer than five times taken together, and
# turns it into a nearly standard normal $z$: a sampler that is right stays within a few units of 0. For comparison, the same from a sampler that is slightly wrong, at temperature 1.1 (the probabilities of each pixel, given those before it, to the power 1/1.1 and renormalized):

# %%
n = budget(smoke=200, quick=20_000, full=20_000)
right = calibration(tiny, tiny.sample(n, rng=seed(4)))
wrong = calibration(tiny, tiny.sample(n, temperature=1.1, rng=seed(4)))
report("z of 20,000 samples", right.z, claimed=0.0, tolerance=4.0, unit="standard deviations")
report("z at temperature 1.1", wrong.z, claimed=16, tolerance=6, unit="standard deviations")

# %% [markdown]
# **How far is it from the truth?** For most data nobody knows. `bars_and_stripes` is an exception: 30 images of 4 x 4 pixels, each with probability 1/30, so the entropy is $\ln 30 = 3.401$ nats. No model can score less on average;
# what it scores more is its KL divergence from the truth. A small gated PixelCNN that was trained on it (`garm train gated_pixelcnn --data bars_and_stripes`, some seconds) comes with the course:

# %% tags=["exact"]
stripes = load("bars_and_stripes")
expert = load_pretrained("gated_pixelcnn-bars_and_stripes")
gap = kl_to_model(stripes, expert)
print(f"NLL ≈ {evaluate(expert, stripes).nats:.4f} nats, entropy of the data {stripes.entropy().nats:.4f} nats")
report("KL divergence on bars and stripes", gap.nats, claimed=0.0, tolerance=0.001, unit="nats")

# %% [markdown]
# That was easy: 30 images. `glyphs` is harder and still has a known density: binary digits of 28 x 28 pixels in eleven fonts, three sizes, three slants and nine shifts, each pixel flipped with probability 1 %. Its entropy is 53.0 nats. The recorded model trained for seven
# minutes of one core:

# %%
glyphs = recorded("gated_pixelcnn-glyphs")
print(f"NLL {glyphs['validation']['nats']:.1f} nats, entropy of the data {glyphs['floor']['nats']:.1f} nats")
far = glyphs["validation"]["kl"]["nats"]
report("KL divergence on glyphs, recorded", far, claimed=27.5, tolerance=0.1, unit="nats")

# %% [markdown]
# Many of its samples look plausible at a glance, others break apart (`garm sample gated_pixelcnn-glyphs --out glyphs.png`): it is 28 nats from the truth. A curve without a floor would not tell.

# %% [markdown]
# ## 6 Train it on real digits
#
# Now the library's `GatedPixelCNN`: the layer that you built, with residual connections, dropout (1,257 images are few), a *thermometer* input (level 5 enters as five ones followed by zeros, so that levels 5 and 6 look alike) and the loop from
# section 1 inside `fit`, with an average of the weights over the last steps. Before running: the class marginals score 100 nats. What do you expect from a model that sees the strokes?

# %%
guess("validation NLL of the gated PixelCNN trained here", ...)  # if you like: a number in place of the dots

# %%
seed(0)
model = GatedPixelCNN((1, 8, 8), levels=17, channels=32, layers=5, first_kernel=3, dropout=0.3)
history = fit(
    model, train, validation=validation, steps=budget(smoke=2, quick=380, full=900), batch_size=32, lr=5e-3,
    evaluate_every=budget(smoke=2, quick=38, full=50), seed=0, label="gated PixelCNN",
)  # fmt: skip
live = evaluate(model, validation)
claimed = budget(smoke=82.0, quick=82.0, full=80.8)  # longer training reaches more
report("validation NLL of the gated PixelCNN trained here", live.nats, claimed=claimed, tolerance=1.5, unit="nats")

# %%
show.curves(
    {"training batches (dropout on)": history.train, "validation": history.validation},
    baselines={name: figure.nats for name, figure in floor_of_sense.items() if name != "uniform"},
    title="It leaves every model without neighbors behind within 100 steps",
    alt="Learning curve: the validation NLL falls below the class marginals (about 100 nats) within 100 steps "
    "and ends near 82 nats.",
)  # fmt: skip

# %% [markdown]
# One model was trained here. The others of the family, and those of lessons 02 and 03 beside them, have settings of their own (`garm_course/recipes/catalog.py`), took 10 to 60 seconds of one processor core each, over three seeds, and were recorded with the command `garm train MODEL --data digits --seed 0`
# (then 1, 2). These are validation figures, since choices were made on them; ± is the standard error over the 180 images and three seeds.

# %%
records = {name: recorded(f"{name}-digits") for name in ("pixelcnn", "gated_pixelcnn", "conditional_gated_pixelcnn")}
show.likelihood_ladder(
    recorded_on("digits", lesson=4), highlight=list(records),
    title="PixelCNNs are as good as the LSTMs of lesson 03, in one parallel pass",
)  # fmt: skip

# %%
trained, test = load_pretrained("gated_pixelcnn-digits"), load("digits", "test")
gain = paired(load_pretrained("pixelcnn-digits"), trained, test)
report("PixelCNN minus Gated PixelCNN, test, paired", gain.nats, claimed=0.61, tolerance=0.02, unit="nats")
report("its standard error", gain.stderr, claimed=0.19, tolerance=0.02, unit="nats")

# %% [markdown]
# In the ladder, the two unconditional models look equal. Compare them image by image, on the test images that chose nothing: the gated model is better by three standard errors. (On the validation images the paired difference is 0.0 ± 0.3.) The models differ in gate, kernels, size and blind spot at once, so we do not know which of these helps. The GRU of lesson 03 is better still, but it takes 64 steps one after the other for each training image. The model that is told the class of each image answers an easier question: section 7 makes it comparable.
#
# **Sampling** draws pixel after pixel, 64 steps for an image. The plain way runs the whole network for every pixel; the library computes each feature once. From the same random numbers both draw the same images (how much faster that is, is the subject of lesson 06):

# %%
fast = model.sample(16, rng=seed(0))
slow = model.sample_naive(16, rng=seed(0))
report("pixels of 1,024 that differ", int((fast != slow).sum()), claimed=0, tolerance=2)
show.panels(
    {"validation data": validation.x[:16],
     "PixelCNN": load_pretrained("pixelcnn-digits").sample(16, rng=seed(0)),
     "gated, trained here": fast},
    levels=17, title="First 16 of each, nothing selected",
    alt="Three grids of 16: real digits, samples of a PixelCNN and samples of the gated PixelCNN trained above. "
    "About half of the samples are legible digits, the others are strokes that belong to no digit.",
)  # fmt: skip

# %% [markdown]
# Strokes have the right width and connect, and about half of the samples can be read. The others are no digit at all: an early accident in the first rows is never taken back, and nothing in the likelihood of a pixel asks for a whole digit.
#
# **Completion.** The recorded model, which trained longer, knows $p(\text{rest} \mid \text{top half})$ exactly, because the top half comes first in raster order. Give it the top four rows and draw the others three times. Look for completions that differ and are still plausible.

# %%
given = validation.x[:8].repeat(4, 1, 1, 1)
mask = torch.zeros(32, 1, 8, 8, dtype=torch.bool)
mask[8:, :, :4] = True
drawn = trained.sample(32, given=given, mask=mask, rng=seed(1))
show.grid(
    torch.cat([validation.x[:8], drawn[8:]]), levels=17, given_mask=mask,
    rows=["original", "drawn 1", "drawn 2", "drawn 3"], cols=8, title="Three futures for each top half",
    alt="Eight validation digits and three completions of each from its top four rows: many are digits, often the "
    "original one, some are blobs.",
)  # fmt: skip

# %% [markdown]
# Seeing is not measuring. A judge that has nothing to do with the model, a support vector machine trained on the real training digits, reads 99 % of the validation digits correctly. How often does it read a completion as the original digit?

# %%
from sklearn.svm import SVC

judge = SVC(gamma=0.001).fit(train.x.flatten(1), train.y)
top = (torch.arange(8) < 4)[None, :, None].expand(1, 8, 8)
completed = trained.sample(180, given=validation.x, mask=top, rng=seed(1))
right = (judge.predict(completed.flatten(1)) == validation.y.numpy()).mean()
report("the judge on real digits", judge.score(validation.x.flatten(1), validation.y), claimed=0.99, tolerance=0.01)
report("completions read as the original digit", right, claimed=0.77, tolerance=0.03)

# %% [markdown]
# About three quarters: the top half leaves some doubt, and some completions go wrong.
#
# ## 7 Conditioning on the class
#
# With a class in (4.3) the network models $p(x \mid y)$. By the rules of probability it then also gives $p(x)$, and a classifier, without ever being trained as one:
#
# $$p(x) = \sum_{y} p(y)\, p(x \mid y), \qquad p(y \mid x) = \frac{p(y)\, p(x \mid y)}{p(x)} \tag{4.6}$$
#
# First the check by enumeration, with an untrained model of three classes: summed over classes and images, the mass is 1.

# %%
tiny = GatedPixelCNN((1, 3, 3), levels=2, n_classes=3, channels=8, layers=1).double()
prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
with torch.no_grad():
    joint = prior * tiny.class_log_probs(all_examples((1, 3, 3), 2)).exp()  # (512, 3)
report("sum of p(y) p(x | y) over all x and y", joint.sum().item(), claimed=1.0, tolerance=1e-9, unit="")

# %% [markdown]
# Now the class-conditional model. What does the class save, how well does (4.6) classify, and is $p(x)$ better than that of the model that never saw a label? A recorded study (`python studies/labels.py`) trained both models three times and measured everything on both splits, paired image by image.

# %%
conditional = load_pretrained("conditional_gated_pixelcnn-digits")
rows = recorded_study("labels-digits")["runs"]
WORDS = {"given_class": "NLL given the class", "marginal": "NLL without it, (4.6)", "gain": "gain over no labels"}
means = {
    split: {key: sum(r[key] for r in rows if r["split"] == split) / 3 for key in (*WORDS, "accuracy")}
    for split in ("validation", "test")
}
show.table(
    ["mean of three seeds", *means],
    [[words, *(f"{m[key]:.2f}" for m in means.values())] for key, words in WORDS.items()]
    + [["accuracy", *(f"{m['accuracy']:.3f}" for m in means.values())]],
)
for split, claims_of in (("validation", (2.29, 1.88, 0.993)), ("test", (2.10, 0.39, 0.958))):
    m = means[split]
    found = (m["marginal"] - m["given_class"], m["gain"], m["accuracy"])
    named = zip(("what the class saves", "gain over no labels", "accuracy"), found, claims_of, strict=True)
    for words, value, claim in named:
        report(f"{words}, {split}", value, claimed=claim, tolerance=0.01)

# %% [markdown]
# Knowing the class can save at most $\ln 10 = 2.3$ nats, the entropy of ten equally frequent labels, and on both splits it saves nearly that.
#
# The other two rows tell different stories. On the validation images, training with labels seems to gain 1.9 nats even where they are not used, and the classifier is nearly perfect. But these images chose the best weights of every run, and they were written by two or three hands. On the test images, 0.4 nats are left, with a standard error of 0.25 in each seed (all three seeds gain something), and four images in a hundred are misread. **Whatever a split has chosen looks better on that split.** Report the test value, and compare on it once.
#
# One row per class, the first eight samples of each:

# %%
y = torch.arange(10).repeat_interleave(8)
show.grid(
    conditional.sample(80, y, rng=seed(0)), levels=17, rows=[str(k) for k in range(10)], cols=8,
    title="The class decides what is drawn",
    alt="Ten rows of eight samples, one row for each digit from 0 to 9; nearly all show the digit asked for.",
)  # fmt: skip

# %% [markdown]
# Ask the judge how many of 200 samples show the digit that was asked for. Can a temperature choose a digit as well? We draw from the unconditional model at two temperatures. Which classes does it draw?

# %%
y = torch.arange(10).repeat(20)
obeyed = (judge.predict(conditional.sample(200, y, rng=seed(0)).flatten(1)) == y.numpy()).mean()
report("samples of the class asked for", obeyed, claimed=0.93, tolerance=0.04)
largest = {}
for temperature in (1.0, 0.3):
    drawn = judge.predict(trained.sample(200, temperature=temperature, rng=seed(0)).flatten(1))
    largest[temperature] = torch.bincount(torch.tensor(drawn), minlength=10).max().item() / 200
report("share of the most frequent class at temperature 1", largest[1.0], claimed=0.17, tolerance=0.03)
report("the same at temperature 0.3", largest[0.3], claimed=0.47, tolerance=0.05)

# %% [markdown]
# A class as input is obeyed 19 times in 20. Temperature shifts the mixture towards what is easy to draw (mostly the digit 1), but no setting of it asks for a 7.

# %% [markdown]
# ## 8 Color: an order inside the pixel
#
# A color pixel has three values. The chain rule needs an order for them as well: R, then G given R, then B given both. So features come in three groups RR..GG..BB, and at the *center* of a kernel a group may read only
# earlier groups (kind A), or also its own (kind B). Everywhere else in the kernel all groups are past.

# %% [markdown]
# **Exercise 4 · `rgb_center_mask`** · ●●○ · 8 minutes
#
# Write the mask of the center tap. Without it a red value sees the blue one that is drawn after it.
#
# - `c_in`, `c_out`: numbers of input and output features, both divisible by 3; the first third belongs to R, the second to G, the last to B.
# - `kind`: `"A"`: an output group sees strictly earlier colors. `"B"`: also its own.
# - Returns `(c_out, c_in)` of 0 and 1, one row per output feature, as in the weight of a convolution.
#
# Example: `rgb_center_mask(3, 3, "A")` is `[[0, 0, 0], [1, 0, 0], [1, 1, 0]]`.
#
# <details><summary>Hint 1</summary>The color of input feature <code>j</code> is <code>j // (c_in // 3)</code>; likewise for the outputs.</details>
# <details><summary>Hint 2</summary>Compare a column of output colors with a row of input colors: <code>a[:, None]</code> and <code>b[None, :]</code>.</details>

# %%
@check
def rgb_center_mask(c_in: int, c_out: int, kind: str) -> Tensor:
    """(c_out, c_in) mask of 0 and 1 for the center of a kernel; features in groups RR..GG..BB."""
    ### BEGIN SOLUTION
    source = torch.arange(c_in) // (c_in // 3)
    target = torch.arange(c_out) // (c_out // 3)
    allowed = source[None, :] < target[:, None] if kind == "A" else source[None, :] <= target[:, None]
    return allowed.float()
    ### END SOLUTION

# %%
show.masks(
    {f"kind {kind}, {n} -> {n}": rgb_center_mask(n, n, kind) for kind, n in (("A", 3), ("B", 3), ("B", 6))},
    title="At the center, colors are ordered too", center=False,
    alt="Center masks over colors: strictly lower triangular for kind A, lower triangular for kind B, "
    "in blocks of two for six features.",
)  # fmt: skip
color = PixelCNN((3, 4, 5), levels=4, channels=6, layers=1)
print(causality(color))
inside = receptive_field(color, (2, 2), channel=2)[:, 2, 2] > 0
print("the blue value of a pixel sees its red, green, blue:", inside.tolist())

# %% [markdown]
# ## 9 See it: an image, pixel by pixel
#
# Given a finished image, one pass gives every conditional, each with the true earlier pixels as its input; this is called *teacher forcing*. Move the slider: the image up to that pixel is on the left, the distribution of the next one on the right. Look for pixels where the model is certain and for those where it is not.

# %% tags=["exact"]
show.pixel_by_pixel(conditional, y=3, rng=seed(3))

# %%
with torch.no_grad():
    log_p = conditional(validation.x, validation.y).log_softmax(-1)  # (180, 1, 8, 8, 17)
entropy = -(log_p.exp() * log_p).sum(-1)  # nats per pixel
empty, ink = (entropy[where].mean().item() for where in (validation.x == 0, validation.x > 0))
report("entropy of a prediction where the paper is empty", empty, claimed=0.30, tolerance=0.02, unit="nats")
report("entropy of a prediction where there is ink", ink, claimed=1.99, tolerance=0.02, unit="nats")

# %% [markdown]
# It is nearly certain of the empty background, and unsure of the exact level wherever there is ink (a uniform choice among 17 levels has $\ln 17 = 2.83$ nats).

# %% [markdown]
# ## 10 Break it
#
# The classic fault: kind B in the first layer. One letter, and every pixel sees itself. The loss falls far below what honest models reach:

# %%
seed(0)
broken = PixelCNN((1, 8, 8), levels=17, channels=16, layers=2)
broken.first = CausalConv2d(broken.first.c_in, broken.first.c_out, 7, "B")  # should be "A"
broken_history = fit(
    broken, train, validation=validation, steps=budget(smoke=2, quick=200, full=200), batch_size=32, lr=1e-2,
    evaluate_every=budget(smoke=2, quick=20, full=20), label="broken PixelCNN",
)  # fmt: skip
show.curves(
    {"first layer of kind A (section 6)": history.validation, "first layer of kind B": broken_history.validation},
    baselines={"recorded PixelCNN": records["pixelcnn"]["validation"]["nats"]},
    title="A curve that is too good",
    alt="Validation NLL: within 200 steps the model with a broken mask falls below 20 nats; "
    "the honest one stays above 80.",
)  # fmt: skip

# %% tags=["exact"]
report("validation NLL of the broken model", evaluate(broken, validation).nats, claimed=10, tolerance=4, unit="nats")
print(causality(broken))

# %% [markdown]
# No causal model in this lesson scores below 75 nats, so a validation NLL below 20 is not a success but an alarm. The curve alone does not say what is wrong; the audit names the position.
#
# **A second fault, which no curve shows.** Transpose the mask, so that it reads column by column. Its conditionals still form a chain, only in another order, so the probabilities *sum to one*. Sampled in raster order the model is
# wrong all the same: enumeration is blind to this fault, causality is not.

# %%
weight = torch.randn(1, 1, 3, 3, dtype=torch.float64, generator=seed(0))


def transposed(x: Tensor) -> Tensor:
    return F.conv2d(x.double(), weight * conv_mask(3, "A").T, padding=1)  # logits (B, 1, H, W)


print(normalization(lambda x: Bernoulli().log_prob(transposed(x), x).flatten(1).sum(1), shape=(1, 3, 3), levels=2))
print(causality(transposed, shape=(1, 3, 3), levels=2))

# %% [markdown]
# **Augmentation changes the distribution.** Mirroring is a common way to get more training images. Mirror the validation digits and ask the model:

# %%
with torch.no_grad():
    mirrored = trained.log_prob(validation.x) - trained.log_prob(validation.x.flip(3))
report("NLL of mirrored digits minus NLL of digits", mirrored.mean(), claimed=18.4, tolerance=0.5, unit="nats")

# %% [markdown]
# On average the model finds a mirrored digit 18 nats less likely, although 0, 1 and 8 are among them. Augment only by what leaves the distribution of the data alone, and never the test data. (What the article says about this and other topics stands on [its own page](../docs/article.md).)
#
# ## 11 Check yourself

# %% [markdown]
# 1. Why does only the first layer need kind A?
#
# <details><summary>Answer</summary>Its output at a pixel depends on earlier pixels only. A later layer that reads that output at its center reads earlier pixels only. A second layer of kind A would not leak, but it would throw away the most useful feature.</details>
#
# 2. Ten 3 x 3 layers see 94 of 104 past pixels at (9, 5). How many would a hundred layers see?
#
# <details><summary>Answer</summary>94. By (4.2) moving right costs as many rows as columns, however many layers there are.</details>
#
# 3. A model's probabilities sum to one over all images. Which faults can it still have?
#
# <details><summary>Answer</summary>Another order than the one in which you sample (the transposed mask), lost connections (the blind spot), and of course being a bad fit. The sum is one for every chain of normalized conditionals.</details>
#
# 4. Given the *bottom* half of a digit, can `sample` draw the top half from $p(\text{top} \mid \text{bottom})$?
#
# <details><summary>Answer</summary>No. The top comes first in raster order, so it is drawn without knowledge of the bottom; the given pixels are only pasted. One would need a model with another order, or to weight many drawn tops by the likelihood of the bottom.</details>
#
# 5. The class label saves the trained model nearly all of $\ln 10 = 2.3$ nats. What would it mean if it saved only 1 nat?
#
# <details><summary>Answer</summary>The saving is the information that image and label share under the model. It equals the entropy of the label, 2.3 nats, if the model is always sure of the label once it has seen the image, and this one nearly is. A saving of 1 nat would leave 1.3 nats of doubt about the label: images that fit several classes.</details>

# %% [markdown]
# ## Take-aways
#
# - A mask makes a convolution causal; kind A once, kind B after that. Then one pass gives all conditionals, and training is parallel.
# - A single stack has a blind spot. Two stacks, the vertical one shifted down, see the whole past and nothing else.
# - The likelihood is exact, so completion, classification and comparison by NLL come for free. Sampling is sequential.
# - Too good is an alarm. Audit causality by perturbation: a sum of one and a falling loss prove nothing about it.
#
# ## Where next
#
# - van den Oord, Kalchbrenner, Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016, arXiv 1601.06759: section 3.4 introduces the masks, section 3.5 the PixelCNN.
# - van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu, *Conditional Image Generation with PixelCNN Decoders*, NIPS 2016, arXiv 1606.05328: the blind spot, gates and conditioning.
# - Successors with attention: Chen, Mishra, Rohaninejad, Abbeel, *PixelSNAIL*, ICML 2018, arXiv 1712.09763; Parmar et al., *Image Transformer*, ICML 2018, arXiv 1802.05751; lesson 07.
# - Salimans, Karpathy, Chen, Kingma, *PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications*, ICLR 2017, arXiv 1701.05517: the subject of lesson 05.
# - Ramachandran, Le Paine, Khorrami, Babaeizadeh, Chang, Zhang, Hasegawa-Johnson, Campbell, Huang, *Fast Generation for Convolutional Autoregressive Models*, ICLR 2017 workshop, arXiv 1704.06001: the subject of lesson 06.
# - In the library, read [`pixelcnn.py`](../garm_course/autoregressive/pixelcnn.py): `forward` and `step_pixel` stand side by side.

# %%
claims()
