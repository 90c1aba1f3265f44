# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Likelihood and its units
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/01_likelihood.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F01_likelihood.ipynb)
#
# **How good is a model of data, in which unit do we say so, and what is the best score that any model can reach?**
#
# | | |
# |---|---|
# | Time | 90 minutes; the cells run in about 15 seconds |
# | Before this | Python, PyTorch tensors and gradients, expectations and the logarithm; [lesson 00](00_start_here.ipynb) shows how exercises work |
# | Afterwards you can | *derive* that maximum likelihood minimizes a KL divergence, *implement* likelihoods that neither overflow nor lie, *convert* between nats and bits/dim, *build* and train a mixture, *diagnose* a score that cannot be right |
# | Papers | Theis, van den Oord, Bethge, *A note on the evaluation of generative models*, ICLR 2016, arXiv [1511.01844](https://arxiv.org/abs/1511.01844) |

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

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course import budget, check, claims, fit, guess, load, recorded, report, seed, show
from garm_course.distributions import Gaussian, Poisson, draw
from garm_course.evaluation import baselines, evaluate, kl_to_model
from garm_course.transforms import dequantize

# %% [markdown]
# ## 1 The question, in pictures
#
# Most of this lesson uses 1,797 handwritten digits of 8 × 8 pixels. Each pixel is a *count* from 0 to 16: how many of the 16 dots in its 4 × 4 block of a finer scan were black.
# We fit on the 1,257 images of the training split and score on the 180 images of the *validation* split.
#
# A *generative model* is a probability $q(x)$ for every image $x$, and a way to draw images from it. Here are two of the simplest. Both treat the 64 pixels as independent.
#
# - **Histogram:** each pixel has the 17 level frequencies that it has in the training images.
# - **Poisson:** the textbook distribution for counts, $q(k) = e^{-\lambda} \lambda^k / k!$ for $k = 0, 1, 2, \dots$; the rate $\lambda$ of a pixel is its mean.
#
# **Which model is better?** Try the obvious score first: predict each pixel by the model's mean, and compare squared errors on the validation images.

# %%
train, validation = load("digits", "train"), load("digits", "validation")
x, v = train.x[:, 0], validation.x[:, 0]  # (1257, 8, 8) and (180, 8, 8), integers 0..16
rate = x.double().mean(0)  # (8, 8), the rate of each pixel's Poisson
histogram = torch.stack([(x == k).double().mean(0) for k in range(17)], -1)  # (8, 8, 17)
histogram_mean = (histogram * torch.arange(17)).sum(-1)
for name, mean in (("Poisson", rate), ("histogram", histogram_mean)):
    print(f"{name}: squared error per pixel {((v - mean) ** 2).mean():.4f}")

# %% [markdown]
# The errors are equal because both models have the same means. By this score the models are equally good. Now draw from them. Do you expect equal pictures?

# %%
u = torch.rand(16, 1, 8, 8, dtype=torch.float64, generator=seed(0))
from_poisson = Poisson().sample(rate.clamp(min=1e-6).log().expand_as(u), u)
from_histogram = draw(histogram.log().expand(16, 1, 8, 8, 17), u)
show.panels(
    {"validation data": validation.x[:16], "Poisson (above 16: cut)": from_poisson.clamp(max=16),
     "histogram": from_histogram},
    levels=17, title="Equal means, equal errors, different models",
    alt="Three grids of 16 images: real digits; Poisson samples, clouds of medium grays with little black or white; "
    "histogram samples, speckles of black, gray and white. Neither model draws a digit.",
)  # fmt: skip

# %%
middle, rates = x[:, 2:6, 2:6], rate[2:6, 2:6].log().expand(2, 4, 4)  # the 4 x 4 pixels in the middle
by_poisson = Poisson().log_prob(rates, torch.tensor([0, 16])[:, None, None].expand(2, 4, 4)).exp().sum(0).mean().item()
report("middle pixels with 0 or 16 dots", (middle % 16 == 0).double().mean().item(), claimed=0.40, tolerance=0.001)
report("the same by the Poisson", by_poisson, claimed=0.009, tolerance=0.0005)

# %% [markdown]
# Neither model draws digits, because no pixel knows its neighbors. But the two models differ. In the middle of the image, 40 % of the real pixels are entirely white or entirely black. The histogram knows this. The Poisson expects 0.9 %.
# The squared error sees only the mean of a distribution. We need a score that sees all of it.
#
# ## 2 A score that sees the whole distribution
#
# **Step 1: a distance.** Let $p$ be the true distribution and $q$ the model. The *Kullback-Leibler divergence* (Kullback and Leibler, 1951) is the mean of $\ln \frac{p(x)}{q(x)}$ over data from $p$:
#
# $$\mathrm{KL}(p \,\|\, q) = \sum_x p(x) \ln \frac{p(x)}{q(x)} \;\ge\; 0, \quad \text{and } 0 \text{ only for } q = p \tag{1.1}$$
#
# Why is it never negative? We use $\ln t \le t - 1$, with equality only at $t = 1$. Put $t = q(x)/p(x)$ and sum over all $x$ with $p(x) > 0$:
# $-\mathrm{KL} = \sum p \ln \frac{q}{p} \le \sum (q - p) \le 1 - 1 = 0$. A term with $p(x) = 0$ counts as 0, the limit of $t \ln t$. With the natural logarithm, the unit is the **nat**.

# %% [markdown]
# **Exercise 1 · `kl_categorical`** · ●○○ · 6 minutes
#
# Write (1.1) for a batch of pairs of distributions.
#
# - `p`, `q`: float tensors `(B, K)`, probabilities of $K$ categories; each row sums to 1. Entries of `p` may be exactly 0, and then only the value is checked; those of `q` are positive.
# - Returns `(B,)` of the same dtype, one value per row, in **nats**: *summed* over the categories. Do not add a constant of 1e-10 or more inside the logarithm: it changes the sixth digit.
#
# Example: `kl_categorical(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.25, 0.5]]))` is `[0.6931]`, which is $\ln 2$.
#
# <details><summary>Hint 1</summary>The sum runs over the last axis only: <code>.sum(-1)</code>.</details>
# <details><summary>Hint 2</summary>In floating point <code>0 * log(0)</code> is NaN. <code>torch.xlogy(a, b)</code> computes a ln b and is 0 wherever a is 0.</details>


# %%
@check
def kl_categorical(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of each row of (B, K) probabilities, in nats: (B,)."""
    ### BEGIN SOLUTION
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)
    ### END SOLUTION


# %% [markdown]
# **Step 2: what we can measure.** For real data nobody knows $p(x)$, so nobody can compute the KL divergence. But split the logarithm: $\ln \frac{p}{q} = \ln p - \ln q$. The mean of $\ln p$ is $-H(p)$, where $H(p) = \mathbb{E}_p[-\ln p(x)]$ is the *entropy* of the data, and it does not depend on the model. Hence
#
# $$\underbrace{\mathbb{E}_{p}\!\left[-\ln q(x)\right]}_{\text{cross-entropy}} = H(p) + \mathrm{KL}(p \,\|\, q) \tag{1.2}$$
#
# To estimate the left side we need only examples: average $-\ln q(x^{(n)})$ over $N$ held-out examples $x^{(1)}, \dots, x^{(N)}$. That average is the **negative log-likelihood** (NLL). (We write $n$ for examples and $i$ for pixels.)

# %%
p, q = torch.randn(2, 1000, 6, dtype=torch.float64, generator=seed(1)).softmax(-1)
cross_entropy, entropy = -(p * q.log()).sum(-1), -(p * p.log()).sum(-1)
gap = (cross_entropy - entropy - kl_categorical(p, q)).abs().max().item()
report("largest error of (1.2) in 1,000 pairs", gap, claimed=0.0, tolerance=1e-12, unit="nats")
print(f"not symmetric: KL(p || q) {kl_categorical(p, q)[0]:.3f}, KL(q || p) {kl_categorical(q, p)[0]:.3f} nats")

# %% [markdown]
# Equation (1.2) carries the whole lesson. It has three consequences.
#
# 1. **Minimizing the NLL minimizes the KL divergence**, because the two differ by a constant. This is *maximum likelihood*.
# 2. **There is a floor.** No model scores below $H(p)$ on average, and only the truth reaches it.
# 3. **A difference of two NLLs is a difference of two KL divergences**, so we can compare models without knowing $p$.
#
# In the next figure, a coin shows 1 with probability 0.3, and models believe in other probabilities. Look for the lowest point of the curve, and for the distance from the floor.

# %%
belief = torch.linspace(-7, 7, 121, dtype=torch.float64).sigmoid()  # 0.001 to 0.999
coin_nll = -(0.3 * belief.log() + 0.7 * (1 - belief).log())
coin_entropy = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
show.curves(
    {"NLL of the model": (belief, coin_nll)}, floors={"entropy": coin_entropy},
    xlabel="the model's probability of a 1", ylabel="nats per toss", ylim=(0.3, 4.2),
    title="What lies between the curve and the floor is the KL divergence",
    alt="Cross-entropy over the model's probability of a 1: the curve touches the floor, 0.611 nats, at the true "
    "probability 0.3 only and rises ever more steeply towards 0 and 1.",
)  # fmt: skip
report("entropy of the coin", coin_entropy, claimed=0.6109, tolerance=1e-4, unit="nats")

# %% [markdown]
# The curve goes to infinity at both ends. A model that excludes what happens has an infinite NLL: it is punished for *missing* data, and hardly for expecting too much.
#
# ## 3 Fitting: coins and categories
#
# **Step 3: the best coin.** Write the probability of a 1 as $\sigma(\ell) = 1/(1+e^{-\ell})$, so that the *logit* $\ell$ may be any number. With $\mathrm{softplus}(\ell) = \ln(1 + e^{\ell})$,
# $-\ln \sigma(\ell) = \mathrm{softplus}(\ell) - \ell$ and $-\ln(1 - \sigma(\ell)) = \mathrm{softplus}(\ell)$.
# So a pixel $x \in \{0, 1\}$ costs $\mathrm{softplus}(\ell) - x \ell$. For $k$ ones among $N$ pixels, $0 < k < N$, the derivative must vanish:
#
# $$\frac{\partial}{\partial \ell}\Big[N\,\mathrm{softplus}(\ell) - k\,\ell\Big] = N\,\sigma(\ell) - k = 0 \iff \sigma(\ell) = \frac{k}{N} \tag{1.3}$$
#
# This is the minimum, because softplus is convex. (For $k = 0$ or $k = N$ there is none.)

# %% [markdown]
# **Exercise 2 · `bernoulli_nll`** · ●●○ · 6 minutes
#
# Write the NLL of binary images with independent pixels. The obvious way to write it breaks for confident predictions.
#
# - `logits`: floats `(B, ...)`, one logit per pixel, of any size: $\pm 800$ occurs while training. `x`: floats of the same shape and dtype, 0 or 1.
# - Returns `(B,)` of the dtype of `logits`, one value per image in **nats**: *summed* over all axes but the first. Values and gradients must be finite.
#
# Example: `bernoulli_nll(torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, 0.0]]))` is `[0.2539]`; `bernoulli_nll(torch.tensor([[800.0, -800.0]]), torch.tensor([[0.0, 1.0]]))` is exactly `[1600.0]`.
#
# <details><summary>Hint 1</summary>The cost of a pixel stands above equation (1.3). <code>F.softplus</code> stays finite; <code>torch.log(torch.sigmoid(...))</code> does not.</details>
# <details><summary>Hint 2</summary><code>.flatten(1).sum(1)</code> sums over all axes but the first, however many there are.</details>


# %%
@check
def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x) of binary images (B, ...) in nats, summed over pixels: (B,)."""
    ### BEGIN SOLUTION
    return (F.softplus(logits) - x * logits).flatten(1).sum(1)
    ### END SOLUTION


# %%
tosses = torch.tensor([1, 0, 0, 1, 0, 0, 0, 1, 0, 0]).double()[:, None]  # 3 ones among 10, one pixel each
logit = torch.tensor(math.log(3 / 7), dtype=torch.float64, requires_grad=True)  # sigmoid of it is 0.3
bernoulli_nll(logit.expand(10, 1), tosses).sum().backward()
report("gradient of the NLL at logit 3/10", logit.grad.item(), claimed=0.0, tolerance=1e-12)

# %% [markdown]
# **Categories** work alike. For logits $\ell_1, \dots, \ell_K$ and counts $N_1, \dots, N_K$ with the sum $N$, the gradient of $-\sum_k N_k \ln \mathrm{softmax}(\ell)_k$ is $N\,\mathrm{softmax}(\ell) - (N_1, \dots, N_K)$. It vanishes where the model's probabilities are the frequencies: **a histogram is the maximum likelihood fit**. That has a danger:

# %%
impossible = (histogram.gather(-1, v.movedim(0, -1)) == 0).any(0).any(0)  # (180,)
report("digits that the histograms call impossible", int(impossible.sum()), claimed=10, tolerance=0, exact=True)
smoothed = (histogram * len(x) + 0.2) / (len(x) + 17 * 0.2)  # (8, 8, 17)
nll = -smoothed.gather(-1, v.movedim(0, -1)).log().sum((0, 1))  # (180,)
report("NLL of the smoothed histograms", nll.mean().item(), claimed=108.2, tolerance=0.05, unit="nats")

# %% [markdown]
# Ten of the 180 digits contain a level that this pixel never had in the training images: probability 0, infinite NLL. The remedy is *smoothing*: add a little to every count before you divide, here 0.2. Infinity becomes 108.2 nats.
# This is the smallest case of *generalization*: the best fit to the training data is not the best model.
#
# ## 4 Units
#
# An NLL in nats grows with the image: the same 79 nats are 0.10 per pixel for 28 × 28 pixels and 1.23 per pixel for 8 × 8. To compare across sizes, divide by the number of dimensions $D = C \cdot H \cdot W$. And one bit is $\ln 2$ nats, so
#
# $$\text{bits/dim} = \frac{\text{NLL in nats}}{D \ln 2} \tag{1.4}$$
#
# An ideal code spends $-\log_2 q(x)$ bits on $x$ (lesson 05), so bits/dim is also what a compressed file needs per value.

# %% [markdown]
# **Exercise 3 · `nll_to_bits_per_dim`** · ●○○ · 3 minutes
#
# Write (1.4).
#
# - `nll_nats`: a float tensor of any shape, nats per image. `shape`: the shape `(C, H, W)` of **one** image, a tuple of any length.
# - Returns a tensor of the shape and dtype of `nll_nats`.
#
# Example: `nll_to_bits_per_dim(torch.tensor([2.772589]), (1, 2, 2))` is `[1.0]`: $4 \ln 2$ nats for four pixels.
#
# <details><summary>Hint</summary>The channels count: a color pixel is three dimensions. <code>math.prod(shape)</code> multiplies all sides.</details>


# %%
@check
def nll_to_bits_per_dim(nll_nats: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Nats per image as bits per dimension; shape is (C, H, W) of one image."""
    ### BEGIN SOLUTION
    return nll_nats / (math.prod(shape) * math.log(2))
    ### END SOLUTION


# %% [markdown]
# Three baselines need no training: all levels equally likely; one smoothed histogram per pixel ("pixel marginals"); one histogram per pixel *and class*, mixed over the ten classes.

# %%
guess("what the pixel histograms save", ...)  # if you like: a number in place of the dots

# %%
mnist_bits = nll_to_bits_per_dim(torch.tensor(79.20), (1, 28, 28))  # 79.20: the PixelRNN paper, binarized MNIST
report("79.20 nats per MNIST digit", mnist_bits, claimed=0.1457, tolerance=1e-4, unit="bits/dim")
sensible = baselines(train, validation)
for name, number in sensible.items():
    print(f"{name:16s} {number}")
saved = sensible["uniform"].nats - sensible["pixel marginals"].nats
report("what the pixel histograms save", saved, claimed=73.1, tolerance=0.1, unit="nats")

# %% [markdown]
# The number after ± is the standard error of the mean over images. It treats images as independent draws. These digits come in runs of one writer, so read it as "over images of the same writers"; over new writers the spread is larger.
# Uniform costs $64 \ln 17 = 181.3$ nats. The pixel histograms save 73.1 nats of them, and each nat makes the validation images $e = 2.7$ times more probable, on (geometric) average.
#
# ## 5 Real numbers
#
# **Step 4: a density is not a probability.** Many networks output a Gaussian around a real number. A *density* may exceed 1, so its NLL may be negative, and it depends on the unit. Measure gray from 0 to 1 instead of 0 to 16, and every density becomes 16 times larger per pixel. The model knows nothing new, but its score improves by $64 \ln 16 = 177$ nats.
#
# **Step 5: dequantization.** To compare a density $q$ with a model of levels, turn the density into probabilities: a level $x$ gets the mass of its bin, $Q(x) = \int_0^1 q(x + u)\,du$. This integral is an average over uniform noise $u$. The logarithm is concave, so the logarithm of an average is at least the average of the logarithm (Jensen's inequality):
#
# $$\ln Q(x) = \ln \mathbb{E}_{u \sim U[0,1)}\big[q(x+u)\big] \;\ge\; \mathbb{E}_{u \sim U[0,1)}\big[\ln q(x+u)\big] \tag{1.5}$$
#
# So a density that is trained and scored on levels *plus uniform noise* gives an honest bound. For images, $u$ has one value per pixel. How loose is the bound? In the figure, compare each bar, the mass $Q(x)$, with the mark, the exponential of the right side of (1.5), for a Gaussian with mean 7.3.

# %%
k, panels, gaps = torch.arange(-20, 40), {}, {}
for std in (0.6, 2.0):
    normal = torch.distributions.Normal(torch.tensor(7.3, dtype=torch.float64), std)
    Q = normal.cdf(k + 1) - normal.cdf(k)  # mass of each bin
    bound = -0.5 * (math.log(2 * math.pi * std**2) + ((k + 0.5 - 7.3) ** 2 + 1 / 12) / std**2)  # E_u ln q(k + u)
    gaps[std] = torch.where(Q > 0, Q * (Q.log() - bound), 0).sum().item()  # averaged over the levels
    shown = slice(22, 33)  # levels 2 to 12
    panels[f"standard deviation {std}"] = {"mass Q(x)": Q[shown], "its bound by noise": bound[shown].exp()}
show.histograms(
    panels, left=2, xlabel="x + u",
    title="The bound is loose only where the density is narrow",
    alt="Bin masses of two Gaussians with the bound by noise: for a standard deviation of 0.6 the bound lies clearly "
    "below the mass in the outer bins, for 2 the two cannot be told apart.",
)  # fmt: skip
report("gap of (1.5), standard deviation 0.6", gaps[0.6], claimed=0.127, tolerance=0.001, unit="nats")
report("gap of (1.5), standard deviation 2", gaps[2.0], claimed=0.0105, tolerance=0.0001, unit="nats")

# %% [markdown]
# For a broad Gaussian the gap is about $1/(24 \sigma^2)$ nats, with the width of a bin as the unit: 0.0104 for $\sigma = 2$.
# (For small variations of $Z = \ln q(x + u)$ the gap $\ln \mathbb{E}\,e^Z - \mathbb{E} Z$ is half the variance of $Z$. At $y$ the slope of $\ln q$ is $(\mu - y)/\sigma^2$, and $u$ has variance 1/12; average over $y$.) A learned distribution of the noise removes most of the gap: *variational dequantization* (Ho et al., 2019).
#
# Now the per-pixel Gaussian on the digits. `dequantize` maps levels to $(x + u)/17$ in $[0, 1)$, so we add $64 \ln 17$ to return to levels.


# %%
def spread(levels: Tensor, n: int) -> Tensor:
    return dequantize(levels, torch.rand(levels.shape, dtype=torch.float64, generator=seed(n)), 17)  # in [0, 1)


y = spread(x, 0)  # (1257, 8, 8)
params = torch.stack([y.mean(0), y.var(0).log()], -1)  # maximum likelihood: section 7 says why
nll = -Gaussian().log_prob(params.expand(180, 8, 8, 2), spread(v, 1)).sum((1, 2)) + 64 * math.log(17)
gaussian = (nll.mean().item(), nll.std().item() / math.sqrt(180))
report("per-pixel Gaussian, dequantized", gaussian[0], claimed=153.5, tolerance=0.3, unit="nats")

# %% [markdown]
# The Gaussian beats uniform by 28 nats and stays far behind the histograms. By (1.5), 153.5 is an *upper bound* on what this Gaussian costs as a model of levels.
#
# ## 6 Counts
#
# **Step 6: the Poisson.** Its NLL is $\lambda - k \ln \lambda + \ln k!$. Averaged over data with mean $\bar{k}$, the derivative is $1 - \bar{k}/\lambda$, so the best rate is the mean. Its divergence has a closed form: in $\ln \frac{p(k)}{q(k)} = k \ln\frac{a}{b} - a + b$ the factorials cancel, and $\mathbb{E}[k] = a$, hence
#
# $$\mathrm{KL}\big(\mathrm{Pois}(a) \,\|\, \mathrm{Pois}(b)\big) = a \ln \frac{a}{b} - a + b \tag{1.6}$$

# %% [markdown]
# **Exercise 4 · `poisson_nll`** · ●●○ · 6 minutes
#
# Write the NLL of counts. Keep $\ln k!$: without it, the number cannot be compared with anything.
#
# - `rate`: floats `(B, ...)`, the rates $\lambda \ge 0$ themselves (not their logarithms). A rate of 0 allows only the count 0, which costs 0; any other count costs `inf`. `k`: LongTensor of the same shape, counts 0, 1, 2, ..., also large ones such as 200.
# - Returns `(B,)` of the dtype of `rate`, one value per example in **nats**: *summed* over all axes but the first. Gradients must reach positive rates.
#
# Example: `poisson_nll(torch.tensor([[2.0, 0.0]]), torch.tensor([[3, 0]]))` is `[1.7123]`, which is $2 - 3 \ln 2 + \ln 6$.
#
# <details><summary>Hint 1</summary><code>torch.lgamma(m)</code> is ln (m - 1)!, also for tensors, and does not overflow.</details>
# <details><summary>Hint 2</summary>With a rate of 0 and a count of 0, <code>k * rate.log()</code> is 0 times minus infinity. <code>torch.xlogy</code> helped in exercise 1.</details>


# %%
@check
def poisson_nll(rate: Tensor, k: Tensor) -> Tensor:
    """-log p(k) of counts (B, ...) in nats, summed over dimensions: (B,)."""
    ### BEGIN SOLUTION
    return (rate - torch.xlogy(k, rate) + torch.lgamma(k + 1.0)).flatten(1).sum(1)
    ### END SOLUTION


# %%
counts = torch.arange(200)[:, None]  # of two Poissons with rates 6.2 and 4.5: the sum of (1.1), term by term
log_a, log_b = (-poisson_nll(torch.full((200, 1), r, dtype=torch.float64), counts) for r in (6.2, 4.5))
error = (log_a.exp() * (log_a - log_b)).sum() - (6.2 * math.log(6.2 / 4.5) - 6.2 + 4.5)
report("error of (1.6)", error, claimed=0.0, tolerance=1e-4, unit="nats")
nll = poisson_nll(rate.clamp(min=0.01).expand(180, 8, 8), v)  # no rate of 0: a single dot must stay possible
poisson = (nll.mean().item(), nll.std().item() / math.sqrt(180))
loss = poisson[0] - sensible["uniform"].nats
report("per-pixel Poisson", poisson[0], claimed=186.4, tolerance=0.1, unit="nats")
report("what it loses against uniform", loss, claimed=5.1, tolerance=0.1, unit="nats")

# %% [markdown]
# Fitted to each pixel, the Poisson is still **worse than the uniform distribution**, by 5.1 nats (standard error 2.0: uniform costs the same on every image). Look at two pixels to see why.

# %%
levels, panels = torch.arange(17), {}
for r, c in ((0, 3), (3, 2)):
    fitted = torch.exp(Poisson().log_prob(rate[r, c].log().expand(17), levels))
    panels[f"row {r}, column {c}"] = {"training digits": histogram[r, c], "Poisson of the same mean": fitted}
show.histograms(
    panels, xlabel="dots", title="The Poisson has the right mean and the wrong shape",
    alt="Histograms of two pixels with the Poisson of the same mean: row 0, column 3 rises to 16 dots; row 3, column 2 "
    "has its peaks at 0 and at 16. The Poisson has a single hump around the mean, at 11 and at 9 dots.",
)  # fmt: skip
used = rate > 0.05  # pixels that are inked now and then
dispersion = (x.double().var(0) / rate)[used]
report("median of variance / mean", dispersion.median().item(), claimed=4.6, tolerance=0.1)
report("smallest variance / mean", dispersion.min().item(), claimed=1.3, tolerance=0.05)

# %% [markdown]
# The variance of a Poisson equals its mean, which suits independent rare events. Dots are not independent: a stroke covers the block or it does not. So the variance exceeds the mean (*over-dispersion*), and many pixels have two peaks. All models of digits so far:

# %%
show.ladder(
    {"Poisson per pixel": poisson, "Gaussian per pixel, upper bound": gaussian,
     "histogram per pixel": sensible["pixel marginals"],
     "histogram per pixel and class": sensible["class marginals"]},
    baselines={"uniform": sensible["uniform"]}, dims=64,
)  # fmt: skip

# %% [markdown]
# This is a good place for a pause. The second half asks what a score means.
#
# ## 7 A model that cannot fit covers everything
#
# **Step 7.** Fit a Gaussian with mean $m$ and variance $s^2$ to any $p$ with mean $\mu_p$ and variance $\sigma_p^2$. Since $\mathbb{E}_p(x - m)^2 = \sigma_p^2 + (\mu_p - m)^2$, its expected NLL is
# $\frac12 \ln 2\pi s^2 + \frac{\sigma_p^2 + (\mu_p - m)^2}{2 s^2}$. The best mean is $m = \mu_p$ for every $s$; then the derivative with respect to $s^2$ vanishes at $s^2 = \sigma_p^2$. The fit *matches the moments*. For two equal peaks:
#
# $$p = \tfrac12 N(-\mu, 1) + \tfrac12 N(\mu, 1): \qquad \arg\min_{m, s^2} \mathrm{KL}\big(p \,\|\, N(m, s^2)\big) = \big(0,\; 1 + \mu^2\big) \tag{1.7}$$
#
# We check this by gradient descent for $\mu = 3$, and compare with the *reverse* divergence $\mathrm{KL}(q \,\|\, p)$, whose average is over draws of the *model*.

# %%
t = torch.linspace(-15, 15, 3001, dtype=torch.float64)


def log_density(w: Tensor) -> Tensor:
    return Gaussian().log_prob(w.expand(3001, 2), t)  # w: mean and log-variance


peaks = [log_density(torch.tensor([m, 0.0], dtype=torch.float64)) for m in (-3, 3)]
log_p, fits = torch.logaddexp(*peaks) - math.log(2), {}
for name in ("KL(p || q)", "KL(q || p)"):
    w = torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=0.05)
    for _ in range(600):
        a, b = (log_p, log_density(w)) if name == "KL(p || q)" else (log_density(w), log_p)
        optimizer.zero_grad()
        torch.trapezoid(a.exp() * (a - b), t).backward()
        optimizer.step()
    fits[name] = w.detach()
forward, reverse = fits.values()
report("mean of the forward fit", forward[0].item(), claimed=0.0, tolerance=0.01)
report("variance of the forward fit", forward[1].exp().item(), claimed=10, tolerance=0.01)
report("mean of the reverse fit", reverse[0].item(), claimed=2.98, tolerance=0.01)
too_much = (log_density(forward) - log_p)[1500].exp().item()  # at t = 0
report("density of the forward fit over the truth, at 0", too_much, claimed=28.5, tolerance=0.2)

# %%
with show.style():
    fig, ax = plt.subplots(figsize=(6.6, 2.6), layout="constrained")
    ax.fill_between(t, log_p.exp(), color=show.palette["sky"], alpha=0.6, lw=0, label="truth p")
    for name, color, line in (("KL(p || q)", "vermillion", "-"), ("KL(q || p)", "green", "--")):
        density = log_density(fits[name]).exp()
        ax.plot(t, density, color=show.palette[color], ls=line, label=f"best for {name}")
    ax.set(xlim=(-8, 8), ylim=(0, 0.42), xlabel="x", ylabel="density")
    ax.set_title("Maximum likelihood covers all data, and the gap between")
    ax.legend(loc="upper left", frameon=False, fontsize=9.5)
show.show_figure(
    fig, "Two peaks at -3 and 3. The Gaussian fitted by maximum likelihood, KL(p || q), spreads over both with its "
    "maximum at 0, where there are hardly any data; the one fitted by the reverse, KL(q || p), sits on the peak at 3 "
    "and ignores the other.",
)  # fmt: skip

# %% [markdown]
# The maximum likelihood fit has its *highest* density where there are almost no data: at 0 it is 28 times the truth. It has to cover both peaks, because excluded data cost infinitely much while wasted mass costs little.
# A model that cannot represent two alternatives proposes their average. For images, this average is **blur**, and we will see it in lesson 10. The reverse divergence forgets a peak instead; which one depends on the start. Lesson 13 meets it again.
#
# **Drag the Gaussian yourself** over a pixel with two peaks. The right panel shows the NLL over the mean; the arrow is the KL divergence. Find the best fit. (The sliders come alive when you run the notebook.)

# %%
show.density_fit(x[:, 3, 2], bins=17, limits=(0, 17), mean=14, width=2, xlabel="level + u")

# %% [markdown]
# ## 8 Accuracy cannot replace likelihood
#
# Some report how often a model's *most probable* value is right. For binary pixels, likelihood bounds this accuracy from both sides. Let a model give pixel $i$ the probability $q_i$ of being 1, given the pixels before it (lesson 02), and let it be **calibrated**: among all predictions of a value $q$, a fraction $q$ are ones. Let $H_b(q) = -q \log_2 q - (1-q) \log_2 (1-q)$ be the entropy of a coin in bits. The expected NLL is $h = \mathbb{E}\,H_b(q_i)$ bits per pixel, the expected error of the most probable value is $e = \mathbb{E} \min(q_i, 1 - q_i)$, and
#
# $$2e \;\le\; h \;\le\; H_b(e) \tag{1.8}$$
#
# - **Left:** between 0 and ½, the concave $H_b$ lies on or above the straight line from $(0, 0)$ to $(\tfrac12, 1)$, so $H_b(q) \ge 2 \min(q, 1-q)$. Take the expectation.
# - **Right:** $H_b(q) = H_b(\min(q, 1-q))$ by symmetry, and by Jensen's inequality $\mathbb{E} H_b(\min(q, 1-q)) \le H_b(\mathbb{E}\min(q, 1-q)) = H_b(e)$.
#
# An example: an article reports a PixelRNN on MNIST with "accuracy 0.997". The PixelRNN paper reports 79.20 nats per binarized image, $h = 0.1457$ bits per pixel. By (1.8), $e$ is at most $h/2$ and at least the solution of $H_b(e) = h$. We also test (1.8) on *bars and stripes*, 30 equally likely binary images of 4 × 4 pixels, where the true conditionals are known by counting.


# %%
def h_b(q: Tensor) -> Tensor:
    return -(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q)) / math.log(2)  # bits


stripes = load("bars_and_stripes")
bits = stripes.x.flatten(1)  # (30, 16)
fits_so_far = [(bits[:, None, :i] == bits[None, :, :i]).all(-1).double() for i in range(16)]  # (30, 30) each
p_one = torch.stack([s @ bits[:, i].double() / s.sum(1) for i, s in enumerate(fits_so_far)], 1)  # (30, 16)
h_stripes, e_stripes = h_b(p_one).mean().item(), torch.minimum(p_one, 1 - p_one).mean().item()
report("h of bars and stripes, ln 30 / (16 ln 2)", h_stripes, claimed=0.3067, tolerance=1e-4, unit="bits/pixel")
report("e of bars and stripes", e_stripes, claimed=0.1313, tolerance=1e-4)
h = 79.20 / (784 * math.log(2))
e = torch.linspace(0, 0.5, 500_001, dtype=torch.float64)
least = e[h_b(e) >= h][0].item()
report("lowest accuracy of a calibrated model of 79.20 nats", 1 - h / 2, claimed=0.927, tolerance=0.0005)
report("highest accuracy of a calibrated model of 79.20 nats", 1 - least, claimed=0.979, tolerance=0.0005)

# %%
with show.style():
    fig, ax = plt.subplots(figsize=(6.6, 2.7), layout="constrained")
    e = torch.linspace(0, 0.24, 400, dtype=torch.float64)
    ax.fill_between(e, 2 * e, h_b(e), color=show.palette["sky"], alpha=0.4, lw=0)
    ax.plot(e, h_b(e), color=show.palette["blue"], ls="-", label="$h = H_b(e)$")
    ax.plot(e, 2 * e, color=show.palette["blue"], ls="--", label="$h = 2e$")
    ax.plot([least, h / 2], [h, h], color="black", ls="-", lw=4, label="calibrated model of 79.20 nats per image")
    ax.plot(e_stripes, h_stripes, "s", color=show.palette["green"], ms=9, label="truth of bars and stripes")
    ax.plot(0.003, h, "X", color=show.palette["vermillion"], ms=11, label="accuracy 0.997, at the same bits")
    ax.set(xlim=(-0.002, 0.24), ylim=(0, 0.36), xlabel="error of the most probable value, e")
    ax.set_ylabel("bits per pixel, h")
    ax.set_title("A calibrated PixelRNN cannot be right on 99.7 % of the pixels")
    ax.legend(loc="lower right", frameon=False, fontsize=9.5)
show.show_figure(
    fig, "Error against bits per pixel: calibrated models lie between the line h = 2e and the curve H_b(e). At 0.1457 "
    "bits the error is between 2.1 and 7.3 %; an error of 0.3 % lies outside, bars and stripes inside.",
)  # fmt: skip

# %% [markdown]
# So 0.997 is not the next-pixel accuracy of a calibrated PixelRNN. What the article says about this and other topics stands on [its own page](../docs/article.md).
# For a model that is *not* calibrated, only $e \le h$ remains: a wrong prediction costs at least one bit. A model that always says 0.51 may be right every time and still cost nearly one bit per pixel.
#
# ## 9 A mixture, a curve and its floor
#
# **Where the truth is known.** `glyphs` are binary digits of 28 × 28 pixels in eleven fonts, sizes, slants and shifts, with one pixel in a hundred flipped. All of this is drawn with known probabilities, so $p(x)$ and the entropy, 53.0 nats, are known. We fit a *mixture of Bernoullis* with $K = 200$ templates, $q(x) = \sum_{k=1}^{K} \pi_k \prod_i q_k(x_i)$.

# %% [markdown]
# **Exercise 5, build it · `mixture_log_prob`** · ●●● · 20 minutes
#
# Write the log-likelihood of the mixture. The rest of this section trains your function.
#
# - `logits`: `(K, D)`, the logit of pixel `i` under template `k`. `weights`: `(K,)`, any real numbers; $\pi$ is their softmax.
# - `x`: `(B, D)`, images of 0 and 1, as floats.
# - Returns `(B,)`, $\ln q(x)$ in nats. Here $q(x)$ may be as small as $e^{-800}$, which is 0 in floating point, so stay with logarithms. Gradients must reach `logits` and `weights`.
#
# Example: `mixture_log_prob(torch.zeros(3, 4), torch.zeros(3), torch.ones(2, 4))` is `[-2.7726, -2.7726]`, which is $-4 \ln 2$.
#
# <details><summary>Hint 1</summary>The log-probability of image b under template k is the sum over i of x ℓ - softplus(ℓ). One matrix product gives all B × K of them: <code>x @ logits.T</code>, minus a number for each template.</details>
# <details><summary>Hint 2</summary>ln π is <code>weights.log_softmax(0)</code>, and <code>logsumexp(1)</code> adds probabilities that are given as logarithms.</details>


# %%
@check
def mixture_log_prob(logits: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """ln q(x) (B,) of images x (B, D) under a mixture of K Bernoulli templates with logits (K, D)."""
    ### BEGIN SOLUTION
    log_given = x @ logits.T - F.softplus(logits).sum(1)  # (B, K): log q(x | k)
    return (log_given + weights.log_softmax(0)).logsumexp(1)
    ### END SOLUTION


# %%
class BernoulliMixture(nn.Module):
    n_classes = 0  # tells `fit` that log_prob takes images only, no labels

    def __init__(self, images: Tensor):  # (K, 1, 28, 28) of 0 and 1: each template starts at an image
        super().__init__()
        self.logits = nn.Parameter(4.0 * images.flatten(1) - 2.0)  # (K, D)
        self.weights = nn.Parameter(torch.zeros(len(images)))

    def log_prob(self, x: Tensor) -> Tensor:
        return mixture_log_prob(self.logits, self.weights, x.flatten(1).float())


glyphs, glyphs_validation = load("glyphs", "train"), load("glyphs", "validation")
mixture = BernoulliMixture(glyphs.x[:200])
history = fit(
    mixture, glyphs, validation=glyphs_validation, steps=budget(smoke=2, quick=400, full=400), batch_size=100, lr=0.05,
    ema=0.95, evaluate_every=budget(smoke=2, quick=20, full=20), seed=0, label="mixture of Bernoullis",
)  # fmt: skip

# %% [markdown]
# `fit` is the training loop of this course: Adam on 100 images at a time. It scores a moving average of the weights (`ema=0.95`: over about twenty steps). `budget` chooses the number of steps.

# %%
floor = glyphs_validation.entropy().nats
show.curves(
    {"training batches": history.train, "validation": history.validation},
    baselines={"one Bernoulli per pixel": baselines(glyphs, glyphs_validation)["pixel marginals"].nats},
    floors={"entropy of the data": floor}, ylim=(40, 230), title="Without the floor this would look like success",
    alt="Learning curve of a mixture of 200 Bernoullis on glyphs: the validation NLL falls from above 200 to about 148 "
    "nats and levels off, 95 nats above the entropy of 53.0; the training NLL is lower, about 130.",
)  # fmt: skip
live, distance = evaluate(mixture, glyphs_validation), kl_to_model(glyphs_validation, mixture)
best = recorded("gated_pixelcnn-glyphs")["validation"]  # a longer training, stored with the course
report("entropy of glyphs", floor, claimed=53.0, tolerance=0.05, unit="nats")
report("validation NLL of the mixture", live.nats, claimed=147.9, tolerance=1.5, unit="nats")
report("its KL divergence from the truth", distance.nats, claimed=94.7, tolerance=1.5, unit="nats")
report("KL of a gated PixelCNN, recorded", best["kl"]["nats"], claimed=27.5, tolerance=0.1, unit="nats")

# %% [markdown]
# The curve levels off and looks finished. The floor says that two thirds of its height are missing knowledge. A network that sees neighbors (lesson 04, trained on 12,000 images where the mixture has 5,000) is 27.5 nats from the truth.
# The training NLL lies 18 nats *below* the validation NLL: 200 templates have 157,000 logits for 5,000 images and learn some of these images by heart (*overfitting*). Only the validation curve estimates (1.2).
#
# **Likelihood and samples are independent** (Theis et al., 2016). Spoil a good model $q$: with probability 0.99 it draws noise instead, from any distribution $r$. Since all terms of a sum of probabilities are at least 0,
#
# $$q'(x) = 0.01\,q(x) + 0.99\,r(x) \quad\Longrightarrow\quad -\ln q'(x) \le -\ln q(x) + \ln 100 \tag{1.9}$$
#
# So 99 of 100 samples are noise, and the NLL rises by at most 4.6 nats. On the other side, a model that replays its training images draws perfect samples and has an infinite NLL on new ones.

# %%
guess("nats that 99 % noise costs the mixture", ...)  # if you like: 0 to 5

# %%
with torch.no_grad():
    log_q = mixture.log_prob(glyphs_validation.x).double()
log_noise = F.logsigmoid(torch.zeros(784, dtype=torch.float64)).sum()  # every pixel a fair coin, with logit 0
spoiled = torch.logaddexp(log_q + math.log(0.01), log_noise + math.log(0.99))
report("nats that 99 % noise costs the mixture", (log_q - spoiled).mean(), claimed=4.605, tolerance=0.001, unit="nats")
seen = {tuple(image) for image in glyphs.x.flatten(1).tolist()}
copies = sum(tuple(image) in seen for image in glyphs_validation.x.flatten(1).tolist())
report("validation images that a replay of the training images can draw", copies, claimed=0, tolerance=0, exact=True)

# %% [markdown]
# 4.6 nats are only 0.008 bits/dim here. Look at samples *and* likelihood; lesson 18 has measures for samples.
#
# **Can a curve pass below its floor?** The floor holds for *fresh* data. Give a model one logit for each of the $2^{16}$ images of 4 × 4 pixels, and train it on 40 draws of bars and stripes:

# %%
codes = (bits * 2 ** torch.arange(16)).sum(1)  # (30,) the number of each image among 65,536
drawn = codes[torch.randint(30, (40,), generator=seed(4))]
table = torch.zeros(2**16, requires_grad=True)
optimizer = torch.optim.Adam([table], lr=0.3)
curves = {"the 40 training draws": [], "fresh data (all 30 images)": []}
for step in range(1, 201):
    log_q = table.log_softmax(0)
    for name, which in zip(curves, (drawn, codes), strict=True):
        curves[name].append((step, -log_q[which].mean().item()))
    optimizer.zero_grad()
    (-log_q[drawn].mean()).backward()
    optimizer.step()
floor = stripes.entropy().nats
show.curves(
    {name: curve[::5] for name, curve in curves.items()}, floors={"entropy, ln 30": floor}, ylim=(2.8, 8),
    title="Training data can be memorized past the floor",
    alt="NLL of a table over 65,536 images: on its 40 training draws it falls below the floor of 3.40 nats; on fresh "
    "data it turns and rises again.",
)  # fmt: skip
below = floor - curves["the 40 training draws"][-1][1]
report("training NLL below the entropy", below, claimed=0.27, tolerance=0.01, unit="nats")

# %% [markdown]
# On its own 40 draws the table scores better than the truth, as (1.3) says it must: its best fit is the histogram of the *draws*. On fresh data it pays for every image that was not drawn.
# An NLL below the entropy by several standard errors is a warning: on training data it means memory, on validation data an error (a leak, or a wrong unit).
#
# ## 10 Break it: a density on levels
#
# Train a Gaussian on *levels*, without noise. Three pixels at the edge are always 0, so nothing stops their variance from shrinking and their density from growing.


# %%
def train_gaussian(noise: bool, steps: int = 600) -> list[tuple[int, float]]:
    start = x.double().mean(0), torch.full((8, 8), math.log(36.0), dtype=torch.float64)
    w = torch.stack(start, -1).requires_grad_()  # (8, 8, 2) mean and log-variance, in levels
    optimizer, rng, curve = torch.optim.Adam([w], lr=0.2), seed(0), []
    for step in range(1, steps + 1):
        data = x + (torch.rand(x.shape, generator=rng) if noise else 0.0)
        loss = -Gaussian().log_prob(w.expand(*x.shape, 2), data).sum((1, 2)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append((step, loss.item()))
    return curve


raw, noisy = train_gaussian(noise=False), train_gaussian(noise=True)
show.curves(
    {"training, raw levels": raw[::10], "training, with noise": noisy[::10]},
    baselines={"validation, histograms": sensible["pixel marginals"].nats},
    title="A density on levels has no floor",
    alt="Training NLL of Gaussians per pixel over 600 steps: on raw levels the curve falls below the histograms and "
    "0 and keeps falling; with uniform noise it levels off at 150 nats, above the histograms.",
)  # fmt: skip
report("last training NLL with noise", noisy[-1][1], claimed=150, tolerance=1, unit="nats")
report("last training NLL on raw levels", raw[-1][1], claimed=-34, tolerance=2, unit="nats")

# %% [markdown]
# The first curve goes to minus infinity if you let it; only Adam's step size limits its slope. It has learned nothing but that some pixels are always exactly 0. *How to detect it:* the NLL becomes negative or never levels off, and the smallest variance goes to 0. The remedy is (1.5).
#
# ## 11 Check yourself
#
# 1. Model A scores 80.1 nats, model B 81.3, on the same held-out images. The entropy of the data is unknown. What do you know about their KL divergences?
#
# <details><summary>Answer</summary>By (1.2) both NLLs contain the same entropy, so A is nearer to the truth by 1.2 nats, up to the standard error of the difference (take it over the differences per image). How far either is from the truth remains unknown.</details>
#
# 2. A model that is a density on real numbers reports 3.4 bits/dim on 8-bit photographs, with data scaled to $[0, 1]$. What has to have been added to its NLL?
#
# <details><summary>Answer</summary>Its density is one of numbers (x + u) / 256, so D ln 256 nats, that is 8 bits/dim, and the noise u must be there as well.</details>
#
# 3. A colleague's validation NLL on bars and stripes is 3.2 nats. Congratulations?
#
# <details><summary>Answer</summary>No. The entropy is ln 30 = 3.401 nats, and on the whole distribution no model can score less. Look for a leak, for normalization (do its probabilities sum to 1?) and for the unit.</details>
#
# ## Take-aways
#
# - Maximum likelihood minimizes $\mathrm{KL}(p \,\|\, q)$: the NLL is the entropy plus the distance.
# - Give the unit: nats per image, or bits/dim. Densities need noise and the change of unit before they compare with probabilities.
# - A curve means something between a baseline and a floor. Below the floor is an alarm.
# - A model that cannot fit covers the data. Neither accuracy nor samples can replace a likelihood, nor a likelihood them.
#
# **Your turn.** The mixture has 147.9 nats on `glyphs`. Reach 140 with a mixture: more templates, another start, fewer steps?
#
# ## Where next
#
# - Theis, van den Oord, Bethge, *A note on the evaluation of generative models*, ICLR 2016, arXiv 1511.01844: likelihood, samples and why they disagree; section 3.1 is (1.5).
# - Kullback, Leibler, *On Information and Sufficiency*, Annals of Mathematical Statistics 22, 1951.
# - Ho, Chen, Srinivas, Duan, Abbeel, *Flow++*, ICML 2019, arXiv 1902.00275: variational dequantization. Uria, Murray, Larochelle, *RNADE*, NIPS 2013, arXiv 1306.0186: dequantized pixels with mixtures of Gaussians.
# - van den Oord, Kalchbrenner, Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016, arXiv 1601.06759: the source of the 79.20 nats; lesson 03.
# - In the library, read [`distributions/heads.py`](../garm_course/distributions/heads.py) and [`likelihood.py`](../garm_course/evaluation/likelihood.py). Lesson 02 drops the assumption that pixels are independent.

# %%
claims()
