# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · The chain rule, NADE and MADE
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/02_chain_rule.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F02_chain_rule.ipynb)
#
# **How does one network become an exact probability over images, and what do the order of the pixels and the hidden units have to do with it?**
#
# | | |
# |---|---|
# | Time | 85 minutes; the cells run in about half a minute |
# | Before this | Python, PyTorch modules; likelihood, entropy and KL divergence ([lesson 01](01_likelihood.ipynb)); [lesson 00](00_start_here.ipynb) shows how exercises work |
# | Afterwards you can | *derive* an autoregressive model for any order, *implement* NADE, the masks of MADE and ancestral sampling, *diagnose* a leak, a starved network and a mask that wears off, *compare* FVSBN, NADE and MADE by exact likelihood |
# | Papers | Larochelle, Murray, *The Neural Autoregressive Distribution Estimator*, AISTATS 2011 · Germain, Gregor, Murray, Larochelle, *MADE: Masked Autoencoder for Distribution Estimation*, ICML 2015, arXiv [1502.03509](https://arxiv.org/abs/1502.03509) |

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
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from garm_course import budget, check, claims, fit, guess, load, load_pretrained, recorded, report, seed, show
from garm_course.autoregressive import FVSBN, MADE, NADE, made_degrees
from garm_course.evaluation import (
    PixelMarginals, all_examples, baselines, calibration, causality, evaluate, kl_to_model, normalization,
)  # fmt: skip
from garm_course.lessons import lesson02
from garm_course.recipes import find

# %% [markdown]
# ## 1 The question, in pictures
#
# Most of this lesson uses data about which everything is known. `bars_and_stripes` are the images of 4 x 4 black or white pixels in which all rows are equal or all columns are. There are $2^4 + 2^4 - 2 = 30$ of them (all white and all black are both), each with probability
# 1/30, so the entropy is $\ln 30 = 3.401$ nats, and no model can score less on average. There are $2^{16} = 65{,}536$ images altogether, few enough to ask a model about every one.

# %%
stripes = load("bars_and_stripes")
show.grid(
    stripes.x, levels=2, rows=3, cols=10, title="30 of 65,536 images: equal rows or equal columns",
    alt="All 30 bars and stripes, 4 by 4 pixels each: every image has equal rows or equal columns.",
)  # fmt: skip

# %% [markdown]
# **Try the naive thing first.** A histogram for each pixel, as if the pixels were independent. Each pixel is black in 15 of the 30 images.

# %%
independent = PixelMarginals(stripes.x, levels=2)
naive = evaluate(independent, stripes).nats
report("NLL of independent pixels", naive, claimed=11.09, tolerance=0.005, unit="nats")
report("above the entropy", naive - stripes.entropy().nats, claimed=7.69, tolerance=0.005, unit="nats")
noise = torch.randint(2, (20, 1, 4, 4), generator=seed(0))  # every pixel is a fair coin
known = {tuple(x.flatten().tolist()) for x in stripes.x}
print("bars or stripes among the 20 draws:", sum(tuple(x.flatten().tolist()) in known for x in noise))
show.grid(
    noise, levels=2, rows=2, cols=10, title="Independent pixels know nothing of bars",
    alt="20 draws of fair coins for all 16 pixels: noise, in which no image has equal rows or equal columns.",
)  # fmt: skip

# %% [markdown]
# The model is uniform over all 65,536 images: $16 \ln 2 = 11.09$ nats, 7.69 nats above the entropy. All that matters here lies *between* the pixels. The table of all 65,536 probabilities would hold it, but already for the 8 x 8 digits of 17 levels there would be
# $17^{64}$ entries. We need something between a table and independence.
#
# ## 2 The chain rule, in any order
#
# **Step 1: one pixel at a time.** By the definition of conditional probability, $p(x_1, x_2) = p(x_1)\, p(x_2 \mid x_1)$. Split off one variable after another and nothing is left to assume. The variables may be split off in any order $\pi$, a permutation of $1, \dots, D$:
#
# $$p(x) = \prod_{i=1}^{D} p\left(x_{\pi_i} \mid x_{\pi_1}, \dots, x_{\pi_{i-1}}\right) \qquad \text{for every order } \pi \tag{2.1}$$
#
# Where the order is fixed, number the pixels in it, and write $x_{<i}$ for those before pixel $i$, that is $x_1, \dots, x_{i-1}$. (2.1) is an identity, not a model. To check it, take a joint distribution of four bits at random, compute every conditional from sums of its table, and multiply them in all 24 orders.

# %%
joint = torch.rand(2, 2, 2, 2, dtype=torch.float64, generator=seed(0))
joint = joint / joint.sum()


def marginal(kept: set[int]) -> Tensor:
    summed = [d for d in range(4) if d not in kept]
    return joint.sum(summed, keepdim=True) if summed else joint


largest = 0.0
for order in itertools.permutations(range(4)):
    product = torch.ones_like(joint)
    for i in range(4):
        product = product * marginal(set(order[: i + 1])) / marginal(set(order[:i]))  # p(x_i | those before)
    largest = max(largest, (product - joint).abs().max().item())
report("largest error of the chain rule in 24 orders", largest, claimed=0.0, tolerance=1e-12, unit="")

# %% [markdown]
# **Step 2: a model for each factor.** The $i$-th conditional is a table of $2^{i-1}$ numbers, one for each past; all together that is $1 + 2 + \dots + 2^{D-1} = 2^D - 1$, as many as the joint has. So the chain rule alone saves nothing. What saves is to *restrict* the conditionals.
# The simplest restriction is a logistic regression on the past, the *fully visible sigmoid belief network* (FVSBN), with the logistic function $\sigma(a) = 1 / (1 + e^{-a})$:
#
# $$p(x_i = 1 \mid x_{<i}) = \sigma\Big(b_i + \sum_{j<i} W_{ij} x_j\Big), \qquad \underbrace{2^D - 1}_{\text{table}} \;\longrightarrow\; \underbrace{D + \tfrac{D(D-1)}{2} = \tfrac{D(D+1)}{2}}_{\text{FVSBN}} \tag{2.2}$$

# %%
fvsbn = FVSBN((1, 4, 4), levels=2)
used = int(fvsbn.out.mask.sum()) + fvsbn.out.bias.numel()
table = sum(2**i for i in range(16))
report("numbers in the table of 4 x 4 binary images", table, claimed=65535, tolerance=0, exact=True)
report("numbers in an FVSBN of 4 x 4 pixels", used, claimed=136, tolerance=0, exact=True)

# %% [markdown]
# ## 3 NADE: hidden units that are shared
#
# **Step 3: a hidden layer for every conditional.** A logistic regression cannot combine pixels ("these two differ"). Hidden units can. But a network of its own for each of $D$ conditionals would be $D$ times as much to learn and to compute. NADE shares: all conditionals use the same weights $W$ ($H \times D$), and conditional $i$ is fed
# the columns of the pixels before $i$. Then the hidden sums $a_i = c + \sum_{j<i} W_{:,j}\, x_j$ need not be computed anew for each pixel, since the next one differs by a single column:
#
# $$a_1 = c, \qquad p(x_i = 1 \mid x_{<i}) = \sigma\big(b_i + V_i\, \sigma(a_i)\big), \qquad a_{i+1} = a_i + W_{:,i}\, x_i \tag{2.3}$$
#
# Each $a_i$ is a vector of $H$ sums, one for each hidden unit, and $V_i$ is row $i$ of $V$ ($D \times H$). Adding a column costs $H$ multiplications and so does $V_i\,\sigma(a_i)$: $O(DH)$ for all conditionals, where starting anew for each of them costs $O(D^2 H)$.

# %% [markdown]
# **Exercise 1 · `nade_log_prob`** · ●●○ · 12 minutes
#
# Compute $\log p(x)$ by the recurrence (2.3). It is the whole model: training maximizes it.
#
# - `x`: `(B, D)` of 0 and 1, whole numbers or of the dtype of `W`. `W`: `(H, D)`. `V`: `(D, H)`. `b`: `(D,)`. `c`: `(H,)`.
# - Returns `(B,)`: nats, summed over the $D$ pixels, one value per image, of the dtype of `W`. Gradients must reach the weights. The arguments stay as they are.
# - Pixel 0 in code is $x_1$ in (2.3). The term of a pixel is $\log p_i$ if it is 1 and $\log(1 - p_i)$ if it is 0. Compute both from the logit: for a logit of 40, $1 - p_i$ is 0 in floating point, and its logarithm is $-40$ in truth.
#
# Example: with all weights and biases zero every $p_i$ is 1/2, so an image of three pixels has $3 \ln \frac12 = -2.0794$ nats: `nade_log_prob(torch.tensor([[0, 1, 1]]), torch.zeros(4, 3), torch.zeros(3, 4), torch.zeros(3), torch.zeros(4))` is `[-2.0794]`.
#
# <details><summary>Hint 1</summary>A loop over <code>i</code> with a running <code>a</code> of shape <code>(B, H)</code>. Predict first, update afterwards: p_i must not see x_i.</details>
# <details><summary>Hint 2</summary><code>logit = b[i] + torch.sigmoid(a) @ V[i]</code>, then <code>F.logsigmoid(logit)</code> where the pixel is 1 and <code>F.logsigmoid(-logit)</code> where it is 0.</details>
# <details><summary>Hint 3</summary><code>a = a + x[:, i, None] * W[:, i]</code>. <code>a += ...</code> needs room for B rows, and <code>c</code> has one.</details>

# %%
@check
def nade_log_prob(x: Tensor, W: Tensor, V: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """log p(x) of a binary NADE: (B,) nats."""
    raise NotImplementedError("Replace this line with your answer.")

# %% [markdown]
# Check both sides of (2.3): the recurrence against the sums computed anew for every pixel, and the number of products with a column of $W$, 64 pixels against all pairs.

# %%
rng = seed(0)
D, H = 64, 20
W, V, b, c = (torch.randn(s, dtype=torch.float64, generator=rng) for s in ((H, D), (D, H), (D,), (H,)))
x = torch.randint(2, (50, D), generator=rng)
anew = torch.stack([torch.sigmoid(c + x[:, :i].double() @ W[:, :i].T) @ V[i] + b[i] for i in range(D)], 1)  # (50, D)
direct = torch.where(x == 1, F.logsigmoid(anew), F.logsigmoid(-anew)).sum(1)
error = (nade_log_prob(x, W, V, b, c) - direct).abs().max().item()
report("recurrence minus direct form", error, claimed=0.0, tolerance=1e-10, unit="nats")
report("columns added by the recurrence", D - 1, claimed=63, tolerance=0, exact=True)
report("columns added by the direct form", sum(range(D)), claimed=2016, tolerance=0, exact=True)

# %% [markdown]
# **Step 4: training needs no loop.** The recurrence looks sequential, and for drawing an image it is. In training all pixels are known, so all the products $W_{:,j}\, x_j$ are, and a strictly triangular matrix of ones adds them up to all the $a_i$ at once. That costs $O(D^2 H)$ multiplications again, but they run in parallel. The library's `NADE` compromises: it works in blocks of 28 pixels and carries the sum from one block to the next,
# three blocks for 64 pixels instead of 64 steps. It must be the same function as your loop:

# %%
seed(0)
nade = NADE((1, 8, 8), levels=2, hidden=20)
with torch.no_grad():
    by_loop = nade_log_prob(x, nade.W[:, 0].T, nade.V[..., 0], nade.b[:, 0], nade.c)
    by_blocks = nade.log_prob(x.view(50, 1, 8, 8))
error = (by_loop - by_blocks).abs().max().item() / 64
report("loop minus blocks", error, claimed=0.0, tolerance=1e-6, unit="nats per pixel")

# %% [markdown]
# ## 4 MADE: remove connections
#
# **Step 5: start from an ordinary network.** Feed all pixels to a network with $D$ outputs and *remove* every connection that would let output $i$ see pixel $i$ or a later one. MADE gives each unit a **degree**. An input or output has its place in the order, $1, \dots, D$. A hidden unit has any number $m$ from $1$ to $D-1$: *I may have seen the first m pixels*.
# A connection is kept if it respects that:
#
# $$\text{hidden } k \text{ sees } j \iff m(k) \ge m(j), \qquad \text{output } d \text{ sees } k \iff m(d) > m(k) \tag{2.4}$$
#
# Along a path the degree never falls, and at the output it rises strictly. So a path from input $j$ to output $d$ exists only if $m(d) > m(j)$: the product of the masks, which counts the paths, is strictly lower triangular after sorting its rows and columns by the order. In which layer the strict sign stands matters: an output of degree $d$ may use what has seen $d - 1$ pixels.

# %% [markdown]
# **Exercise 2 · `made_masks`** · ●●○ · 12 minutes
#
# Write the masks of (2.4). With them any stack of linear layers becomes an exact distribution.
#
# - `D`: number of pixels, at least 2. `hidden`: list of the numbers of units of the hidden layers, possibly empty.
# - `order`: `None` for 0, 1, ..., D-1, or a list: `order[0]` is the pixel that comes first. Inputs and outputs keep their positions (row `d` of the last mask belongs to pixel `d`); the order only changes their degrees.
# - Returns a list of tensors of 0 and 1, one for each layer of weights, `(units out, units in)` like the weight of `nn.Linear`; any dtype.
# - You choose the hidden degrees, evenly or at random. The check uses wide layers and asks that nothing be lost: every allowed pair has a path; for each output some hidden unit sees all pixels before it, so that it can combine them (section 6 needs that for exclusive or); and every hidden unit is of use: it sees a pixel, and some output sees it.
#
# Example: `made_masks(3, [2])` with hidden degrees 1 and 2 is `[[[1, 0, 0], [1, 1, 0]], [[0, 0], [1, 0], [1, 1]]]`.
#
# <details><summary>Hint 1</summary>First the degrees of all layers, as tensors: the place of each pixel in the order, counted from 1, is <code>torch.tensor(order).argsort() + 1</code>; for n hidden units, <code>1 + torch.arange(n) % (D - 1)</code> goes around through 1..D-1.</details>
# <details><summary>Hint 2</summary>A mask compares a column of degrees above with a row of degrees below: <code>above[:, None] >= below</code>.</details>
# <details><summary>Hint 3</summary>The last mask is <code>place[:, None] > degrees_of_last_hidden_layer</code>. Without hidden layers it is <code>place[:, None] > place</code>.</details>

# %%
@check
def made_masks(D: int, hidden: list[int], order: list[int] | None = None) -> list[Tensor]:
    """One mask (units out, units in) of 0 and 1 for each layer of weights."""
    raise NotImplementedError("Replace this line with your answer.")

# %% [markdown]
# The masks of a small network, and their product, which counts the paths from every input (column) to every output (row). Look at the diagonal of the product. (Seven hidden units that draw their degrees at random may miss one of the four degrees; so the allowed pairs are counted with 60 units.)

# %%
first, second = (mask.float() for mask in made_masks(5, [7]))
product = second @ first  # (5, 5) number of paths
show.masks(
    {"input to hidden": first, "hidden to output": second, "is there a path?": (product > 0).float()},
    center=False, title="The product of the masks is strictly lower triangular",
    alt="Masks of a network with 5 inputs, 7 hidden units and 5 outputs; their product has "
    f"{int((product > 0).sum())} entries, all below the diagonal.",
)  # fmt: skip
report("paths on or above the diagonal", int(product.triu().sum()), claimed=0, tolerance=0, exact=True)
first, second = (mask.float() for mask in made_masks(5, [60]))
connected = int((second @ first > 0).sum())
report("connected pairs with 60 hidden units, of 10 allowed", connected, claimed=10, tolerance=0, exact=True)

# %% [markdown]
# **Choose a pixel.** Here is a network with two hidden layers as a drawing, with an order that is not the obvious one. Squares are pixels, with their index inside and their place in the order beside them; circles are hidden units, with their degree inside. Move the slider to another output: what it sees is exactly what comes before it in the order. The last in the order sees all others, the first sees nothing and is a mere bias.

# %%
order = [2, 0, 4, 5, 1, 3]
degrees = made_degrees(6, [8, 8], order)
masks = [(above[:, None] >= below).float() for below, above in itertools.pairwise(degrees)]
lesson02.made_paths([*masks, (degrees[0][:, None] > degrees[-1]).float()], order=order, degrees=degrees, output=1)

# %% [markdown]
# **Build it.** A masked network in ten lines. The mask multiplies the weight in `forward`, at every call; section 9 shows why not once at the start.

# %%
class MaskedNet(nn.Module):
    def __init__(self, masks: list[Tensor]):
        super().__init__()
        self.masks = masks
        self.layers = nn.ModuleList(nn.Linear(m.shape[1], m.shape[0]) for m in masks)

    def forward(self, x: Tensor) -> Tensor:  # (B, D) -> logits (B, D)
        for k, (layer, mask) in enumerate(zip(self.layers, self.masks, strict=True)):
            x = F.linear(torch.relu(x) if k else x, layer.weight * mask.to(x), layer.bias)
        return x

# %% [markdown]
# **Is it a distribution?** Sum over the last pixel of the order: its probabilities are normalized whatever came before, so the sum is 1. Then the one before it, and so on. No normalizing constant is ever computed; the wiring is enough, whatever the weights:
#
# $$\sum_{x \in \{0,1\}^9} p(x) = 1 \tag{2.5}$$
#
# The check uses random weights, enlarged so that the distribution is not flat, and all 512 images of 3 x 3 pixels. For comparison, the same weights with an output mask that says $\ge$ in place of $>$:

# %%
masks = made_masks(9, [40])
seed(0)
net = MaskedNet(masks).double()
with torch.no_grad():
    for weight in net.parameters():
        weight *= 4
x = all_examples((1, 3, 3), 2).flatten(1).double()  # (512, 9)


def mass(net: nn.Module) -> float:
    with torch.no_grad():
        logits = net(x)
    return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1).exp().sum().item()


report("sum of p over 512 images", mass(net), claimed=1.0, tolerance=1e-12, unit="")
place, degree = made_degrees(9, [40])
net.masks = [(degree[:, None] >= place).float(), (place[:, None] >= degree).float()]
report("sum with >= at the output", mass(net), claimed=0.764, tolerance=0.005, unit="")

# %% [markdown]
# Not a distribution any more: each pixel sees itself, so the factors are no conditionals. (The number belongs to these weights; trained to cheat it grows, up to $2^D$, which would mean probability 1 for every image; see section 9.) The same wiring, seen by its derivatives: a logit $\ell_i$ must not depend on $x_j$ for $j \ge i$, and the derivative is not small but *exactly* zero, because it is a sum over no path:
#
# $$\frac{\partial \ell_i}{\partial x_j} = 0 \quad \text{exactly, for all } j \ge i \tag{2.6}$$

# %%
net.masks = masks
jacobian = torch.autograd.functional.jacobian(lambda v: net(v[None])[0], torch.rand(9, dtype=torch.float64))  # (9, 9)
wrong = int((jacobian.triu() != 0).sum())
report("derivatives that are not 0, j at or after i", wrong, claimed=0, tolerance=0, exact=True)
print(f"largest derivative below the diagonal ≈ {jacobian.abs().max().item():.1f}")

# %% [markdown]
# ## 5 Drawing from it
#
# Training asks for the probabilities of a known image: one pass gives all $D$ of them, because every pixel that a conditional needs is already known. Drawing starts from nothing. To draw $x_2$ one needs $x_1$, and so on; this is *ancestral sampling*:
#
# $$x_i \sim p(x_i \mid x_1, \dots, x_{i-1}), \quad i = 1, \dots, D: \qquad \text{training: 1 pass,} \quad \text{drawing: } D \text{ passes} \tag{2.7}$$

# %% [markdown]
# **Exercise 3 · `sample_ar`** · ●○○ · 8 minutes
#
# Draw from any autoregressive model of binary pixels. It is all that the word *generative* stands for here.
#
# - `logits_fn`: maps a LongTensor `(n, D)` to logits `(n, D)`; column `i` is the logit of $x_i = 1$ and depends on `x[:, :i]` only.
# - `n`, `D`: how many vectors to draw, of how many values. `gen`: a `torch.Generator`, the source of all draws.
# - Returns a LongTensor `(n, D)` of 0 and 1. What you fill the tensor with before drawing must not matter. Call `logits_fn` once for each position, $D$ calls in all, and always pass the whole `(n, D)` tensor: all rows, and all columns, drawn or not.
#
# Example: `sample_ar(lambda x: torch.full(x.shape, 20.0), 2, 3, torch.Generator().manual_seed(0))` is two rows of ones, as nearly every draw is.
#
# <details><summary>Hint 1</summary>A loop over positions. In pass <code>i</code> only column <code>i</code> of the logits is of use: those after it rest on values that are not drawn yet.</details>
# <details><summary>Hint 2</summary><code>torch.bernoulli(p, generator=gen)</code>, or compare <code>torch.rand(n, generator=gen)</code> with p. Write the result into <code>x[:, i]</code> before the next pass.</details>

# %%
@check
def sample_ar(logits_fn: Callable[[Tensor], Tensor], n: int, D: int, gen: torch.Generator) -> Tensor:
    """n draws of D binary values in the order 0, 1, ..., D - 1: LongTensor (n, D)."""
    raise NotImplementedError("Replace this line with your answer.")

# %% [markdown]
# Draw 20,000 images from a MADE of the library, with enlarged random weights, and compare how often each of the 512 came up with its probability. The audit turns the $\chi^2$ statistic into a nearly standard normal $z$ (lesson 04 says how): within a few units of 0 it is right. A hook counts the passes. For comparison, the shortcut that many try: all pixels at once, from one pass.

# %%
guess("forward passes for drawing 9 pixels", ...)  # if you like: a number in place of the dots

# %%
seed(0)
model = MADE((1, 3, 3), levels=2, hidden=(40,)).double()
with torch.no_grad():
    for weight in model.parameters():
        weight *= 4


def logits(x: Tensor) -> Tensor:  # (n, 9) -> (n, 9)
    return model(x.long().view(-1, 1, 3, 3)).flatten(1)


passes = []
hook = model.register_forward_hook(lambda *_: passes.append(1))
n = budget(smoke=100, quick=20_000, full=20_000)
with torch.no_grad():
    drawn = sample_ar(logits, n, 9, seed(1)).view(n, 1, 3, 3)
    counted = len(passes)
    hook.remove()
    at_once = torch.bernoulli(torch.sigmoid(logits(torch.zeros(n, 9).long())), generator=seed(1)).long()
report("forward passes for drawing 9 pixels", counted, claimed=9, tolerance=0, exact=True)
z = calibration(model, drawn).z
report("z of the draws", z, claimed=0.0, tolerance=4.0, unit="standard deviations")
z = calibration(model, at_once.view(n, 1, 3, 3)).z
report("z of the draws from one pass", z, claimed=266, tolerance=30, unit="standard deviations")

# %% [markdown]
# **$D$ passes, at the price of one.** A hidden unit of degree $m$ depends on the first $m$ pixels, so it can be computed once and for all when the $m$-th is drawn. The library's `sample` does that, and NADE's recurrence (2.3) is the same idea. From the same random numbers it draws the same images as `sample_naive`, which
# runs the whole network for every pixel. Count the multiplications:

# %%
seed(0)
model = MADE((1, 4, 4), levels=2, hidden=(100, 100))
fast, slow = model.sample(200, rng=seed(0)), model.sample_naive(200, rng=seed(0))
report("pixels of 3,200 that differ", int((fast != slow).sum()), claimed=0, tolerance=2)
flops = {}
for name, draw in {"one pass": lambda: model(stripes.x[:1]), "sample": lambda: model.sample(1, rng=seed(0)),
                   "sample_naive": lambda: model.sample_naive(1, rng=seed(0))}.items():  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        draw()
    flops[name] = counter.get_total_flops()
for name, claimed in {"sample": 1, "sample_naive": 16}.items():
    ratio = flops[name] / flops["one pass"]
    report(f"multiplications of {name}, in passes", ratio, claimed=claimed, tolerance=0, exact=True)
with FlopCounterMode(display=False) as counter:
    nade.sample(1, rng=seed(0))  # 8 x 8 pixels, 20 hidden units; a multiplication and an addition count as two
both = counter.get_total_flops() // 2
report("multiplications of NADE for 64 pixels, 63 H + 64 H", both, claimed=2540, tolerance=0, exact=True)

# %% [markdown]
# The count of (2.3) is exact: 63 columns to add and 64 products with $V_i$, each of $H = 20$ multiplications. The steps still come one after another, $D$ of them, which is what takes the time on parallel hardware. Lesson 06 is about that.
#
# ## 6 What hidden units buy
#
# **What an FVSBN cannot say.** Let $x_1, x_2$ be fair coins and $x_3$ be 1 if they differ ("exclusive or"). The third conditional is a logistic regression on $(x_1, x_2)$. Its expected loss is convex in $(w, b)$, and its gradient at zero is $\mathbb{E}[(\tfrac12 - x_3)(x_1, x_2, 1)] = 0$, since $x_3$ is a fair coin and independent of each of the others *alone*.
# So zero is the minimum, the best regression says 1/2, and it costs $\ln 2$ where the truth costs nothing:
#
# $$\min_{\text{FVSBN}} \mathrm{KL}(p \,\|\, q) = \ln 2 \qquad \text{for } x_3 = x_1 \oplus x_2, \text{ in every order} \tag{2.8}$$
#
# Because the problem is convex, we can find the *best* FVSBN and not just a trained one: minimize until nothing moves. A MADE is not convex; it is trained by Adam on all images at once. (`direct=False` leaves out *direct connections*, which the library's MADE has by default: masked weights from the inputs straight to the outputs, an FVSBN beside the hidden layers.)

# %%
def best(model: FVSBN, x: Tensor) -> FVSBN:
    """The FVSBN of the smallest NLL on the images x, to many digits."""
    optimizer = torch.optim.LBFGS(
        model.double().parameters(), max_iter=budget(smoke=2, quick=3000, full=3000), history_size=50,
        tolerance_grad=1e-12, tolerance_change=1e-14, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        nll = -model.log_prob(x).mean()
        nll.backward()
        return nll

    optimizer.step(loss)
    return model

# %%
def trained(model: nn.Module, x: Tensor, steps: int, lr: float = 2e-2) -> nn.Module:
    """Adam on all images at once, with a cosine schedule."""
    steps = budget(smoke=2, quick=steps, full=steps)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (-model.log_prob(x).mean()).backward()
        optimizer.step()
        schedule.step()
    return model.eval()

# %%
xor = torch.tensor([[a, b, a ^ b] for a in (0, 1) for b in (0, 1)]).view(4, 1, 1, 3)
entropy = 2 * math.log(2)
with torch.no_grad():
    fvsbn_gap = -best(FVSBN((1, 1, 3), 2), xor).log_prob(xor).mean().item() - entropy
report("KL of the best FVSBN on exclusive or", fvsbn_gap, claimed=0.6931, tolerance=1e-4, unit="nats")
seed(0)
made = trained(MADE((1, 1, 3), 2, hidden=(32,), direct=False), xor, steps=600)
with torch.no_grad():
    made_gap = -made.log_prob(xor).mean().item() - entropy
report("KL of a MADE with 32 hidden units", made_gap, claimed=0.0, tolerance=0.005, unit="nats")

# %% [markdown]
# Now the bars and stripes. Before running: raster order reads row by row. Which pixels cost anything, and does the order matter? The chain rule says that all orders are equally right. That holds for the truth; a restricted model may find one order easier than another.

# %% tags=["exact"]
raster = list(range(16))
columns = torch.arange(16).view(4, 4).T.flatten().tolist()
shuffled = {f"random order {s}": torch.randperm(16, generator=seed(s)).tolist() for s in range(8)}
best_of, gaps = {}, {}
for name, order in {"raster": raster, "columns": columns, **shuffled}.items():
    best_of[name] = best(FVSBN((1, 4, 4), 2, order=order), stripes.x)
    gaps[name] = kl_to_model(stripes, best_of[name]).nats
    print(f"{name:15s} KL of the best FVSBN ≈ {gaps[name]:.4f} nats")
report("best FVSBN, raster order", gaps["raster"], claimed=0.0202, tolerance=0.0002, unit="nats")
report("best FVSBN, column by column", gaps["columns"], claimed=0.0202, tolerance=0.0002, unit="nats")
report("best FVSBN, random order 2", gaps["random order 2"], claimed=0.174, tolerance=0.001, unit="nats")
report("best FVSBN, random order 0", gaps["random order 0"], claimed=0.0008, tolerance=0.0002, unit="nats")

# %% [markdown]
# These are infima, not accidents of training: the weights still grow, but the KL has settled to all digits shown. Rows and columns must agree, because transposing an image turns bars into stripes. Among these eight random orders the KL of the best FVSBN differs by a factor of 200, from 0.0008 to 0.174 nats. Now the question from above, pixel by pixel:

# %%
guess("last pixel of the first row, best FVSBN", ...)  # if you like: a number in place of the dots

# %%
with torch.no_grad():
    model = best_of["raster"]
    nats = -model.head.log_prob(model(stripes.x), stripes.x).mean(0)[0]  # (4, 4)
print("nats of each pixel, best FVSBN in raster order:")
for row in nats:
    print("  ".join(f"≈ {value:.3f}" for value in row.abs()))
p = torch.tensor([8 / 9, 1 / 9]).double()  # after 000: eight images go on with 0, one (stripes) with 1
truth = 18 / 30 * -(p * p.log()).sum().item() + 12 / 30 * math.log(2)
report("last pixel of the first row, truth", truth, claimed=0.4866, tolerance=1e-4, unit="nats")
report("last pixel of the first row, best FVSBN", nats[0, 3].item(), claimed=0.5068, tolerance=0.0002, unit="nats")

# %% [markdown]
# Only the first row and the first column cost anything; all other pixels follow from them. And the whole KL of 0.0202 nats sits in one pixel, the last of the first row: 0.5068 in place of 0.4866. Its true logit is $-\ln 8$ after 000, $+\ln 8$ after 111 and 0 after anything else. A linear function that is $-\ln 8$ at 000 and 0 at 100, 010 and 001 is
# $2 \ln 8$ at 111, not $\ln 8$. Hidden units make most of this go away:

# %%
seed(0)
made = trained(MADE((1, 4, 4), 2, hidden=(256,), direct=False), stripes.x, steps=800)
gap = kl_to_model(stripes, made).nats
report("MADE with 256 hidden units, raster order", gap, claimed=0.0012, tolerance=0.0012, unit="nats")
with torch.no_grad():
    everything = made.log_prob(all_examples((1, 4, 4), 2)).exp()  # (65536,)
    on_stripes = made.log_prob(stripes.x).exp().sum().item()
report("sum of p over all 65,536 images", everything.sum().item(), claimed=1.0, tolerance=1e-4, unit="")
report("share of it on the 30 images", on_stripes, claimed=0.9988, tolerance=0.0012, unit="")

# %%
show.grid(
    made.sample(20, rng=seed(0)), levels=2, rows=2, cols=10, title="Twenty draws of the MADE: bars and stripes",
    alt="20 draws of the trained MADE: all have equal rows or equal columns.",
)  # fmt: skip

# %% [markdown]
# What hidden units *can* say and what training *finds* are two things: with 64 hidden units and a quarter of the learning rate, the same MADE stops above the best FVSBN. The library's recipes (`garm train made --data bars_and_stripes`, and `nade`, three seeds each) train fast enough to find it:

# %%
seed(0)
slow = trained(MADE((1, 4, 4), 2, hidden=(64,), direct=False), stripes.x, steps=800, lr=5e-3)
slow_gap = kl_to_model(stripes, slow).nats
report("KL of 64 units at a quarter of the learning rate", slow_gap, claimed=0.07, tolerance=0.03, unit="nats")
for name, claimed in {"made": 0.0007, "nade": 0.0005}.items():
    gap = recorded(f"{name}-bars_and_stripes")["validation"]["kl"]["nats"]
    report(f"recorded KL of {name} on bars and stripes", gap, claimed=claimed, tolerance=0.0001, unit="nats")

# %% [markdown]
# **What an order decides.** All orders describe the same distribution, but a model of one order draws in that order. Give the *bottom* row and ask for the rest: a raster model draws the top first, without knowing. A model of the reversed order has the bottom row first and draws from $p(\text{rest} \mid \text{bottom})$.

# %%
seed(0)
from_below = trained(MADE((1, 4, 4), 2, hidden=(256,), direct=False, order=raster[::-1]), stripes.x, steps=800)
given = torch.zeros(1, 4, 4, dtype=torch.long)
given[0, 3] = torch.tensor([0, 1, 1, 0])  # only one image has this bottom row: vertical stripes
mask = torch.zeros(1, 4, 4, dtype=torch.bool)
mask[0, 3] = True
for name, model, claimed in (("raster", made, 0.03), ("from below", from_below, 0.99)):
    completed = model.sample(500, given=given, mask=mask, rng=seed(0))
    share = (completed == given[:, 3:]).all(-1).all(-1).double().mean().item()  # every row equals the bottom one
    report(f"right completions, order {name}", share, claimed=claimed, tolerance=0.03)

# %% [markdown]
# The raster model is right only when it happens to draw that image anyway, one time in 30. The other one knows.
#
# ## 7 Real digits
#
# The digits of lesson 01: 8 x 8 pixels of 17 levels. Nothing changes but the ends: a level enters as 16 zeros and ones (a *thermometer*: level 5 is five ones followed by zeros), and an output is 17 numbers, a softmax. Masks are repeated for the inputs and outputs of one pixel. One MADE is trained here, on 1,257 images, with 256 hidden units and direct connections; the recorded one of the ladder below has 512 and none.
#
# One detail matters in so short a training, and the next paragraphs show on an FVSBN how it was found and what it is worth there: the output biases start at each pixel's training histogram, so training starts from the baseline *pixel marginals* and not from ignorance. (Every level is counted once more than it occurs, so that no probability is 0.
# In the library the outputs of a pixel are differences, by how much a level is more likely than the one below it. A logit is a sum of up to 17 of them, divided by $\sqrt{17}$ to be of the size of one; hence `diff` and the factor.)

# %%
train, validation = load("digits", "train"), load("digits", "validation")
counts = 1 + F.one_hot(train.x.flatten(1), 17).sum(0)  # (64, 17), one more of each level than there is
log_marginals = (counts / counts.sum(1, keepdim=True)).log()
histogram_bias = math.sqrt(17) * log_marginals.diff(dim=1, prepend=torch.zeros(64, 1)).flatten()  # (64 * 17,)
floor_of_sense = baselines(train, validation)

seed(0)
live = MADE((1, 8, 8), levels=17, hidden=(256,), dropout=0.5, input_dropout=0.2)
with torch.no_grad():
    live.out.bias.copy_(histogram_bias)
history = fit(
    live, train, validation=validation, steps=budget(smoke=2, quick=240, full=240), batch_size=64, lr=3e-3,
    evaluate_every=budget(smoke=1, quick=20, full=20), label="MADE",
)  # fmt: skip
nats = evaluate(live, validation).nats
report("validation NLL of the MADE trained here", nats, claimed=87.9, tolerance=0.8, unit="nats")

# %%
show.curves(
    {"training batches (dropout on)": history.train, "validation": history.validation},
    baselines={name: figure.nats for name, figure in floor_of_sense.items() if name != "uniform"},
    title="Below the class marginals within 20 steps, then slowly on",
    alt="Learning curve of a MADE from step 20 on, where the validation NLL is below the class marginals, 100 nats, "
    "already; it ends near 88 nats, and the training batches end below it, near 82.",
)  # fmt: skip

# %% [markdown]
# A training point is the mean over the 20 steps before it, so the first lies high. Later the training batches fall below the validation images although dropout makes them harder: the network begins to learn its 1,257 images by heart.
#
# **Does the order matter on digits?** Train an FVSBN in raster order and one column by column, the obvious way, with output biases that start near zero, for 80 steps.

# %%
digit_columns = torch.arange(64).view(8, 8).T.flatten().tolist()
digit_orders = {"raster": None, "columns": digit_columns, "random": torch.randperm(64, generator=seed(1)).tolist()}


def fvsbn_of(order: list[int] | None, bias: Tensor | None) -> FVSBN:
    seed(0)
    model = FVSBN((1, 8, 8), levels=17, dropout=0.3, order=order)
    if bias is not None:
        with torch.no_grad():
            model.out.bias.copy_(bias)
    steps = budget(smoke=2, quick=80, full=80)
    fit(model, train, steps=steps, batch_size=64, lr=8e-3, ema=0.98, label="FVSBN")
    return model


naive_orders = {name: fvsbn_of(digit_orders[name], None) for name in ("raster", "columns")}
gap = evaluate(naive_orders["columns"], validation).nats - evaluate(naive_orders["raster"], validation).nats
report("columns minus raster, biases from zero, 80 steps", gap, claimed=20, tolerance=4, unit="nats")

# %% [markdown]
# Twenty nats after 80 steps; after 400 it is still 10. A discovery about digits? A difference this large has a place; ask where. The likelihood is a sum over pixels, so it can be taken apart:

# %%
with torch.no_grad():
    per_pixel = {
        name: -m.head.log_prob(m(validation.x), validation.x).mean(0)[0] for name, m in naive_orders.items()
    }  # (8, 8) nats
difference = per_pixel["columns"] - per_pixel["raster"]
by_column = difference.sum(0).tolist()
report("of it in the first column of pixels", by_column[0], claimed=15.5, tolerance=3, unit="nats")
report("in the second column", by_column[1], claimed=5.3, tolerance=1.5, unit="nats")
report("in the other six together", sum(by_column[2:]), claimed=-0.9, tolerance=1, unit="nats")
bias = naive_orders["columns"].out.bias.view(64, 17)[8, 1].item()  # row 1, column 0: level 1 against level 0
report("a bias of the first column, trained", bias, claimed=-0.36, tolerance=0.05)
report("the same, from the histogram", histogram_bias.view(64, 17)[8, 1].item(), claimed=-22.8, tolerance=0.1)

# %% [markdown]
# Three quarters of it lie in the first column, the rest in the second. The first is almost always empty: there is nothing to know. But column by column these pixels come *first*, have hardly any inputs, and can learn only through their biases, which start at a nearly uniform distribution over 17 levels. Adam moves each by at most about one learning rate per step,
# 0.008 and less as the schedule goes down. So the bias that was printed came to −0.36 in 80 steps, where the histogram asks for −22.8. In raster order these pixels have many inputs, most of them constant, that help to move a logit. It is not the order. It is the initialization. Start the biases at the histograms, and compare again:

# %%
fair_models = {name: fvsbn_of(order, histogram_bias) for name, order in digit_orders.items()}
fair_orders = {name: evaluate(model, validation) for name, model in fair_models.items()}
for name, figure in fair_orders.items():
    print(f"{name:8s} ≈ {figure.nats:.2f} nats, standard error ≈ {figure.stderr:.2f} nats")
with torch.no_grad():
    per_image = {name: -model.log_prob(validation.x) for name, model in fair_models.items()}  # (180,) nats each
paired = per_image["columns"] - per_image["raster"]
report("columns minus raster, biases from histograms", paired.mean(), claimed=0.1, tolerance=0.5, unit="nats")
stderr = paired.std() / math.sqrt(len(paired))
report("its standard error, image by image", stderr, claimed=0.18, tolerance=0.05, unit="nats")
saved = evaluate(naive_orders["raster"], validation).nats - fair_orders["raster"].nats
fair = fair_orders["raster"].nats
report("FVSBN in raster order, biases from histograms", fair, claimed=90.1, tolerance=0.8, unit="nats")
report("what the biases save in raster order", saved, claimed=5, tolerance=1.5, unit="nats")

# %% [markdown]
# The orders agree, the random one with the other two, and raster and columns are both better than before. (Each figure has a standard error of 0.8 nats, but all are measured on the same images. Take the difference image by image: 0.1, with a standard error of 0.18.) On digits the order hardly matters to an FVSBN. That is a fact about digits: on bars and stripes it
# mattered by a factor of 200. What full connection does remove is any preference for neighbors; convolutions have one, lesson 04.
#
# The other models of this lesson were trained with the command `garm train MODEL --data digits --seed 0` (then 1, 2) and recorded; ± is the standard error over the 180 validation images and three seeds. PixelCNN, from lesson 04, is for comparison. This is the first view of the course's **likelihood ladder**, which gets a rung with every model to come. The models of this lesson are orange; a bar of the figure reaches two standard errors to each side, and the ± of the table is one.

# %%
records = {name: recorded(f"{name}-digits") for name in ("fvsbn", "nade", "made", "pixelcnn")}
show.likelihood_ladder(
    records.values(), highlight=["fvsbn", "made", "nade"],
    title="Half a million weights score better when conditionals share them",
)  # fmt: skip

# %%
for name, claimed in {"fvsbn": 89.3, "made": 88.2, "nade": 84.6, "pixelcnn": 80.5}.items():
    nats = records[name]["validation"]["nats"]
    report(f"recorded validation NLL of {name}", nats, claimed=claimed, tolerance=0.05, unit="nats")
used = {"pixelcnn": records["pixelcnn"]["parameters"]}  # its masked weights are not stored
for name in ("fvsbn", "made"):
    model = find(name, "digits").build()  # untrained; only its masks count here
    used[name] = sum(int(layer.mask.sum()) + layer.bias.numel() for layer in [*model.hidden, model.out])
pretrained = load_pretrained("nade-digits")
used["nade"] = records["nade"]["parameters"] - pretrained.W[-1].numel()  # nothing comes after the last pixel
for name, claimed in {"fvsbn": 549_440, "made": 542_303, "nade": 487_592, "pixelcnn": 119_121}.items():
    report(f"weights of {name} that are in use", used[name], claimed=claimed, tolerance=0, exact=True)

# %% [markdown]
# The table counts what is stored, half of it behind masks for FVSBN and MADE; the cell counts what is in use. FVSBN, MADE and NADE use about half a million weights each, for 1,257 images. NADE's are shared between conditionals and score about 4 nats better; PixelCNN shares more, the same kernel at every pixel, and has a quarter as many. Sharing says something true about images,
# and with few of them that counts. FVSBN and MADE are 1.1 nats apart, hardly more than the standard error of either; only a comparison image by image could tell which is better.
#
# Read the ladder with what you saw above in mind. These recorded models start with biases near zero and train for 600 (FVSBN), 900 (MADE) and 800 steps (NADE); the weights that are best on the validation images are kept. The MADE trained here, 87.9 nats after 240 steps, is level with the recorded one, so 900 steps make good what its biases lack. How a model is trained is part of
# its rung.

# %% [markdown]
# Samples, the first 16 of each, nothing selected. Look for strokes that connect, then for digits that you can read.

# %%
show.panels(
    {"validation data": validation.x[:16],
     "FVSBN, trained here": fair_models["raster"].sample(16, rng=seed(0)),
     "NADE": pretrained.sample(16, rng=seed(0)),
     "MADE, trained here": live.sample(16, rng=seed(0))},
    levels=17, title="Strokes connect, but few samples are digits",
    alt="Four grids of 16: real digits, and samples of the FVSBN and the MADE trained above and of the recorded NADE. "
    "The samples have strokes in the right places but few can be read.",
)  # fmt: skip

# %% [markdown]
# The grids resemble each other, image by image, because all three models turned the same random numbers into pixels. Strokes connect and stand in the right places; a few samples can be read, more of NADE's than of the others'. An early accident is never taken back.
#
# ## 8 Many orders in one network
#
# The weights of a MADE do not know the order; only the masks do. So one set of weights can serve many orders. *Order-agnostic* training draws an order for every batch (here one of four that were drawn before), and *connectivity-agnostic* training the hidden degrees $m$ (here one of two sets), much as dropout draws units. What it minimizes is the average over both,
#
# $$\mathcal{L}(\theta) = \mathbb{E}_{\pi, m}\, \mathbb{E}_{x} \Big[ -\sum_{i=1}^{D} \log p_{\theta, m}\big(x_{\pi_i} \mid x_{\pi_1}, \dots, x_{\pi_{i-1}}\big) \Big], \tag{2.9}$$
#
# of which the loss with one order and one set of degrees is an estimate without bias. The result is a family of models $p_1, \dots, p_K$, all exact and all different, since they are trained imperfectly. Their mean is a model again, a mixture, and by Jensen's inequality (the logarithm is concave) it is at least as good as the average member:
#
# $$\bar p(x) = \frac1K \sum_{k=1}^{K} p_k(x), \qquad -\log \bar p(x) \;\le\; \frac1K \sum_{k=1}^{K} -\log p_k(x) \tag{2.10}$$

# %%
seed(0)
agnostic = MADE((1, 4, 4), 2, hidden=(256,), direct=False, orders=4, connectivities=2)
agnostic = trained(agnostic.train(), stripes.x, steps=1600, lr=1e-2)
members = []
for order, connectivity in itertools.product(range(4), range(2)):
    agnostic.select(order, connectivity)
    members.append(kl_to_model(stripes, agnostic).nats)
agnostic.select()
print("KL of the eight members in nats:", " ".join(f"≈ {kl:.3f}" for kl in members))
ensemble = -agnostic.ensemble_log_prob(stripes.x).mean().item() - math.log(30)
report("mean KL of the members", sum(members) / 8, claimed=0.11, tolerance=0.03, unit="nats")
report("KL of the best member", min(members), claimed=0.047, tolerance=0.02, unit="nats")
report("KL of the ensemble", ensemble, claimed=0.09, tolerance=0.03, unit="nats")
total = agnostic.ensemble_log_prob(all_examples((1, 4, 4), 2)).exp().sum().item()
report("sum of the ensemble over all 65,536 images", total, claimed=1.0, tolerance=1e-4, unit="")

# %% [markdown]
# Each member is worse than the network that had one order to learn (section 6). Their mixture beats the average member (0.108), as (2.10) promises, but not the best (0.047). What one gains is freedom: a part of an image can be completed exactly if one of the trained orders has it first, where section 6 needed a second network. Four orders serve few parts; that is why MADE
# trains with many.
#
# ## 9 Break it
#
# **The fault that looks like a success.** Write $\ge$ at the output. Each pixel sees itself. On real data one would see a loss that is too good; here one sees that it is impossible, because the floor is known.

# %%
def history_of(made: MADE, loosen: bool) -> list[tuple[int, float]]:
    if loosen:
        made.out.set_mask((made.degrees[0][:, None] >= made.degrees[-1]).float())  # should be >
    points = []
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-2)
    for step in range(budget(smoke=3, quick=150, full=150)):
        loss = -made.log_prob(stripes.x).mean()
        points.append((step, loss.item()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return points


seed(0)
honest, broken = (MADE((1, 4, 4), 2, hidden=(256,), direct=False) for _ in range(2))
runs = {"output mask >": history_of(honest, False), "output mask >=": history_of(broken, True)}
show.curves(
    runs, floors={"entropy of the data": math.log(30)}, ylim=(0, 12), title="Below the entropy: no model can be there",
    alt="NLL over 150 steps: the honest network approaches the entropy of 3.40 nats from above, the one with a wrong "
    "output mask falls through it and approaches 0.",
)  # fmt: skip

# %% tags=["exact"]
report("NLL of the broken MADE", runs["output mask >="][-1][1], claimed=0.04, tolerance=0.02, unit="nats")
print(f"sum over all 65,536 images ≈ {normalization(broken).total:.0f}")
print(causality(broken))

# %% [markdown]
# The audit names the pixel that sees itself. A strict mask, which lesson 04 calls "kind A", is missing: here that of the output.
#
# **The fault that no sum shows.** Write $>$ in the hidden layers as well. The network stays causal, its probabilities still sum to one, and both audits pass. But it starves: pixel $i$ no longer sees its predecessor. The product of the masks shows it, and so does a fit:

# %% tags=["exact"]
starved = MADE((1, 4, 4), 2, hidden=(256,), direct=False)
strict = (starved.degrees[1][:, None] > starved.degrees[0]).float()  # should be >=
starved.hidden[0].set_mask(strict)
lost = 120 - int((starved.out.mask @ strict > 0).sum())
report("connections lost, of 120", lost, claimed=15, tolerance=0, exact=True)
print(normalization(starved), "·", causality(starved))
seed(0)
gap = kl_to_model(stripes, trained(starved, stripes.x, steps=800)).nats
report("KL of the starved MADE", gap, claimed=1.36, tolerance=0.3, unit="nats")

# %% [markdown]
# **The fault that comes later.** Multiply the weights by the mask *once*, when the network is made. The audit passes. Then one step of training brings the removed weights back, because their gradients were never zero:

# %%
seed(0)
once = MaskedNet([torch.ones(16, 16) for _ in range(2)])  # no mask in forward ...
with torch.no_grad():
    for layer, mask in zip(once.layers, made_masks(16, [16]), strict=True):
        layer.weight.mul_(mask)  # ... but weights that start masked


def once_logits(images: Tensor) -> Tensor:
    return once(images.flatten(1).float()).view(images.shape)


print("before:", causality(once_logits, shape=(1, 4, 4), levels=2))
optimizer = torch.optim.SGD(once.parameters(), lr=0.1)
F.binary_cross_entropy_with_logits(once_logits(stripes.x), stripes.x.float()).backward()
optimizer.step()
print("after: ", causality(once_logits, shape=(1, 4, 4), levels=2))

# %% [markdown]
# So: multiply in `forward`, and audit *after* a training step.
#
# ## 10 What the article says
#
# The course grew out of a Chinese article, 生成式AIGC：AI技术的前沿探索 (*Generative AIGC: exploring the frontier of AI*), and checks its claims, lesson by lesson. It calls these models "generative autoregressive models (GARMs)", presents them as recent, and describes them as *a prior model and a conditional generative model*. One claim can be tried at once. It
# writes the product rule as $p(x, y) = p(x \mid y)\, q(y)$. For which $q$ is that true?

# %%
pair = joint.sum((2, 3))  # p(x, y) of two bits
p_y = pair.sum(0)  # (2,)
x_given_y = pair / p_y
candidates = {"marginal": p_y, "uniform": torch.full((2,), 0.5)}
errors = {name: (x_given_y * q - pair).abs().max().item() for name, q in candidates.items()}
report("error of the product rule, q the marginal of y", errors["marginal"], claimed=0.0, tolerance=1e-12, unit="")
report("the same, q uniform", errors["uniform"], claimed=0.028, tolerance=0.001, unit="")

# %% [markdown]
# | the article | verdict | what this lesson says |
# |---|---|---|
# | GARMs are a recent development, a more stable answer to GANs and VAEs | wrong | Frey, Hinton and Dayan used the chain rule this way in 1995, Bengio and Bengio with hidden units in 1999; NADE is of 2011, MADE of 2015; VAEs are of 2013 and GANs of 2014. "GARM" is no established name: the field says *autoregressive model* |
# | these models split generation into conditional steps | right | equation (2.1), exact in every order |
# | … which makes generation efficient | wrong | drawing takes $D$ steps, one after another; what is parallel is training (2.7) |
# | model the data by a *prior model*, then by a *conditional generative model*; sample from both | wrong | there is no prior here and nothing to combine, only the chain of conditionals; ancestral sampling (2.7) is all. Prior and conditional decoder describe a latent-variable model (lesson 10) |
# | the model is written $M_\theta(x)$ | imprecise | a number for every $x$ is no model until it is stated what it means: here $p_\theta(x)$, non-negative and with sum one (2.5) |
# | $p(x, y) = p(x \mid y)\, q(y)$ | imprecise | the product rule holds if $q$ is the marginal of $y$, and for nothing else; it holds for *every* joint distribution, so there is nothing autoregressive in it |
# | $p(x_i \mid y_i) = p(x_i, y_i) / p(y_i)$ | right, circular | the definition of a conditional. By this route $p(y)$ is a sum over all images, $256^{784}$ terms for MNIST. An autoregressive model never needs it, because every factor is normalized by itself |
#
# ## 11 Check yourself

# %% [markdown]
# 1. The chain rule holds in every order. Why then does the best FVSBN depend on the order?
#
# <details><summary>Answer</summary>The true conditionals exist in every order, but they are different functions. Whether each of them is a logistic regression on the pixels before it depends on the order.</details>
#
# 2. A MADE has hidden degrees 1, 1, 2 and 4 for D = 5. Which pairs are lost?
#
# <details><summary>Answer</summary>A path from input j to output d needs a hidden degree m with j ≤ m < d. Degree 3 is missing, so the pair (3, 4) is lost: output 4 does not see input 3. All others have a path: output 5 sees inputs 3 and 4 through degree 4.</details>
#
# 3. Your model's probabilities sum to one over all images of a small space. Is its mask right?
#
# <details><summary>Answer</summary>Not necessarily. The sum is one for every chain of normalized conditionals: also for a starved network, and for one that is causal in another order than yours. Test the derivatives (2.6) and the connections as well.</details>
#
# 4. What happens to a hidden unit of degree D?
#
# <details><summary>Answer</summary>It has seen all pixels, so no output may use it: even the last one needs m < D. The network stays right, and the unit is wasted. Hence degrees of at most D - 1.</details>
#
# 5. Somebody reports that for their model raster order beats column order by twenty nats. What do you ask for?
#
# <details><summary>Answer</summary>The difference pixel by pixel. If it sits in pixels that are nearly constant, it is a matter of initialization or of training time, not of the order.</details>

# %% [markdown]
# ## Take-aways
#
# - The chain rule is exact in every order. A model begins where the conditionals are restricted: logistic (FVSBN), shared hidden units (NADE), masks (MADE).
# - Degrees make any network causal: hidden $\ge$, output $>$, multiplied in `forward`. The sum is one for any weights.
# - Training is one pass, drawing is $D$ steps, and with care the work of one pass.
# - The order decides which questions a model can answer exactly, and what a weak model can represent. Before you blame it, take the difference apart pixel by pixel.
#
# ## Where next
#
# - Larochelle, Murray, *The Neural Autoregressive Distribution Estimator*, AISTATS 2011 (PMLR 15): the recurrence (2.3).
# - Germain, Gregor, Murray, Larochelle, *MADE: Masked Autoencoder for Distribution Estimation*, ICML 2015, arXiv 1502.03509: masks, and order-agnostic and connectivity-agnostic training.
# - Bengio, Bengio, *Modeling High-Dimensional Discrete Data with Multi-Layer Neural Networks*, NIPS 1999: hidden units for every conditional, before NADE.
# - Uria, Murray, Larochelle, *A Deep and Tractable Density Estimator*, ICML 2014, arXiv 1310.1757: order-agnostic training of NADE, and ensembles of orders.
# - Uria, Côté, Gregor, Murray, Larochelle, *Neural Autoregressive Distribution Estimation*, JMLR 17, 2016, arXiv 1605.02226: the review of this family.
# - Frey, Hinton, Dayan, *Does the Wake-Sleep Algorithm Produce Good Density Estimators?*, NIPS 1995: the FVSBN as a baseline.
# - In the library, read [`made.py`](../garm_course/autoregressive/made.py): `forward` and `step` stand side by side. Lesson 03 makes the conditionals recurrent, lesson 04 convolutional.

# %%
claims()
