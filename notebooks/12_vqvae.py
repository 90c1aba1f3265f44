# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 12 · VQ-VAE: codes that are whole numbers
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/12_vqvae.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F12_vqvae.ipynb)
#
# **How can an autoencoder have a code of whole numbers, when choosing a whole number has no gradient, and what may its score be called?**
#
# | | |
# |---|---|
# | Time | 80 minutes; the cells run in about half a minute |
# | Before this | PyTorch modules and gradients; the ELBO of [lesson 10](10_vae.ipynb); the gated PixelCNN of [lesson 04](04_pixelcnn.ipynb), which returns as a prior |
# | Afterwards you can | *derive* the gradients of the codebook's and the encoder's loss, *implement* a quantizer with a straight-through gradient, *diagnose* a dead codebook, *compare* rates under two priors, *say* what the score of a VQ-VAE bounds and what it is not |
# | Papers | van den Oord, Vinyals, Kavukcuoglu, *Neural Discrete Representation Learning*, NIPS 2017, arXiv [1711.00937](https://arxiv.org/abs/1711.00937) · Bengio, Léonard, Courville, *Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation*, 2013, arXiv [1308.3432](https://arxiv.org/abs/1308.3432) · Dhariwal, Jun, Payne, Kim, Radford, Sutskever, *Jukebox: A Generative Model for Music*, 2020, arXiv [2005.00341](https://arxiv.org/abs/2005.00341) |

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
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.utils.data import TensorDataset

from garm_course import (
    budget, check, claims, fit, guess, load, load_pretrained, recorded, recorded_on, report, seed, show,
)  # fmt: skip
from garm_course.autoregressive import GatedPixelCNN
from garm_course.evaluation import all_examples, evaluate, rate_distortion
from garm_course.latent import ConvVQVAE, TwoStage, VQLoss
from garm_course.lessons import lesson12

# %% [markdown]
# ## 1 The question, in pictures
#
# The data are printed digits of 28 x 28 black and white pixels: one of 8,910 shapes, drawn with equal probability, then each pixel flips with probability 0.01. So the entropy is known, and it has two parts:
# which shape it is, and which pixels flipped. Look for the flipped pixels.

# %%
train, validation = load("glyphs", "train"), load("glyphs", "validation", n=500)
show.grid(
    validation.x, levels=2, title="A few shapes, and noise that no model can foresee",
    alt="The first 16 validation glyphs, printed digits in several fonts with about 8 flipped pixels each.",
)  # fmt: skip

# %%
shape_nats = math.log(len(train.prototypes))
flip_nats = 784 * (-0.01 * math.log(0.01) - 0.99 * math.log(0.99))
report("shapes", len(train.prototypes), claimed=8910, tolerance=0, exact=True)
report("entropy of the shape", shape_nats, claimed=9.1, tolerance=0.01, unit="nats")
report("entropy of the flips", flip_nats, claimed=43.9, tolerance=0.01, unit="nats")
report("entropy of an image, the floor", train.entropy().nats, claimed=53.0, tolerance=0.02, unit="nats")

# %% [markdown]
# A PixelCNN draws such an image in 784 steps, one for each pixel, and spends most of them on empty paper. A VAE draws it in one step, from a code of real numbers. Between the two there is a third way: **translate the image into a short text**,
# here 49 whole numbers from an alphabet of 64 on a 7 x 7 grid, and let an autoregressive model learn to write such texts. Language, sound and images then look alike to that model. The question is how an encoder can learn to put out whole numbers.
#
# **Try the naive thing first:** the encoder puts out a real number, we round it and train by gradient descent. A loss that wants to be at 0.3, with rounding between the encoder's output and the loss:

# %%
z = torch.tensor(0.2, requires_grad=True)
loss = (torch.round(z) - 0.3) ** 2
loss.backward()
print(f"loss == {loss.item():.2f}, gradient == {z.grad.item():.2f}")
lesson12.staircase(
    [-1.4, -0.5, 0.5, 1.4], [(c - 0.3) ** 2 for c in (-1, 0, 1)], at=z.item(), ylabel="loss after rounding",
    title="A staircase has no slope to follow", xlabel="z, output of the encoder",
    alt="Loss over the encoder's output: flat treads at 1.69, 0.09 and 0.49 with jumps at -0.5 and 0.5; z = 0.2 is "
    "marked on the lowest.",
)  # fmt: skip

# %% [markdown]
# The gradient is 0 wherever it exists: a small change of the encoder changes no whole number, so the encoder never learns. This lesson gives the encoder a gradient that is *wrong but useful*, and then looks at what is wrong about it.
#
# ## 2 The nearest code, and a gradient for it
#
# **Step 1: a codebook.** Rounding replaces a number by the nearest whole number. In more dimensions keep a **codebook** of $K$ vectors $e_0, \dots, e_{K-1}$ and replace a vector $z$ by the nearest of them; the code is its index. For all vectors and codes at once, expand the square:
#
# $$c(z) = \arg\min_k \|z - e_k\|^2, \qquad \|z - e\|^2 = \|z\|^2 - 2\, z^\top e + \|e\|^2 \tag{12.1}$$
#
# The right-hand side needs one product of matrices, and $\|z\|^2$ is the same for all codes, so the minimum does not need it.

# %%
rng = seed(0)
z = torch.randn(500, 4, dtype=torch.float64, generator=rng)
codebook = torch.randn(64, 4, dtype=torch.float64, generator=rng)
expanded = (z**2).sum(1, keepdim=True) - 2 * z @ codebook.T + (codebook**2).sum(1)  # (500, 64)
gap = (expanded - torch.cdist(z, codebook) ** 2).abs().max().item()
report("largest error of (12.1)", gap, claimed=0, tolerance=1e-9)
same = (expanded - (z**2).sum(1, keepdim=True)).argmin(1).equal(torch.cdist(z, codebook).argmin(1))
print("the same codes without |z|²:", same)

# %% [markdown]
# **Step 2: straight through.** Give the decoder the code's vector, and let the gradient pass as if nothing had been replaced. With $\mathrm{sg}$ (*stop gradient*, `.detach()` in PyTorch), which is the identity in the forward pass and has derivative 0,
#
# $$z_q = z + \mathrm{sg}(e_{c(z)} - z), \qquad \text{value } e_{c(z)}, \quad \frac{\partial z_q}{\partial z} = I, \quad \frac{\partial z_q}{\partial e} = 0 \tag{12.2}$$
#
# This is a definition and not a derivation: the true derivative is 0 almost everywhere. Check what autograd makes of it:

# %%
z.requires_grad_(), codebook.requires_grad_()
e = codebook[torch.cdist(z, codebook).argmin(1)]
z_q = z + (e - z).detach()
weight = torch.randn(500, 4, dtype=torch.float64, generator=rng)  # any gradient that comes back from a decoder
to_z, to_codes = torch.autograd.grad((z_q * weight).sum(), (z, codebook), allow_unused=True)
print("value is e:", torch.allclose(z_q, e), "| gradient at z is that at z_q:", torch.equal(to_z, weight))
print("gradient of the codebook:", to_codes)

# %% [markdown]
# **Exercise 1 · `quantize`** · ●●○ · 10 minutes
#
# Write (12.1) and (12.2) for a grid of vectors, as a convolutional encoder puts it out. In the forward pass this is all that makes a VQ-VAE differ from an autoencoder; what trains the codebook comes in section 3.
#
# - `z`: `(B, C, H, W)`, one vector of `C` numbers at each of `H x W` places: `z[b, :, h, w]`. `codebook`: `(K, C)`.
# - Returns `z_q` `(B, C, H, W)`, whose value is the nearest codes and whose gradient goes to `z` unchanged and not to the codebook; and the indices, LongTensor `(B, H, W)`, 0 to K - 1.
#
# Example: with `C = 1`, the codebook `[[-1.], [0.], [1.]]` and places holding `[0.9, -0.2]`, the codes are `[2, 1]` and `z_q` is `[1., 0.]`.
#
# <details><summary>Hint 1</summary><code>reshape</code> alone would mix channels and places. First move the channels to the end: <code>z.movedim(1, -1)</code> is <code>(B, H, W, C)</code>; then flatten to one vector per row.</details>
# <details><summary>Hint 2</summary><code>torch.cdist(rows, codebook)</code> is <code>(B H W, K)</code>. Its <code>argmin(1)</code> reshaped to <code>(B, H, W)</code> is the index; <code>codebook[index]</code> has the channels last.</details>
# <details><summary>Hint 3</summary><code>(e - z).detach()</code> is a constant: <code>z</code> plus it has the value of <code>e</code> and the gradient of <code>z</code>.</details>


# %%
@check
def quantize(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest codes of (B, C, H, W) in (K, C): z_q with a straight-through gradient, and indices (B, H, W)."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# **Step 3: what it gets wrong.** Back to one dimension: codes $-1, 0, 1$ and the loss $f(e) = (e - 0.3)^2$. The best code is 0, with a loss of 0.09. An encoder at $z = 0.2$ chooses it already. But straight through, the gradient is $f'(0) = -0.6$: it does not know that $z$ has reached the best code, and pushes on,
# until $z$ crosses the border at 0.5 to code 1. There the gradient is $f'(1) = 1.4$, and pushes back. The next cell counts how often $z$ is on each side; the picture of its path follows in section 3.

# %%
line = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)


def descend(beta: float, n: int = 300, lr: float = 0.02) -> tuple[list, Tensor]:
    z, path, losses = torch.tensor(0.2, dtype=torch.float64).reshape(1, 1, 1, 1), [], []
    for _ in range(n):
        z = z.detach().requires_grad_()
        z_q, _ = quantize(z, line)
        loss = (z_q - 0.3).square().sum()
        (loss + beta * (z - z_q.detach()).square().sum()).backward()
        path.append(z.item())
        losses.append(loss.item())
        z = z - lr * z.grad
    return list(enumerate(path)), torch.tensor(losses[-200:])


path, losses = descend(beta=0.0)
report("mean loss straight through", losses.mean().item(), claimed=0.21, tolerance=0.01)
report("share of steps at the worse code", (losses > 0.1).double().mean().item(), claimed=0.3, tolerance=0.02)

# %% [markdown]
# It never settles. It sits on the border, spends 30 % of its steps at the worse code (the two slopes balance: $0.6 \cdot 0.7 = 1.4 \cdot 0.3$), and its mean loss is $0.7 \cdot 0.09 + 0.3 \cdot 0.49 = 0.21$ and not 0.09. The straight-through gradient is **biased**: it is the slope of $f$ at the code, and not of what the encoder can do about the code.
#
# ## 3 Two more losses: one for the codebook, one for the encoder
#
# Two things are missing. The codebook gets no gradient at all (12.2), and nothing keeps the encoder near the code that it chose. Two squared distances mend both, with a weight $\beta$:
#
# $$L = \underbrace{\|\mathrm{sg}(z) - e\|^2}_{\text{codebook}} + \beta\, \underbrace{\|z - \mathrm{sg}(e)\|^2}_{\text{commitment}}, \qquad \frac{\partial L}{\partial e} = 2\,(e - z), \quad \frac{\partial L}{\partial z} = 2\beta\,(z - e) \tag{12.3}$$
#
# The value is $(1 + \beta) \|z - e\|^2$, whatever is detached. Only the *gradients* tell the versions apart. Compare five of them. The *pull on z* is the gradient at $z$ divided by $2(z - e)$, the *pull on e* that at $e$ divided by $2(e - z)$: (12.3) wants $\beta$ and 1.

# %%
z, e = (torch.randn(6, dtype=torch.float64, generator=rng).requires_grad_() for _ in "ze")
beta, sq = 0.25, lambda a, b: F.mse_loss(a, b, reduction="sum")
versions = {
    "(12.3)": sq(z.detach(), e) + beta * sq(z, e.detach()),
    "nothing detached": sq(z, e) + beta * sq(z, e),
    "detached the wrong way round": sq(z, e.detach()) + beta * sq(z.detach(), e),
    "z detached twice": sq(z.detach(), e) + beta * sq(z.detach(), e),
    "e detached twice": sq(z, e.detach()) + beta * sq(z, e.detach()),
}  # fmt: skip
for name, value in versions.items():
    to_z, to_e = torch.autograd.grad(value, (z, e), allow_unused=True)
    pulls = [0.0 if g is None else (g / d).mean().item() / 2 for g, d in ((to_z, z - e), (to_e, e - z))]
    print(f"{name:29s} value == {value.item():.4f}, pull on z == {pulls[0]:.2f}, pull on e == {pulls[1]:.2f}")

# %% [markdown]
# All five have one value and five different pairs of gradients. With the detaches swapped, the encoder is pulled four times as hard as the codebook; at the same weights no plot of the loss can show it.
#
# The pull on the encoder is less than that on the codebook ($\beta < 1$), because the encoder has a second task, to please the decoder. What does it do on the line? Call the $z$ that are nearest to a code its *cell*; that of code 0 reaches from -0.5 to 0.5. At code 0 the two forces on $z$ balance where $-0.6 + 2 \beta z = 0$, at $z = 0.3 / \beta$. With $\beta = 2$ that is 0.15, well inside the cell of the code, where the loss is 0.09 wherever $z$ is:

# %%
committed_path, committed = descend(beta=2.0)
report("mean loss with commitment", committed.mean().item(), claimed=0.09, tolerance=1e-6)
report("where z ends with commitment", committed_path[-1][1], claimed=0.15, tolerance=1e-3)
show.curves(
    {"straight through only": path[:80], "with commitment": committed_path[:80]},
    baselines={"border of two codes": 0.5}, xlabel="step of gradient descent", ylabel="z, output of the encoder",
    title="Straight through, z ends on the border; commitment keeps it inside", ylim=(0.1, 0.6),
    alt="The first 80 of 300 steps of z: without commitment it rises from 0.2 to the border at 0.5 and zigzags "
    "across it; with commitment it settles at 0.15.",
)  # fmt: skip

# %% [markdown]
# Commitment does not remove the bias, it limits it: $z$ stays in the cell only if $\beta$ holds it against the decoder's slope, here $2\beta \cdot 0.5 > 0.6$, that is $\beta > 0.6$. Try both sides, $\beta = 0.25$ as the paper has it, and 0.61:

# %%
for beta, far_share, far_loss in ((0.25, 0.24, 0.186), (0.61, 0, 0.09)):
    _, losses = descend(beta)
    far = (losses > 0.1).double().mean().item()
    report(f"share of steps at the worse code, beta {beta}", far, claimed=far_share, tolerance=0.02)
    report(f"mean loss, beta {beta}", losses.mean().item(), claimed=far_loss, tolerance=0.01)

# %% [markdown]
# With 0.25, $z$ still sits on the border: 24 % of its steps are at the worse code, and the mean loss is 0.19. So $\beta$ has no good value by itself: it is relative to the size of the decoder's gradient. And in a real model the codebook moves as well; the rest of the lesson keeps the paper's 0.25.

# %% [markdown]
# **Exercise 2 · `vq_loss`** · ●●○ · 6 minutes
#
# Write (12.3). A plot of the loss cannot tell whether the detaches are right, so the check looks at the gradients.
#
# - `z`: output of the encoder; `e`: the codes chosen for it, of the same shape (any). `beta`: weight of the commitment.
# - Returns a scalar. Both terms are **means over all elements** (and not sums, as in the formula): the convention of the paper's code.
#
# Example: `vq_loss(torch.tensor([1.]), torch.tensor([3.]), 0.25)` is 5, which is $4 + 4/4$; its gradient is $-1$ at `z` and $4$ at `e`.
#
# <details><summary>Hint 1</summary>Detach what a term shall <em>not</em> move. The first term moves the codebook.</details>
# <details><summary>Hint 2</summary><code>F.mse_loss(a, b)</code> is the mean of the squared differences, with a gradient for both arguments unless one is detached.</details>


# %%
@check
def vq_loss(z: Tensor, e: Tensor, beta: float) -> Tensor:
    """mean |sg(z) - e|² + beta mean |z - sg(e)|²: a scalar."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# ## 4 The codebook as a moving average
#
# The codebook's loss pulls a code to the vectors that chose it, and is least when $e$ is their **mean**. So one may as well compute the mean. Keep for each code $k$ a moving count $N_k$ and a moving sum $m_k$ of the vectors that chose it; with $n_k$ and $\sum_{i: c_i = k} z_i$ of the current batch and a decay $\gamma$,
#
# $$N_k \leftarrow \gamma N_k + (1 - \gamma)\, n_k, \qquad m_k \leftarrow \gamma\, m_k + (1 - \gamma) \sum_{i:\, c_i = k} z_i, \qquad e_k = \frac{m_k}{N_k} \tag{12.4}$$
#
# Sum and count are averaged *before* the division, so a batch in which a code is chosen twice weighs less than one in which it is chosen forty times.

# %% [markdown]
# **Exercise 3 · `ema_update`** · ●●○ · 10 minutes
#
# Write (12.4). With it the codebook needs no optimizer, no learning rate and no loss of its own; only the commitment remains in (12.3).
#
# - `N` `(K,)` and `m` `(K, C)`: the moving counts and sums. `index`: LongTensor `(M,)`, the code of each vector. `z`: `(M, C)`, the vectors. `decay`: γ, at least 0 and below 1.
# - Returns the new `N` `(K,)`, the new `m` `(K, C)`, and the codebook `e` `(K, C)`. Where the new `N` is 0 (the code was never chosen, or at decay 0 not in this batch), `e` is 0 (only as a convention of this exercise; the library keeps the old code). `N` and `m` that come in stay as they are.
#
# Example: `ema_update(torch.zeros(2), torch.zeros(2, 1), torch.tensor([1, 1]), torch.tensor([[2.], [4.]]), 0.0)`, where both vectors chose code 1: `N = [0, 2]`, `m = [[0], [6]]`, `e = [[0], [3]]`.
#
# <details><summary>Hint 1</summary><code>n[index] += 1</code> counts a repeated index once. <code>torch.zeros_like(N).index_add(0, index, ones)</code> counts all, and does the same for sums of rows.</details>
# <details><summary>Hint 2</summary>Or make one-hot rows <code>(M, K)</code>: their sum over the rows is the count, their transpose times <code>z</code> the sums.</details>
# <details><summary>Hint 3</summary><code>m / N.clamp(min=1e-12).unsqueeze(1)</code>: where <code>N</code> is 0, <code>m</code> is 0 as well.</details>


# %%
@check
def ema_update(N: Tensor, m: Tensor, index: Tensor, z: Tensor, decay: float) -> tuple[Tensor, Tensor, Tensor]:
    """One step of (12.4): new N (K,), new m (K, C), codebook e (K, C)."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# You know this algorithm. With decay 0, assigning each vector to the nearest code and moving each code to the mean of its vectors is **one step of $k$-means**, as long as every code is chosen by somebody. Compare with scikit-learn, which starts from the same centers and stops after one step:

# %%
points = torch.randn(600, 4, dtype=torch.float64, generator=rng)
start = points[:8].clone()
index = torch.cdist(points, start).argmin(1)
N, m, e = ema_update(torch.zeros(8).double(), torch.zeros(8, 4).double(), index, points, decay=0.0)
lloyd = KMeans(8, init=start.numpy(), n_init=1, max_iter=1).fit(points.numpy()).cluster_centers_
report("EMA with decay 0 against one step of k-means", abs(e.numpy() - lloyd).max(), claimed=0, tolerance=1e-9)

# %% [markdown]
# With a decay near 1 it is $k$-means on a stream of batches, forgetting slowly, as it must: the encoder moves while the codebook learns.
#
# **How many codes are in use?** Codes that nobody chooses get no vectors and do not move; so they usually stay unchosen, unless the encoder's outputs happen to come near them. The number to watch is the perplexity of the code frequencies $\bar p_k$,
#
# $$\text{perplexity} = \exp H(\bar p) = \exp\Big(-\sum_{k=0}^{K-1} \bar p_k \log \bar p_k\Big) \in [1, K] \tag{12.5}$$
#
# the size of an alphabet with equal frequencies and the same entropy. It is at least 1 because $H \ge 0$, and at most $K$ because no distribution on $K$ codes has more entropy than the uniform one.

# %% [markdown]
# **Exercise 4 · `codebook_perplexity`** · ●○○ · 5 minutes
#
# Write (12.5). Every VQ-VAE in this course is watched with it.
#
# - `index`: LongTensor of any shape, codes 0 to K - 1: all of its indices together make one histogram. `n_codes`: K.
# - Returns a scalar tensor (any float dtype). A code that does not occur adds 0 to the entropy.
#
# Example: `codebook_perplexity(torch.tensor([0, 0, 3, 3]), 8)` is 2.
#
# <details><summary>Hint 1</summary><code>torch.bincount(index.flatten(), minlength=n_codes)</code> counts; divide by <code>index.numel()</code>.</details>
# <details><summary>Hint 2</summary><code>torch.xlogy(p, p)</code> is p log p, and 0 at 0. The sign turns over when you sum.</details>


# %%
@check
def codebook_perplexity(index: Tensor, n_codes: int) -> Tensor:
    """exp of the entropy of the frequencies of the codes: a scalar in [1, K]."""
    raise NotImplementedError("Replace this line with your answer.")


# %%
guess("perplexity of 4 codes, one nearly always", ...)  # if you like: a number in place of the dots

# %%
uneven = torch.tensor([0] * 97 + [1, 2, 3])
report("perplexity of 8 codes, equally often", codebook_perplexity(torch.arange(8), 8), claimed=8, tolerance=1e-5)
report("perplexity of one code", codebook_perplexity(torch.full((50,), 5), 8), claimed=1, tolerance=1e-5)
report("perplexity of 4 codes, one nearly always", codebook_perplexity(uneven, 8), claimed=1.18, tolerance=0.01)

# %% [markdown]
# The last one is why one counts with the entropy: four codes occur, but in effect the alphabet has 1.18 letters.
#
# ## 5 What the number means
#
# **Step 1: the rate.** A VAE pays for its code with $\mathrm{KL}(q(c \mid x) \,\|\, p(c))$. Here $q$ is deterministic: all its mass lies on the one map of codes $c(x)$. With $h \times w$ places and a uniform prior, $p(c) = K^{-hw}$, and
#
# $$\mathrm{KL} = \sum_c q(c \mid x) \log \frac{q(c \mid x)}{p(c)} = 1 \cdot \log \frac{1}{p(c(x))} = h w \log K \ \text{nats} = h w \log_2 K \ \text{bits} \tag{12.6}$$
#
# It is the same for every image and every encoder: nothing in it can be trained, and so the paper's loss leaves it out. With a learned prior the same line reads $-\log p(c(x))$, which *can* be made smaller.

# %%
bits = 49 * math.log2(64)
report("rate of 7 x 7 codes of 64, uniform prior", bits, claimed=294, tolerance=0, unit="bits", exact=True)
report("the same rate in nats", 49 * math.log(64), claimed=203.8, tolerance=0.05, unit="nats")

# %% [markdown]
# **Step 2: a bound.** Call $-\log p(x \mid c(x))$, what the pixels cost once the codes are known, the **distortion**. The model's probability of an image sums over *all* maps of codes, since another map might have produced the same image. Dropping all terms but one makes a sum of positive terms smaller:
#
# $$\log p(x) = \log \sum_{c} p(c)\, p(x \mid c) \;\ge\; \log p(c(x)) + \log p(x \mid c(x)) = -(\text{rate} + \text{distortion}) \tag{12.7}$$
#
# So rate + distortion is an **upper bound** on the model's NLL. It is not the NLL. The gap has a name. By Bayes' rule $p(c \mid x) = p(c)\, p(x \mid c) / p(x)$, and with $c = c(x)$,
#
# $$\log p(x) - \big[\log p(c(x)) + \log p(x \mid c(x))\big] = -\log p(c(x) \mid x) \;\ge\; 0 \tag{12.8}$$
#
# The gap is small if the model, seeing the image, would be sure of the code that the encoder chose.
#
# **Check it where everything can be enumerated:** the 30 images of 4 x 4 bars and stripes, codes on a 2 x 2 grid from an alphabet of 4, so $4^4 = 256$ maps of codes. A small VQ-VAE and a small prior over its codes, stopped early on purpose so that the gap can be seen:

# %%
bars = load("bars_and_stripes")
seed(0)
small = ConvVQVAE((1, 4, 4), levels=2, n_codes=4, dim=4, channels=16, halvings=1)
n_steps = budget(smoke=2, quick=80, full=80)
fit(small, bars, loss=VQLoss(), steps=n_steps, batch_size=30, lr=1e-2, ema=0.9)
small_prior = GatedPixelCNN((1, 2, 2), levels=4, channels=16, layers=2, first_kernel=3)
codes = TensorDataset(small.encode(bars.x).unsqueeze(1), torch.zeros(30, dtype=torch.long))
fit(small_prior, codes, steps=n_steps, batch_size=30, lr=1e-2, ema=0.9)
small_pair = TwoStage(small, small_prior)

# %%
maps = all_examples((1, 2, 2), 4)  # (256, 1, 2, 2): all maps of codes
with torch.no_grad():
    log_prior = small_prior.log_prob(maps).double()  # (256,)
    params = small.decode(maps[:, 0])  # (256, 1, 4, 4)
    each = [small.head.log_prob(params, x.expand(256, 1, 4, 4)).flatten(1).sum(1) for x in bars.x]
    joint = log_prior + torch.stack(each).double()  # (30, 256): log p(c) + log p(x | c)
    log_p, bound = joint.logsumexp(1), small_pair.elbo(bars.x).bound.double()  # (30,) each
own = (small.encode(bars.x).flatten(1) * torch.tensor([64, 16, 4, 1])).sum(1)  # the number of the map c(x)
posterior = (joint - log_p[:, None])[torch.arange(30), own]  # (30,) log p(c(x) | x)
report("bound, rate + distortion", -bound.mean(), claimed=9.1, tolerance=1, unit="nats")
report("exact NLL, all 256 maps", -log_p.mean(), claimed=8.2, tolerance=1, unit="nats")
report("gap", (log_p - bound).mean(), claimed=0.9, tolerance=0.4, unit="nats")
report("largest error of (12.8)", (log_p - bound + posterior).abs().max(), claimed=0, tolerance=1e-4, unit="nats")
print("the bound holds for all 30 images:", bool((bound <= log_p + 1e-5).all()))

# %% [markdown]
# The bound is 9.1 nats, the exact NLL 8.2, and (12.8) accounts for the difference image by image. The floor is $\ln 30 = 3.40$. With 49 places of 64 codes there are $64^{49} \approx 10^{88}$ maps, and nobody computes the sum: for a real VQ-VAE only the bound is known.
#
# Two numbers that are often printed are **no likelihood at all**. With a learned prior the rate alone can be 0: the encoder puts out one map for all images, and the prior knows it. "Squared error and perplexity" is no code length either: $49 \ln(\text{perplexity})$ is a rate, that of a histogram of letters as prior (section 8), but a bound needs $-\log p(x \mid c(x))$ in addition; and a learned prior makes the rate smaller.
#
# ## 6 Train one
#
# Encoder: two convolutions with stride 2, so that each of the 7 x 7 places stands for 4 x 4 pixels. Codebook: 64 vectors of 4 numbers, moved by (12.4), with a **restart**: a code that is chosen much less often than an equal share (below 5 % of it) is put on a random output of the encoder. The loss is the distortion plus the commitment, $-\log p(x \mid c(x)) + 784\, \beta\, \mathrm{mean}\,(z - \mathrm{sg}(e))^2$ with $\beta = 0.25$ (`VQLoss` multiplies by the 784 pixels, so that both terms count nats per image; $z$ has 196 numbers, so in the terms of (12.3), a sum over them, the weight is 1). Two averages are at work: `ema=0.98` is that of all weights, which `fit` evaluates; the codebook has its own, with the decay $\gamma = 0.95$.

# %%
seed(0)
vqvae = ConvVQVAE((1, 28, 28), levels=2, n_codes=64, dim=4)
history = fit(
    vqvae, train, validation=validation, loss=VQLoss(), steps=budget(smoke=2, quick=500, full=500), batch_size=32,
    lr=3e-3, ema=0.98, evaluate_every=budget(smoke=2, quick=50, full=50), label="VQ-VAE",
)  # fmt: skip
record = recorded("vqvae-glyphs")
distortions = [(step, nats - 49 * math.log(64)) for step, nats in history.validation]
show.curves(
    {"trained here": distortions}, ylim=(40, 220), ylabel="distortion (nats per image)",
    baselines={"recorded models (1,000 steps)": record["validation"]["distortion"]},
    title="Most is learned in the first 200 steps",
    alt="Validation distortion, -log p(x | codes), from step 50 to step 500: it falls from "
    f"≈ {distortions[0][1]:.0f} to below 75 nats; the recorded models reached 45.0 after 1,000.",
)  # fmt: skip

# %%
recorded_distortion = record["validation"]["distortion"]
report("distortion of the recorded models", recorded_distortion, claimed=45.0, tolerance=0.1, unit="nats")
codes = vqvae.encode(validation.x)  # (500, 7, 7)
terms = rate_distortion(vqvae, validation)
report("distortion of the model trained here", terms["distortion"], claimed=62, tolerance=12, unit="nats")
report("codes in use, of 64", len(codes.unique()), claimed=64, tolerance=2)
report("perplexity", codebook_perplexity(codes, 64), claimed=50, tolerance=5)

# %% [markdown]
# All codes are in use, and in effect the alphabet has about 50 letters of 64. **Are the reconstructions still the same digits?** Ask a judge who never saw a code: a logistic regression trained on the pixels of the training images. How often does it read a reconstruction as it reads the original?

# %%
judge = LogisticRegression(max_iter=300).fit(train.x.flatten(1), train.y)
rebuilt = (vqvae.reconstruct(validation.x) > 0.5).long()
read = [judge.predict(x.flatten(1)) for x in (validation.x, rebuilt)]
right = (torch.tensor(read[0]) == validation.y).double().mean()
report("originals that the judge reads rightly", right, claimed=0.998, tolerance=0.004)
report("reconstructions read as the original", (read[0] == read[1]).mean(), claimed=0.98, tolerance=0.025)
wrong = (rebuilt != validation.x).double().flatten(1).sum(1).mean().item()
report("pixels rebuilt wrongly, of 784", wrong, claimed=22, tolerance=6, unit="pixels")
show.panels(
    {"originals": validation.x, "rebuilt from 49 codes": rebuilt}, levels=2,
    title="Nearly every digit survives, most of the noise does not",
    alt="16 validation glyphs beside their reconstructions: nearly all digits are the same, edges are "
    "rougher, and most flipped pixels are gone or smeared.",
)  # fmt: skip

# %% [markdown]
# Nearly every digit keeps its reading; in the picture one 9 looks like an 8, and one thin 8 nearly like a 3. Of the 22 wrong pixels at most about 8 are the flips themselves ($784 \cdot 0.01 = 7.84$; some specks survive, as the picture shows): a perfect denoiser would "rebuild" those wrongly too. Most others are at the edges of strokes.
#
# ## 7 See it: an alphabet of strokes
#
# What does each code stand for? Take all places of 2,000 training images where a code is chosen, and average the pixels around them: the framed 4 x 4 pixels are the code's own cell. The most frequent code comes first. (Shown is the square root of the ink, so that faint ink can be seen.)

# %%
patches, counts = lesson12.code_patches(vqvae, train.x[:2000])
share = counts / counts.sum()
lesson12.codebook(
    patches.sqrt(), counts, inner=4, title="Where each code is chosen: paper, strokes, and paper near strokes",
    alt=f"64 patches of 12 by 12 pixels, the mean surroundings of each code, the most frequent first: its share is "
    f"≈ {100 * share.max():.0f} percent; some are dark in the middle, many are white with ink on one side.",
)  # fmt: skip
report("share of the most frequent code", share.max(), claimed=0.07, tolerance=0.04)
report("share of the rarest code", share.min(), claimed=0.004, tolerance=0.004)

# %% [markdown]
# Some codes stand for the inside of a stroke, some for empty paper, and many for paper with ink on one side of it: the encoder sees more than the cell. The most frequent code has about 7 %, four times an equal share, the rarest about 0.5 %; so the perplexity is about 50 and not 64. And this is the text of three glyphs:

# %%
lesson12.code_map(
    validation.x[:3], codes[:3], title="An image as a text of 49 letters from an alphabet of 64",
    alt="Three glyphs in pale ink under a 7 by 7 grid with the number of the code in each cell; empty cells take "
    "many different codes.",
)  # fmt: skip

# %% [markdown]
# **Edit the text.** Take a model that was trained for longer, 1,000 steps of 32 images (`garm train vqvae --data glyphs`, recorded with the course, on 12,000 images). Choose a place and another code for it, and watch what its decoder makes of it. Before you move the sliders: will the change stay inside the framed cell?

# %% tags=["exact"]
pair = load_pretrained("vqvae-glyphs")
lesson12.code_editor(pair.vqvae, validation.x[:1])

# %% [markdown]
# And on average? Put a random code at the middle place of each of 500 images, and add up how much the decoded ink changes, pixel by pixel.

# %%
guess("share inside the middle 16 x 16 pixels", ...)  # if you like: a number in place of the dots

# %%
pair_codes = pair.vqvae.encode(validation.x)  # (500, 7, 7)
edited = pair_codes.clone()
edited[:, 3, 3] = torch.randint(64, (500,), generator=seed(1))
with torch.no_grad():
    before, after = (pair.vqvae.head.mean(pair.vqvae.decode(c))[:, 0] for c in (pair_codes, edited))  # (500, 28, 28)
moved = (after - before).abs().sum(0)
inside = (moved[12:16, 12:16].sum() / moved.sum()).item()
report("share of the change inside the edited cell", inside, claimed=0.4, tolerance=0.03)
near = (moved[6:22, 6:22].sum() / moved.sum()).item()
report("share inside the middle 16 x 16 pixels", near, claimed=0.97, tolerance=0.02)
report("rows of pixels where something changes", int((moved > 0).any(1).sum()), claimed=26, tolerance=0, exact=True)

# %% [markdown]
# And what does a code draw by itself? Put each of the 64 at the middle of a map that is otherwise filled with the most frequent code, which is paper:

# %%
common = pair_codes.flatten().bincount().argmax().item()
alone = torch.full((64, 7, 7), common)
alone[:, 3, 3] = torch.arange(64)
with torch.no_grad():
    ink = pair.vqvae.head.mean(pair.vqvae.decode(alone))[:, 0].amax((1, 2))  # (64,) the darkest pixel of each
report("codes that draw a black pixel by themselves", int((ink > 0.5).sum()), claimed=11, tolerance=1)

# %% [markdown]
# The letters are not independent tiles. Most of them draw nothing alone: a letter says something like "a stroke passes on the left", which becomes ink if the neighbors agree. And 40 % of the change lies in the edited cell. A code acts as far as the decoder's convolutions carry it (26 of 28 rows for the middle place, but 97 % of the change lies in the 16 x 16 pixels around it) and is read together with its neighbors.
#
# ## 8 A prior over the codes
#
# To *draw* an image one has to draw a text. With uniform letters the decoder gets nonsense. The second stage is a model that you know: the gated PixelCNN of lesson 04, on "images" of 7 x 7 pixels with 64 levels that are codes. It reads them one-hot and predicts a softmax over 64, so their numbering does not matter. The recorded pair contains both. What do its codes cost?

# %%
p = torch.bincount(pair.vqvae.encode(train.x).flatten(), minlength=64) / (len(train) * 49)
histogram = -p.clamp(min=1e-6).log()[pair_codes].flatten(1).sum(1).mean().item()
learned = rate_distortion(pair, validation)
report("rate with a histogram of letters as prior", histogram, claimed=195.95, tolerance=0.2, unit="nats")
report("rate with the PixelCNN as prior", learned["rate"], claimed=142.5, tolerance=0.2, unit="nats")
report("the same in bits", learned["rate"] / math.log(2), claimed=205.5, tolerance=0.4, unit="bits")
report("distortion of the recorded pair", learned["distortion"], claimed=44.0, tolerance=0.2, unit="nats")
report("bound of the recorded pair", evaluate(pair, validation).nats, claimed=186.5, tolerance=0.3, unit="nats")

# %% [markdown]
# Uniform letters cost 203.8 nats, their frequencies alone about 195.9, the PixelCNN 142.5: texts have a grammar, and the prior has learned a part of it. Draw in two stages, 49 steps of the prior and one pass of the decoder, and for comparison from uniform codes:

# %%
uniform_codes = torch.randint(64, (16, 7, 7), generator=seed(0))
with torch.no_grad():
    from_uniform = (pair.vqvae.head.mean(pair.vqvae.decode(uniform_codes)) > 0.5).long()
drawn = (pair.sample(16, rng=seed(0), mean=True) > 0.5).long()
show.panels(
    {"uniform codes": from_uniform, "codes of the PixelCNN prior": drawn}, levels=2,
    title="Pieces come from the decoder, digits from the prior",
    alt="16 images from uniform codes are scattered pieces of strokes and specks; of 16 from the learned prior "
    "some, about 6, are readable digits, the others are broken or between two digits.",
)  # fmt: skip

# %% [markdown]
# Each pixel is shown as the more probable of its two values. Both panels are made of the same pieces, bits of stroke and a few specks, for these the decoder knows; only the prior puts them together. About a third of its texts are readable digits: the prior had 600 steps of training. Larger models with longer training are known for good samples; this one is not.
#
# **Where does it stand?** All models on this data set that the course has recorded, with "≤" and an arrowhead to the left where the figure is a bound:

# %%
show.likelihood_ladder(
    recorded_on("glyphs", lesson=12), highlight=["vqvae"],
    title="The bound of the VQ-VAE is poor",
)  # fmt: skip

# %%
excess = {"rate": learned["rate"] - shape_nats, "distortion": learned["distortion"] - flip_nats}
gated, by_class = recorded("gated_pixelcnn-glyphs")["validation"]["nats"], record["baselines"]["class marginals"]
report("VQ-VAE, mean of the recorded seeds", record["validation"]["nats"], claimed=187.2, tolerance=0.1, unit="nats")
report("class marginals, a baseline", by_class["nats"], claimed=186.7, tolerance=0.1, unit="nats")
report("the gated PixelCNN on the pixels", gated, claimed=81.2, tolerance=0.3, unit="nats")
report("the same in bits, for the whole image", gated / math.log(2), claimed=117, tolerance=0.5, unit="bits")
report("rate above the entropy of the shape", excess["rate"], claimed=133.4, tolerance=0.3, unit="nats")
report("distortion above the entropy of the flips", excess["distortion"], claimed=0.1, tolerance=0.3, unit="nats")
shapes = validation.prototypes[validation.prototype]  # without flips, (500, 1, 28, 28)
copies = [torch.where(torch.rand(shapes.shape, generator=seed(s)) < 0.01, 1 - shapes, shapes) for s in (1, 2)]
first, second = (pair.vqvae.encode(x).flatten(1) for x in copies)  # (500, 49) each
differing = (first != second).double().sum(1).mean()
report("letters of 49 in which two noisy copies of a shape differ", differing, claimed=35, tolerance=1.5)

# %% [markdown]
# Read the ladder with care; its figures are means over three seeds, 187.2 nats for the VQ-VAE; the pair above, which comes with the course, was trained apart from them with the same settings. Its bound of about 186.5 nats is level with the baseline of the class marginals, 186.7 (both uncertain by more than a nat, since 500 images are few): a model that knows no more than how often each pixel is black in images of each digit. (The training was not equal: the gated PixelCNN had `--budget full`, eight times as long as the VQ-VAE with `quick`.)
#
# The distortion of 44.0 nats is about the entropy of the flips, 43.9: given the codes, the model pays about what the noise costs. (That is no floor for the distortion alone: codes that carry flipped pixels make it lower still, at a higher rate. Only the sum has a floor.) But the codes cost 142.5 nats where the shape holds 9.1. The encoder was trained for reconstruction alone; nobody asked it for codes that are easy to *predict*, so they say
# the noise as well as the shape: two noisy copies of one shape differ in about 35 of their 49 letters. The model's NLL may be much lower than 186.5, since other maps of codes draw the same image (12.8); all that can be concluded is that this *bound* is poor.
#
# One would choose a VQ-VAE for texts that are short in steps, 49 against 784, and never by this number. They are not short in bits: about 206 for the codes alone, where the gated PixelCNN codes the whole image in 81.2 nats, 117 bits.
#
# **On other data.** With `GARM_BUDGET=full` the next cell trains the same model on binarized MNIST, if it can be downloaded (otherwise on glyphs again).

# %%
if budget(smoke=False, quick=False, full=True):
    mnist = {split: load("binarized_mnist", split, offline="glyphs") for split in ("train", "validation")}
    seed(0)
    larger = ConvVQVAE((1, 28, 28), levels=2, n_codes=64, dim=4)
    fit(larger, mnist["train"], validation=mnist["validation"], loss=VQLoss(), steps=2000, batch_size=32, lr=4e-3)
    print(rate_distortion(larger, mnist["validation"]))

# %% [markdown]
# ## 9 Break it: a dead codebook
#
# The classic failure. The codebook starts far from what the encoder puts out (here: ten times longer than usual), learns by gradient descent on (12.3), and nothing restarts dead codes. One code happens to be nearest to everything, is chosen everywhere, moves to the encoder's outputs, and the other 63 never get a vector. Watch the perplexity during training, beside the cure. The cured run differs in three things at once: a codebook that starts on outputs of the encoder, moving averages, and restarts. The first of them means that its first batch already replaces the far codebook.


# %%
def watched(decay: float | None, restart: float) -> tuple[list, float]:
    seed(0)
    model = ConvVQVAE((1, 28, 28), levels=2, n_codes=64, dim=4, decay=decay, restart=restart)
    model.quantizer.codebook.data *= 10  # far from each other and from the encoder's outputs
    seen = []

    def loss(model, x: Tensor, y: Tensor) -> Tensor:
        if len(seen) % 4 == 0:
            latest[:] = [codebook_perplexity(model.encode(x), 64).item()]
        seen.append(latest[0])
        return VQLoss()(model, x, y)

    latest = [1.0]
    fit(model, train, loss=loss, steps=budget(smoke=2, quick=120, full=120), batch_size=32, lr=4e-3, ema=0.98)
    return list(enumerate(seen))[::4], rate_distortion(model, validation)["distortion"]


# %%
dead, dead_distortion = watched(decay=None, restart=0.0)
cured, cured_distortion = watched(decay=0.95, restart=0.05)
show.curves(
    {"gradient codebook, far start": dead, "data start, averages, restarts": cured},
    baselines={"all 64 codes equally": 64}, ylabel="perplexity of a batch (codes)", ylim=(0, 70),
    title="Both begin at a perplexity of 1; the dead codebook never leaves it",
    alt="Perplexity of the codes over 120 steps: with a gradient codebook that starts far away it stays at 1; with a "
    "start on data, moving averages and restarts it begins near 1, jumps after step 56 and ends above 30.",
)  # fmt: skip

# %%
report("perplexity at the end, dead", dead[-1][1], claimed=1, tolerance=0.5)
report("perplexity at the end, cured", cured[-1][1], claimed=43, tolerance=12)
report("distortion, dead", dead_distortion, claimed=215, tolerance=3, unit="nats")
report("distortion after as many steps, cured", cured_distortion, claimed=135, tolerance=25, unit="nats")
report("steps until 0.95 to their power is 0.05", math.log(0.05) / math.log(0.95), claimed=58.4, tolerance=0.01)

# %% [markdown]
# A decoder that reads the same letter everywhere can at best learn how often each pixel is black, and so it scores like the baseline of pixel marginals (211.3 nats on the ladder). The perplexity says why: both runs begin at 1, and the dead one never leaves it.
#
# The cure has a jump in it, and (12.4) says where: the library starts every code with the count of an equal share, so that a code that nobody chooses has that times $0.95^t$, and falls below 5 % of it after 59 steps. Then all that nobody has chosen since are put on outputs of the encoder at once. (They died although the first batch put them on its outputs.)
#
# Three remedies, all in `VectorQuantizer`, and this run has all of them, so that it cannot say which one matters: start the codebook on outputs of the encoder (first batch),
# move it by averages, and restart codes that fall below a few percent of an equal share.
#
# ## 10 What the article says
#
# The course grew out of a Chinese article, 生成式AIGC：AI技术的前沿探索 (*Generative AIGC: exploring the frontier of AI*), and checks its claims, lesson by lesson. This lesson holds some of them against its numbers.
#
# | the article | verdict | what this lesson says |
# |---|---|---|
# | a VAE maps data to a low-dimensional code and decodes it | imprecise | one generates from the prior and not from codes of data: uniform codes give pieces of strokes (section 8). Dimension is not what matters: 49 codes of 4 numbers are 196 real numbers, but only 294 bits, against 784 bits of pixels |
# | GAN, VAE and autoregressive models are the three families | wrong | beside flows, diffusion and energy models that are missing, the families combine: this model is an autoencoder *with* an autoregressive prior, in two stages |
# | choose among PixelRNN, PixelCNN and Taming Transformers | imprecise | they are not alternatives on one level. *Taming Transformers* is of the kind of this lesson: a quantizing autoencoder, and an autoregressive model over its codes |
# | *Taming Transformers for High-Resolution Image Synthesis* is a transformer on images | right title, thin description | Esser, Rombach, Ommer, CVPR 2021, arXiv 2012.09841: the transformer writes *codes*, as the PixelCNN does here; the autoencoder has an adversarial and a perceptual loss in addition (lesson 17) |
#
# ## 11 Check yourself

# %% [markdown]
# 1. Two implementations of (12.3) print the same loss at the first step, and different ones later. Which is right?
#
# <details><summary>Answer</summary>The losses cannot tell. At the first step the value does not depend on what is detached; later the curves part because the gradients, and so the weights, differ. Compare the gradients with those of (12.3), as the exercise does.</details>
#
# 2. A colleague reports "NLL = 186.5 nats" for a VQ-VAE with a PixelCNN prior. What would you write?
#
# <details><summary>Answer</summary>NLL ≤ 186.5 nats. It is rate + distortion at one map of codes (12.7); the sum over all maps is larger than one of its terms, so the NLL is lower by -log p(c(x) | x), which nobody can compute here.</details>
#
# 3. Doubling K from 64 to 128 adds how many bits to the rate under a uniform prior? And under a learned one?
#
# <details><summary>Answer</summary>One bit at each of 49 places: 49 bits. Under a learned prior as much as the new letters are hard to predict: nothing if they are never used, so look at the perplexity as well.</details>
#
# 4. Why does the moving average keep sums and counts, and not the means of the batches?
#
# <details><summary>Answer</summary>A mean over two vectors would count as much as one over forty. With sums and counts every vector weighs the same, but for its age; e = m / N is then a weighted mean of vectors. It also works when a batch does not choose a code at all: m and N shrink by the same factor and e stays.</details>
#
# 5. With the straight-through gradient, z of section 2 stays at the border for ever. Would a smaller learning rate help?
#
# <details><summary>Answer</summary>No. The zigzag gets smaller, but z still spends 30 % of the steps on the far side, because that is where the two slopes balance. The bias is in the gradient and not in the step.</details>

# %% [markdown]
# ## Take-aways
#
# - A quantizer replaces a vector by the nearest code; the gradient is passed straight through, which is biased, and the commitment loss limits the bias.
# - Detach decides what moves what. At given weights the value of the loss shows none of it: check gradients.
# - Rate + distortion bounds the NLL from above; the gap is $-\log p(c(x) \mid x)$. A squared error beside a perplexity is no code length.
# - Watch the perplexity. A dead codebook shows there at once. A start on data, moving averages and restarts together cured it here.
#
# ## Where next
#
# - van den Oord, Vinyals, Kavukcuoglu, *Neural Discrete Representation Learning*, NIPS 2017, arXiv 1711.00937: section 3 is this lesson; appendix A.1 the moving average.
# - Razavi, van den Oord, Vinyals, *Generating Diverse High-Fidelity Images with VQ-VAE-2*, NeurIPS 2019, arXiv 1906.00446: two grids of codes, a coarse one and a fine one, each with its prior.
# - Dhariwal, Jun, Payne, Kim, Radford, Sutskever, *Jukebox: A Generative Model for Music*, 2020, arXiv 2005.00341: codes for sound, and the restart of dead ones.
# - Bengio, Léonard, Courville, *Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation*, 2013, arXiv 1308.3432: the straight-through estimator.
# - Lesson 17 replaces the pixel loss by a perceptual and an adversarial one, and the PixelCNN by a transformer. In the library, read [`quantizer.py`](../garm_course/latent/quantizer.py), then [`vqvae.py`](../garm_course/latent/vqvae.py).

# %%
claims()
