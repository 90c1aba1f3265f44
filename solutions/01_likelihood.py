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
# **How good is a model of data, in which unit does one say so, and what is the best score that any model can have?**
#
# | | |
# |---|---|
# | Time | 85 minutes; the cells run in about 15 seconds |
# | Before this | Python, PyTorch tensors and gradients, expectations and the logarithm; [lesson 00](00_start_here.ipynb) shows how exercises work |
# | Afterwards you can | *derive* that maximum likelihood minimizes a KL divergence, *implement* likelihoods that neither overflow nor lie, *convert* between nats and bits/dim, *compare* models of levels, counts and real numbers, *diagnose* a score that cannot be right |
# | Papers | Theis, van den Oord, Bethge, *A note on the evaluation of generative models*, ICLR 2016, arXiv [1511.01844](https://arxiv.org/abs/1511.01844) · Kingma, Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, arXiv [1412.6980](https://arxiv.org/abs/1412.6980) |

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
from torch.autograd import functional as autograd

from garm_course import budget, check, claims, fit, guess, load, recorded, report, seed, show
from garm_course.distributions import Gaussian, Poisson, draw
from garm_course.evaluation import baselines, evaluate, kl_to_model
from garm_course.transforms import dequantize

# %% [markdown]
# ## 1 The question, in pictures
#
# The data of most of this lesson are 1,797 handwritten digits of 8 x 8 pixels. Each pixel is a *count*: how many of the 16 dots in its 4 x 4 block of a finer scan were black, 0 to 16. We fit on the 1,257 images of the training split and score on the 180 of the *validation* split.

# %%
train, validation = load("digits", "train"), load("digits", "validation")
x, v = train.x[:, 0], validation.x[:, 0]  # (1257, 8, 8) and (180, 8, 8), whole numbers 0..16
print(f"{len(x):,} training digits, {len(v)} validation digits, pixels {x.min()} to {x.max()}")

# %% [markdown]
# A *generative model* is a probability $q(x)$ for every image $x$, from which one can draw. Here are two of the simplest. Both treat the 64 pixels as independent.
#
# - **Histogram:** each pixel has the 17 level frequencies that it has in the training images.
# - **Poisson:** the textbook's distribution for counts, $q(k) = e^{-\lambda} \lambda^k / k!$ for $k = 0, 1, 2, \dots$, with the rate $\lambda$ of a pixel equal to its mean.
#
# **Which is better? Try the naive thing first:** let each model predict a pixel by its mean, and compare the squared errors on the validation images.

# %%
rate = x.double().mean(0)  # (8, 8), the rate of each pixel's Poisson
histogram = torch.stack([(x == k).double().mean(0) for k in range(17)], -1)  # (8, 8, 17)
histogram_mean = (histogram * torch.arange(17)).sum(-1)
poisson_error, histogram_error = (((v - m) ** 2).mean().item() for m in (rate, histogram_mean))
print(f"squared error per pixel: Poisson {poisson_error:.4f}, histogram {histogram_error:.4f}")
report("difference of the two errors", poisson_error - histogram_error, claimed=0.0, tolerance=1e-9)

# %% [markdown]
# The same error, to the last digit, because both have the same means. So this score says that the two are equally good. Now draw from them. Before looking: would you expect equal pictures?

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
# Neither draws digits, since no pixel knows its neighbors; that is the subject of the lessons to come. But they differ plainly. Of the real pixels in the middle, 40 % are entirely white or entirely black. The histogram knows that; the Poisson expects it of 0.9 % and puts its mass on the grays around the mean. The squared error sees only the mean of a distribution.
# We need a score that sees all of it.
#
# ## 2 A score that sees the whole distribution
#
# **Step 1: the distance.** Let $p$ be the true distribution and $q$ the model. The *Kullback-Leibler divergence* averages, over data from $p$, how many times more probable $p$ makes them than $q$ does, on a logarithmic scale:
#
# $$\mathrm{KL}(p \,\|\, q) = \sum_x p(x) \ln \frac{p(x)}{q(x)} \;\ge\; 0, \quad \text{and } 0 \text{ only for } q = p \tag{1.1}$$
#
# It is never negative because $\ln t \le t - 1$, with equality only at $t = 1$. Put $t = q(x)/p(x)$ and sum over all $x$ with $p(x) > 0$: $-\mathrm{KL} = \sum p \ln \frac{q}{p} \le \sum (q - p) \le 1 - 1 = 0$. Where $p(x) = 0$ the term counts as 0, the limit of $t \ln t$. The natural logarithm makes the unit the **nat**.

# %% [markdown]
# **Exercise 1 · `kl_categorical`** · ●○○ · 6 minutes
#
# Write (1.1) for a batch of pairs of distributions. This is the distance between a model and the truth wherever the truth is known.
#
# - `p`, `q`: float tensors `(B, K)`, probabilities of $K$ categories; each row sums to 1. Entries of `p` may be exactly 0, and then only the value is checked; those of `q` are positive.
# - Returns `(B,)` of the same dtype, one value per row, in **nats**: *summed* over the categories. Six digits count: a constant of 1e-10 or more inside the logarithm shows; one of 1e-12 or a `nan_to_num` passes but is not needed.
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


# %%
p, q = torch.randn(2, 1000, 6, dtype=torch.float64, generator=seed(1)).softmax(-1)
least, same = kl_categorical(p, q).min(), kl_categorical(p, p).abs().max()
print(f"smallest KL of 1,000 random pairs: {least:.4f} nats")
report("largest KL(p || p)", same.item(), claimed=0.0, tolerance=1e-12, unit="nats")
print(f"not symmetric: KL(p || q) {kl_categorical(p, q)[0]:.3f}, KL(q || p) {kl_categorical(q, p)[0]:.3f} nats")

# %% [markdown]
# **Step 2: what can be measured.** With real data nobody knows $p(x)$, so KL cannot be computed. Split its logarithm: $\ln \frac{p}{q} = \ln p - \ln q$. The first part is the *entropy* $H(p) = \mathbb{E}_p[-\ln p(x)]$, which does not depend on the model. So
#
# $$\underbrace{\mathbb{E}_{p}\!\left[-\ln q(x)\right]}_{\text{cross-entropy}} = H(p) + \mathrm{KL}(p \,\|\, q) \tag{1.2}$$
#
# The left side needs no knowledge of $p$ beyond examples: the average of $-\ln q(x^{(n)})$ over $N$ held-out examples $x^{(1)}, \dots, x^{(N)}$ estimates it without bias. That average is the **negative log-likelihood**, NLL. (We write $n$ for examples and $i$ for pixels, throughout.)

# %%
cross_entropy = -(p * q.log()).sum(-1)
entropy = -(p * p.log()).sum(-1)
gap = (cross_entropy - entropy - kl_categorical(p, q)).abs().max().item()
report("largest error of (1.2) in 1,000 pairs", gap, claimed=0.0, tolerance=1e-12, unit="nats")

# %% [markdown]
# Equation (1.2) carries the whole lesson. Three consequences:
#
# 1. **Minimizing the NLL is minimizing KL**, because they differ by a constant. This is what *maximum likelihood* means; no separate "KL loss" is needed.
# 2. **There is a floor.** No model scores below $H(p)$ on average, and only the truth reaches it.
# 3. **A difference of two NLLs is a difference of KLs**, so models can be compared although $p$ is unknown.
#
# The picture: a coin that shows 1 with probability 0.3, and models that believe in another probability. Look for the lowest point of the curve, and for the distance from the floor.

# %%
belief = torch.linspace(-7, 7, 121, dtype=torch.float64).sigmoid()  # 0.001 to 0.999
coin_nll = -(0.3 * belief.log() + 0.7 * (1 - belief).log())
coin_entropy = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
fig = show.curves_figure(
    {"NLL of the model": (belief, coin_nll)}, floors={"entropy": coin_entropy},
    xlabel="the model's probability of a 1", ylabel="nats per toss", ylim=(0.3, 4.2),
    title="What lies between the curve and the floor is the KL divergence",
)  # fmt: skip
fig.axes[0].plot(0.3, coin_entropy, "D", color=show.palette["vermillion"], ms=8)
fig.axes[0].text(0.3, 0.8, "the truth, 0.3", ha="center", fontsize=9.5)
show.show_figure(
    fig, "Cross-entropy over the model's probability of a 1: the curve touches the floor, 0.611 nats, at the true "
    "probability 0.3 only and rises ever more steeply towards 0 and 1.",
)  # fmt: skip

# %%
truth = torch.tensor([[0.7, 0.3]], dtype=torch.float64)
report("entropy of the coin", coin_entropy, claimed=0.6109, tolerance=1e-4, unit="nats")
report("KL of the belief 0.6", kl_categorical(truth, torch.tensor([[0.4, 0.6]]).double()).item(), claimed=0.1838,
       tolerance=1e-4, unit="nats")  # fmt: skip

# %% [markdown]
# The curve goes to infinity at both ends, if slowly: at a belief of 0.999 it stands at 4.8 nats, above the frame. So a model that excludes what happens has an infinite NLL. It is punished for *missing* data, not for expecting too much. Section 7 shows what that does to a model that cannot fit.
#
# ## 3 Fitting: coins and categories
#
# **Step 3: the best coin.** Write the probability of a 1 as $\sigma(\ell) = 1/(1+e^{-\ell})$, so that the *logit* $\ell$ may be any number. Then $-\ln \sigma(\ell) = \mathrm{softplus}(-\ell) = \mathrm{softplus}(\ell) - \ell$ and $-\ln(1 - \sigma(\ell)) = \mathrm{softplus}(\ell)$, where $\mathrm{softplus}(\ell) = \ln(1 + e^{\ell})$. A pixel $x \in \{0, 1\}$ therefore costs $\mathrm{softplus}(\ell) - x \ell$, in one formula. For $k$ ones among $N$ pixels, $0 < k < N$, the derivative must vanish:
#
# $$\frac{\partial}{\partial \ell}\Big[N\,\mathrm{softplus}(\ell) - k\,\ell\Big] = N\,\sigma(\ell) - k = 0 \iff \sigma(\ell) = \frac{k}{N} \tag{1.3}$$
#
# It is the minimum, because softplus is convex. (For $k = 0$ or $k = N$ there is none: the NLL falls on and on as $\ell$ goes to minus or plus infinity.) So maximum likelihood reproduces the frequency: nothing surprising, which is reassuring.

# %% [markdown]
# **Exercise 2 · `bernoulli_nll`** · ●●○ · 6 minutes
#
# Write the NLL of binary images with independent pixels. Every binary model of this course ends in this line, and the obvious way to write it breaks for confident predictions.
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
# **Categories** work alike. For logits $\ell_1, \dots, \ell_K$ and counts $N_1, \dots, N_K$ (their sum is $N$), the gradient of $-\sum_k N_k \ln \mathrm{softmax}(\ell)_k$ is $N\,\mathrm{softmax}(\ell) - (N_1, \dots, N_K)$. It vanishes where the model's probabilities are the frequencies: **a histogram is the maximum likelihood fit**. Check it for one pixel, and see the danger in it:

# %%
seen = torch.bincount(x[:, 3, 2], minlength=17).double()  # level counts of the pixel in row 3, column 2
logits = (seen / seen.sum()).log().requires_grad_()
(-(seen * logits.log_softmax(0)).sum()).backward()
report("largest gradient at the histogram", logits.grad.abs().max().item(), claimed=0.0, tolerance=1e-10)
impossible = (histogram.gather(-1, v.movedim(0, -1)) == 0).any(0).any(0)  # (180,)
report("digits that the histograms call impossible", int(impossible.sum()), claimed=10, tolerance=0, exact=True)

# %% [markdown]
# Ten digits of 180 contain a level that this pixel never had in the training images: probability 0, infinite NLL. The remedy is to add a little to every count before dividing, here 0.2 (*smoothing*):

# %%
smoothed = (histogram * len(x) + 0.2) / (len(x) + 17 * 0.2)  # (8, 8, 17)
nll = -smoothed.gather(-1, v.movedim(0, -1)).log().sum((0, 1))  # (180,)
report("NLL of the smoothed histograms", nll.mean().item(), claimed=108.2, tolerance=0.05, unit="nats")

# %% [markdown]
# Infinity has become 108.2 nats. It is the smallest possible case of *generalization*: the best fit to the training data is not the best model.
#
# ## 4 Units
#
# An NLL in nats grows with the image: the same 79 nats are 0.10 per pixel of a 28 x 28 image, and 1.23 per pixel of an 8 x 8 one. To compare across sizes, divide by the number of dimensions $D = C \cdot H \cdot W$; and since one bit is $\ln 2$ nats,
#
# $$\text{bits/dim} = \frac{\text{NLL in nats}}{D \ln 2} \tag{1.4}$$
#
# A probability is also a *code length*: an ideal code spends $-\log_2 q(x)$ bits on $x$ (lesson 05 builds one). So bits/dim is what a compressed file would need per value.

# %% [markdown]
# **Exercise 3 · `nll_to_bits_per_dim`** · ●○○ · 3 minutes
#
# Write (1.4). Papers report one or the other unit, rarely both.
#
# - `nll_nats`: a float tensor of any shape, nats per image. `shape`: the shape `(C, H, W)` of **one** image, a tuple of any length.
# - Returns a tensor of the shape and dtype of `nll_nats`.
#
# Example: `nll_to_bits_per_dim(torch.tensor([2.772589]), (1, 2, 2))` is `[1.0]`: $4 \ln 2$ nats for four pixels.
#
# <details><summary>Hint 1</summary>The channels count: a color pixel is three dimensions. <code>math.prod(shape)</code> multiplies all sides.</details>
# <details><summary>Hint 2</summary>Bits are smaller than nats, so there are more of them: the number gets larger by 1 / ln 2 = 1.44.</details>


# %%
@check
def nll_to_bits_per_dim(nll_nats: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Nats per image as bits per dimension; shape is (C, H, W) of one image."""
    ### BEGIN SOLUTION
    return nll_nats / (math.prod(shape) * math.log(2))
    ### END SOLUTION


# %%
photograph = torch.tensor(3 * 32 * 32 * math.log(256))  # all colors equally likely
uniform_bits = nll_to_bits_per_dim(photograph, (3, 32, 32))
mnist_bits = nll_to_bits_per_dim(torch.tensor(79.20), (1, 28, 28))  # 79.20: the PixelRNN paper, binarized MNIST
report("uniform over 256 levels", uniform_bits, claimed=8, tolerance=1e-5, unit="bits/dim")
report("79.20 nats per MNIST digit", mnist_bits, claimed=0.1457, tolerance=1e-4, unit="bits/dim")

# %% [markdown]
# Back to the digits. The three baselines of this course need no training: all levels equally likely; one histogram per pixel (those of section 3, smoothed); one histogram per pixel *and class*, mixed over the ten classes. The table calls the second "pixel marginals": a *marginal* is the distribution of one pixel by itself, whatever the others are.

# %%
guess("what the pixel histograms save", ...)  # if you like: a number in place of the dots

# %%
floor_of_sense = baselines(train, validation)
for name, figure in floor_of_sense.items():
    print(f"{name:16s} {figure}")
saved = floor_of_sense["uniform"].nats - floor_of_sense["pixel marginals"].nats
report("what the pixel histograms save", saved, claimed=73.1, tolerance=0.1, unit="nats")

# %% [markdown]
# After ± stands the standard error of the mean over the images. Uniform costs $64 \ln 17 = 181.3$ nats, 4.09 bits/dim. The pixel histograms save 73.1 nats of these. Each nat less makes the validation images $e = 2.7$ times more probable, on (geometric) average.
#
# ## 5 Real numbers
#
# **Step 4: a density is not a probability.** Networks like to put out real numbers, with a Gaussian around them. A *density* may exceed 1, so its NLL may be negative, and it depends on the unit: measure gray in units of full scale (0 to 1) instead of levels (0 to 16), and every density becomes 16 times larger per pixel. The model knows nothing more, but the score is better by $64 \ln 16 = 177$ nats:

# %%
mean, variance = x.double().mean(0), x.double().var(0) + 1  # + 1, because some pixels never change
in_levels = torch.stack([mean, variance.log()], -1).expand(180, 8, 8, 2)
in_full_scale = torch.stack([mean / 16, (variance / 16**2).log()], -1).expand(180, 8, 8, 2)
nll_levels = -Gaussian().log_prob(in_levels, v.double()).sum((1, 2)).mean()
nll_full_scale = -Gaussian().log_prob(in_full_scale, v.double() / 16).sum((1, 2)).mean()
gain = (nll_levels - nll_full_scale).item()
report("gain by a change of unit", gain, claimed=177.4, tolerance=0.1, unit="nats")

# %% [markdown]
# A figure like "NLL of $-1.2$" without the unit of the data says nothing.
#
# **Step 5: dequantization.** To compare a density $q$ on real numbers with a model of levels, turn the density into probabilities: a level $x$ gets the mass of its bin, $Q(x) = \int_0^1 q(x + u)\,du$. The integral is an average over uniform noise $u$, and the logarithm of an average is at least the average of the logarithm (Jensen's inequality, since $\ln$ is concave):
#
# $$\ln Q(x) = \ln \mathbb{E}_{u \sim U[0,1)}\big[q(x+u)\big] \;\ge\; \mathbb{E}_{u \sim U[0,1)}\big[\ln q(x+u)\big] \tag{1.5}$$
#
# So a density that is trained and scored on levels *plus uniform noise* gives an honest bound: the NLL of the real numbers is at least that of the levels. For images, $u$ has one value per pixel. The bound is tight where $q$ is constant within each bin. How loose is it for a Gaussian? Take the mean 7.3 and a standard deviation of 0.6 or 2. In the figure, compare each bar, the mass $Q(x)$ of the bin from $x$ to $x + 1$, with the mark, the exponential of the right side of (1.5).

# %%
k, panels, gaps = torch.arange(-20, 40), {}, {}
for std in (0.6, 2.0):
    normal = torch.distributions.Normal(torch.tensor(7.3, dtype=torch.float64), std)
    Q = normal.cdf(k + 1) - normal.cdf(k)  # mass of each bin
    bound = -0.5 * (math.log(2 * math.pi * std**2) + ((k + 0.5 - 7.3) ** 2 + 1 / 12) / std**2)  # E_u ln q(k + u)
    gaps[std] = torch.where(Q > 0, Q * (Q.log() - bound), 0).sum().item()  # averaged over the levels
    shown = slice(22, 33)  # levels 2 to 12
    panels[f"standard deviation {std}"] = {"mass Q(x)": Q[shown], "its bound by noise": bound[shown].exp()}

# %%
show.histograms(
    panels, left=2, xlabel="x + u",
    title="The bound is loose only where the density is narrow",
    alt="Bin masses of two Gaussians with the bound by noise: for a standard deviation of 0.6 the bound lies clearly "
    "below the mass in the outer bins, for 2 the two cannot be told apart.",
)  # fmt: skip
report("gap of (1.5), standard deviation 0.6", gaps[0.6], claimed=0.127, tolerance=0.001, unit="nats")
report("gap of (1.5), standard deviation 2", gaps[2.0], claimed=0.0105, tolerance=0.0001, unit="nats")

# %% [markdown]
# For a broad Gaussian the gap is about $1/(24 \sigma^2)$ nats, with the width of a bin as the unit: 0.0104 for $\sigma = 2$, which is negligible. The reason: for small variations $Z = \ln q(x + u)$ the gap $\ln \mathbb{E}\,e^Z - \mathbb{E} Z$ is half the variance of $Z$. At $y$ the slope of $\ln q$ is $(\mu - y)/\sigma^2$, and $u$ has the variance 1/12, so half the variance is $\frac{1}{24} (\mu - y)^2/\sigma^4$, on average $\frac{1}{24 \sigma^2}$.
#
# Now the per-pixel Gaussian on the digits. `dequantize` puts levels into $[0, 1)$, as $(x + u)/17$: the levels 0 to 16 end at 16, which is why the change of unit above divided by 16, but 17 bins of width 1 end at 17. So each pixel's unit shrinks by 17, and $64 \ln 17$ must be added to get back to levels.


# %%
def spread(levels: Tensor, n: int) -> Tensor:
    return dequantize(levels, torch.rand(levels.shape, dtype=torch.float64, generator=seed(n)), 17)  # in [0, 1)


y = spread(x, 0)  # (1257, 8, 8)
params = torch.stack([y.mean(0), y.var(0).log()], -1)  # maximum likelihood: section 7 says why
nll = -Gaussian().log_prob(params.expand(180, 8, 8, 2), spread(v, 1)).sum((1, 2)) + 64 * math.log(17)
gaussian = (nll.mean().item(), nll.std().item() / math.sqrt(180))
report("per-pixel Gaussian, dequantized", gaussian[0], claimed=153.5, tolerance=0.3, unit="nats")

# %% [markdown]
# Better than uniform by 28 nats (standard error 2), far behind the histograms, and on the same scale as both, thanks to (1.5). By (1.5), 153.5 is an *upper bound* of what this Gaussian costs as a model of levels; section 6 measures the slack.
#
# ## 6 Counts
#
# **Step 6: the Poisson.** Its NLL is $\lambda - k \ln \lambda + \ln k!$. Averaged over data with the mean $\bar{k}$, the derivative is $1 - \bar{k}/\lambda$: the best rate is the mean, as in section 1. Its divergence has a closed form. In $\ln \frac{p(k)}{q(k)} = k \ln\frac{a}{b} - a + b$ the factorials cancel, and $\mathbb{E}[k] = a$:
#
# $$\mathrm{KL}\big(\mathrm{Pois}(a) \,\|\, \mathrm{Pois}(b)\big) = a \ln \frac{a}{b} - a + b \tag{1.6}$$

# %% [markdown]
# **Exercise 4 · `poisson_nll`** · ●●○ · 6 minutes
#
# Write the NLL of counts. Leaving out $\ln k!$ does not change what is learned, and is common; but then the number cannot be compared with anything.
#
# - `rate`: floats `(B, ...)`, the rates $\lambda \ge 0$ themselves (not their logarithms); a rate of 0 means that only the count 0 is possible: it costs 0, and a count above 0 then costs `inf`. `k`: LongTensor of the same shape, counts 0, 1, 2, ..., also large ones such as 200.
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
n, a, b = 200_000, 6.2, 4.5
k = torch.poisson(torch.full((n, 1), a, dtype=torch.float64), generator=seed(2)).long()
log_ratio = poisson_nll(torch.full((n, 1), b).double(), k) - poisson_nll(torch.full((n, 1), a).double(), k)
formula = a * math.log(a / b) - a + b
z = (log_ratio.mean() - formula) / (log_ratio.std() / math.sqrt(n))
print(f"(1.6): {formula:.4f} nats, from {n:,} draws: {log_ratio.mean():.4f} nats")
report("their difference", z.item(), claimed=0.0, tolerance=4, unit="standard errors")

# %% [markdown]
# The digits are counts, so the Poisson of section 1 should suit them. Its score (three pixels at the edge are always 0 and five more nearly always; rates below 0.01 are raised to it, lest a single dot be impossible):

# %%
rates = rate.clamp(min=0.01)
report("rates that are raised", int((rate < 0.01).sum()), claimed=8, tolerance=0, exact=True)
nll = poisson_nll(rates.expand(180, 8, 8), v)
poisson = (nll.mean().item(), nll.std().item() / math.sqrt(180))
worse = poisson[0] - floor_of_sense["uniform"].nats
report("per-pixel Poisson", poisson[0], claimed=186.4, tolerance=0.1, unit="nats")
report("what it loses against knowing nothing", worse, claimed=5.1, tolerance=0.1, unit="nats")

# %% [markdown]
# Fitted to each pixel, and still **worse than the uniform distribution**, which knows nothing at all. (The uniform one costs the same on every image, so the standard error of the difference is that of the Poisson, 2.0 nats: 5.1 is 2.6 of them.) Look at two pixels to see why.

# %%
levels = torch.arange(17)
panels = {}
for r, c in ((0, 3), (3, 2)):
    fitted = torch.exp(Poisson().log_prob(rate[r, c].log().expand(17), levels))
    panels[f"row {r}, column {c}"] = {"training digits": histogram[r, c], "Poisson of the same mean": fitted}
show.histograms(
    panels, xlabel="dots", title="The mean is right, and nothing else",
    alt="Histograms of two pixels with the Poisson of the same mean: row 0, column 3 rises to 16 dots; row 3, column 2 "
    "has its peaks at 0 and at 16. The Poisson has a single hump around the mean, at 11 and at 9 dots.",
)  # fmt: skip

# %% [markdown]
# A Poisson has a single parameter, so its variance is tied to its mean; the two are equal, which is what many independent rare events give. The dots of a pixel are neither: a stroke covers the block or it does not, so they come together. The ratio of variance to mean, the *dispersion*, shows it:

# %%
used = rate > 0.05  # pixels that are inked now and then
dispersion = (x.double().var(0) / rate)[used]
report("median of variance / mean", dispersion.median().item(), claimed=4.6, tolerance=0.1)
report("smallest variance / mean", dispersion.min().item(), claimed=1.3, tolerance=0.05)

# %% [markdown]
# What is to blame for the 78.2 nats between the Poisson and the histograms? Replace it step by step: by the Gaussian of section 5, which has the right variance; by the exact mass of that Gaussian in each bin, without the slack of (1.5); by this mass renormalized to 0..16, since a model of levels need not waste any outside.

# %%
inside = torch.stack([Poisson().log_prob(rates.log(), torch.full((8, 8), k)) for k in range(17)]).logsumexp(0)
report("what the Poisson gains by renormalizing", -inside.sum().item(), claimed=0.78, tolerance=0.01, unit="nats")
normal = torch.distributions.Normal(y.mean(0), y.std(0))  # of numbers in [0, 1)
grid = ((torch.arange(100) + 0.5) / 100).double()[:, None, None, None]  # u in 100 even steps
mass_nll = -(normal.log_prob((v + grid) / 17).logsumexp(0) - math.log(100 * 17)).sum((1, 2)).mean().item()
renormalized = mass_nll + (normal.cdf(torch.ones(8, 8)) - normal.cdf(torch.zeros(8, 8))).log().sum().item()
steps = [poisson[0], gaussian[0], mass_nll, renormalized, floor_of_sense["pixel marginals"].nats]
names = "the right variance", "dropping the slack of (1.5)", "renormalizing the Gaussian", "the histograms' shape"
for name, gain, claim, tolerance in zip(
    names, -torch.tensor(steps).diff(), (32.9, 1.8, 11.4, 32.1), (0.3, 0.3, 0.05, 0.1), strict=True
):
    report(f"gain by {name}", gain, claimed=claim, tolerance=tolerance, unit="nats")

# %% [markdown]
# - **It is not the upper end of the Poisson.** It wastes mass on counts above 16, but renormalizing each pixel to 0..16 gains less than 1 nat of 78.
# - **It is the spread.** In every pixel that is inked now and then the variance exceeds the mean, in half of them more than 4.6 times: *over-dispersion*. A distribution that gets the variance right, the Gaussian, gains 33 nats (standard error of the differences per image: 1.6), although it is made for real numbers.
# - **13 nats are the Gaussian's own handicap:** slack, and mass below 0 and above 17.
# - **The last 32 are shape:** two peaks with a valley between them. No single hump has that; a histogram does.
#
# And where a Poisson's assumptions nearly hold, it fits. Count how often the letter *c* occurs in 64 characters of English text (the language reference of Python):

# %%
text = load("pydoc", "train")
letters = (text.x == text.encode("c")[0]).sum(1)  # one count per window, (4651,)
mean = letters.double().mean()
report("variance / mean of the number of c", (letters.double().var() / mean).item(), claimed=1.17, tolerance=0.005)
frequency = torch.bincount(letters).double() / len(letters)
histogram_nll = -torch.xlogy(frequency, frequency).sum()
lost = poisson_nll(mean.expand(len(letters), 1), letters[:, None]).mean() - histogram_nll
report("what the Poisson loses there against the histogram", lost.item(), claimed=0.0134, tolerance=0.0002,
       unit="nats")  # fmt: skip

# %% [markdown]
# It loses about 0.013 nats per count here, and 1.2 nats per pixel on the digits (78.2 / 64). All models of digits so far, on one scale:

# %%
show.ladder(
    {"Poisson per pixel": poisson, "Gaussian per pixel, upper bound": gaussian,
     "histogram per pixel": floor_of_sense["pixel marginals"],
     "histogram per pixel and class": floor_of_sense["class marginals"]},
    baselines={"uniform": floor_of_sense["uniform"]}, dims=64,
)  # fmt: skip

# %% [markdown]
# This is a good place for a pause: exercises and units are behind you, and the second half is about what a score means.
#
# ## 7 When the model cannot fit
#
# **Step 7: maximum likelihood covers.** Fit a Gaussian with mean $m$ and variance $s^2$ to any $p$ with mean $\mu_p$ and variance $\sigma_p^2$. Its expected NLL is $\frac12 \ln 2\pi s^2 + \frac{\sigma_p^2 + (\mu_p - m)^2}{2 s^2}$, since $\mathbb{E}_p(x - m)^2 = \sigma_p^2 + (\mu_p - m)^2$. The best mean is $m = \mu_p$, whatever $s$ is; then the derivative with respect to $s^2$ vanishes at $s^2 = \sigma_p^2$. The fit *matches the moments*. For two equal peaks:
#
# $$p = \tfrac12 N(-\mu, 1) + \tfrac12 N(\mu, 1): \qquad \arg\min_{m, s^2} \mathrm{KL}\big(p \,\|\, N(m, s^2)\big) = \big(0,\; 1 + \mu^2\big) \tag{1.7}$$
#
# The variance is $\mathbb{E}[x^2] = 1 + \mu^2$, because each peak has the second moment $1 + \mu^2$ about 0. Check it by descending numerically, and compare with the *reverse* divergence $\mathrm{KL}(q \,\|\, p)$, where the average is over the *model's* draws.

# %%
t = torch.linspace(-15, 15, 3001, dtype=torch.float64)


def gaussian_log_density(w: Tensor) -> Tensor:
    return Gaussian().log_prob(w.expand(3001, 2), t)  # w: mean and log-variance


peaks = [gaussian_log_density(torch.tensor([m, 0.0], dtype=torch.float64)) for m in (-3, 3)]
log_p = torch.logaddexp(*peaks) - math.log(2)


def divergence(log_a: Tensor, log_b: Tensor) -> Tensor:
    return torch.trapezoid(log_a.exp() * (log_a - log_b), t)  # nats


# %%
fits = {}
for name in ("KL(p || q)", "KL(q || p)"):
    w = torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=0.05)
    for _ in range(600):
        log_q = gaussian_log_density(w)
        loss = divergence(log_p, log_q) if name == "KL(p || q)" else divergence(log_q, log_p)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fits[name] = w.detach()

# %%
forward, reverse = fits["KL(p || q)"], fits["KL(q || p)"]
report("mean of the forward fit", forward[0].item(), claimed=0.0, tolerance=0.01)
report("variance of the forward fit", forward[1].exp().item(), claimed=10, tolerance=0.01)
report("mean of the reverse fit", reverse[0].item(), claimed=2.98, tolerance=0.01)
report("variance of the reverse fit", reverse[1].exp().item(), claimed=1.05, tolerance=0.01)
too_much = (gaussian_log_density(forward) - log_p)[1500].exp().item()  # at t = 0
report("density of the forward fit over the truth, at 0", too_much, claimed=28.5, tolerance=0.2)

# %%
with show.style():
    fig, ax = plt.subplots(figsize=(6.6, 2.6), layout="constrained")
    ax.fill_between(t, log_p.exp(), color=show.palette["sky"], alpha=0.6, lw=0, label="truth p")
    for name, color, line in (("KL(p || q)", "vermillion", "-"), ("KL(q || p)", "green", "--")):
        density = gaussian_log_density(fits[name]).exp()
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
# The maximum likelihood fit has its *highest* density where there are almost no data: at 0 it is 28 times that of the truth. It must: the NLL is infinite for data that it excludes, while wasted mass costs only a little. A model that cannot represent two alternatives proposes their average. For images this average is **blur**, and it is the root of the blurred samples in lesson 10. The reverse divergence would rather forget a peak; which one depends on the start, here at a mean of 1, and from -1 it is the other. Lesson 13 meets it again.
#
# **Drag the Gaussian yourself** over a pixel with two peaks: row 3, column 2, as real numbers (level $k$ fills $[k, k + 1)$). On the right is the NLL over the mean, at the present width; the arrow is the KL divergence. Start from the first view, which sits near the upper peak, and find the best you can. (The sliders need a running kernel; on a printed page the first view stands by itself.)

# %%
show.density_fit(x[:, 3, 2], bins=17, limits=(0, 17), mean=14, width=2, xlabel="level + u")

# %%
frequency = histogram[3, 2]
pixel_entropy = -torch.xlogy(frequency, frequency).sum().item()
middle = torch.arange(17) + 0.5
pixel_mean = (frequency * middle).sum().item()
pixel_variance = (frequency * (middle - pixel_mean) ** 2).sum().item() + 1 / 12  # 1 / 12: the variance of u
best_kl = 0.5 * math.log(2 * math.pi * math.e * pixel_variance) - pixel_entropy
first_kl = 0.5 * math.log(2 * math.pi * 4) + (pixel_variance + (pixel_mean - 14) ** 2) / 8 - pixel_entropy
report("entropy of this pixel", pixel_entropy, claimed=2.53, tolerance=0.01, unit="nats")
report("KL in the first view", first_kl, claimed=6.20, tolerance=0.01, unit="nats")
report("KL of the best Gaussian", best_kl, claimed=0.71, tolerance=0.01, unit="nats")

# %% [markdown]
# Here the floor is known, 2.53 nats, because the histogram itself serves as the truth. In the first view the Gaussian is 6.20 nats away; the best that any Gaussian can do is 0.71 nats, with its mean in the valley, by the formulas above.
#
# ## 8 Accuracy against likelihood
#
# Some report how often a model's *most probable* value is right. Can that replace a likelihood? For binary pixels it is bounded by it, from both sides. The probability of an image is the product of the probabilities of each pixel given those before (lesson 02), so the NLL is a sum over pixels. Let a model give pixel $i$ the probability $q_i$ of being 1, given those before, and let it be **calibrated**: among all predictions of a value $q$, a fraction $q$ are ones. Let $H_b(q) = -q \log_2 q - (1-q) \log_2 (1-q)$ be the entropy of a coin in bits. Then the expected NLL is $h = \mathbb{E}\,H_b(q_i)$ bits per pixel, the expected error of the most probable value is $e = \mathbb{E} \min(q_i, 1 - q_i)$, and
#
# $$2e \;\le\; h \;\le\; H_b(e) \tag{1.8}$$
#
# - **Left:** between 0 and ½, the concave $H_b$ lies on or above the straight line from $(0, 0)$ to $(\tfrac12, 1)$, so $H_b(q) \ge 2 \min(q, 1-q)$. Take the expectation.
# - **Right:** $H_b(q) = H_b(\min(q, 1-q))$ by symmetry, and by Jensen's inequality for a concave function $\mathbb{E} H_b(\min(q, 1-q)) \le H_b(\mathbb{E}\min(q, 1-q)) = H_b(e)$.
#
# Test it where the true conditionals are known: *bars and stripes*, 30 binary images of 4 x 4 pixels, equally likely. Given the first pixels, the images that still fit are counted. The model is the truth, so it is calibrated.


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
print(f"2e = {2 * e_stripes:.4f} <= h = {h_stripes:.4f} <= H_b(e) = {h_b(torch.tensor(e_stripes)):.4f}")

# %% [markdown]
# Now the case that this course started from: an article that presents a PixelRNN on MNIST, "accuracy 0.997". For binarized MNIST, the PixelRNN paper reports 79.20 nats per image, which is $h = 0.1457$ bits per pixel by (1.4). Solve (1.8) for $e$: at most $h/2$, and at least where $H_b(e) = h$.

# %%
h = 79.20 / (784 * math.log(2))
e = torch.linspace(0, 0.5, 500_001, dtype=torch.float64)
least = e[h_b(e) >= h][0].item()
report("lowest accuracy of a calibrated model of 79.20 nats", 1 - h / 2, claimed=0.927, tolerance=0.0005)
report("highest accuracy of a calibrated model of 79.20 nats", 1 - least, claimed=0.979, tolerance=0.0005)
needed = h_b(torch.tensor(0.003, dtype=torch.float64)).item() * 784 * math.log(2)
report("lowest accuracy of any model of 79.20 nats", 1 - h, claimed=0.854, tolerance=0.0005)
report("most nats per image with accuracy 0.997", needed, claimed=16.0, tolerance=0.05, unit="nats")

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
    "bits the error is between 2.1 and 7.3 %; the article's 0.3 % lies outside, bars and stripes inside.",
)  # fmt: skip

# %% [markdown]
# An accuracy of 0.997 needs a model of at most 16 nats per image, a fifth of 79.20. So the figure is no next-pixel accuracy of a calibrated PixelRNN, supposing that the article's images are binarized as in the paper, and that its program does not beat the published model fivefold.
#
# What if a model is *not* calibrated? A wrong prediction gives the true value at most ½, so it costs at least one bit: $e \le h$ for every model whatsoever, an accuracy of at least $1 - 0.146 = 0.854$ here. In the other direction there is no bound: a model that always says 0.51 may be right every time and still score nearly one bit per pixel. An accuracy alone says little.
#
# ## 9 Going downhill
#
# So far every best fit had a formula. With neighbors as inputs there is none, and one descends the gradient. The smallest such model: predict whether the pixel in row 3, column 4 is dark (8 dots or more) from four pixels that precede it in reading order. With $z_n$ the vector of their levels and a 1, the model is $\sigma(w^\top z_n)$, and its NLL is *convex* in $w$. No plane separates the dark examples from the light ones, so there is exactly one minimum (otherwise the NLL would fall forever, as for $k = 0$ in (1.3)), and we can watch how methods approach it.

# %%
dark = (x[:, 3, 4] >= 8).double()  # (1257,)
before = torch.stack([x[:, r, c] for r, c in ((3, 3), (2, 4), (2, 3), (2, 5))], 1).double()  # (1257, 4)
Z = torch.cat([before, torch.ones(len(x), 1)], 1)  # (1257, 5)


def nll_of(w: Tensor, Z: Tensor = Z) -> Tensor:
    return bernoulli_nll((Z @ w)[:, None], dark[:, None]).mean()  # nats per pixel


# %%
w_best = torch.zeros(5, dtype=torch.float64)
for _ in range(20):  # Newton's method: with the curvature, a few steps suffice
    gradient, curvature = (derive(nll_of, w_best) for derive in (autograd.jacobian, autograd.hessian))
    w_best = w_best - torch.linalg.solve(curvature, gradient)
optimum = nll_of(w_best).item()
report("NLL at the optimum", optimum, claimed=0.3239, tolerance=0.0005, unit="nats")
report("largest over smallest curvature", torch.linalg.cond(curvature).item(), claimed=1624, tolerance=20)
report("largest curvature", torch.linalg.eigvalsh(curvature).max().item(), claimed=19.6, tolerance=0.1)

# %% [markdown]
# The valley is 1,600 times more strongly curved in one direction than in another. Let $g_t$ be the gradient at step $t$ and $\alpha$ the *step size*. **Gradient descent** takes one step size for all directions, $w \leftarrow w - \alpha g$, and it must be small enough for the most strongly curved one: near the minimum, beyond 2 / 19.6 = 0.10, each step there overshoots by more than it corrects. (On a random part of the data at a time, it is called *stochastic* gradient descent, SGD.) **Momentum** keeps a velocity, $b \leftarrow \beta b + g$, $w \leftarrow w - \alpha b$, which forgets at the rate $\beta$ (0.9 here), adds up along the valley and averages out across it. **Adam** divides each coordinate by the size of its own recent gradients:
#
# $$\begin{aligned}
# m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
# w_t &= w_{t-1} - \alpha\, \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}
# \end{aligned} \tag{1.9}$$
#
# All operations are per coordinate. $m_t$ and $v_t$ are running averages of the gradient and of its square, which forget at the rates $\beta_1 = 0.9$ and $\beta_2 = 0.999$, and $\epsilon = 10^{-8}$ prevents a division by 0. Both averages start at 0; dividing by $1 - \beta^t$, the sum of their weights, corrects for that. In code, beside PyTorch's own:

# %%
w, m, v2 = (torch.zeros(5, dtype=torch.float64) for _ in range(3))
theirs = torch.zeros(5, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.999), eps=1e-8)
for step in range(1, 101):
    g = autograd.jacobian(nll_of, w)
    m, v2 = 0.9 * m + 0.1 * g, 0.999 * v2 + 0.001 * g**2
    w = w - 0.1 * (m / (1 - 0.9**step)) / ((v2 / (1 - 0.999**step)).sqrt() + 1e-8)
    optimizer.zero_grad()
    nll_of(theirs).backward()
    optimizer.step()
report("largest difference after 100 steps", (w - theirs.detach()).abs().max().item(), claimed=0.0, tolerance=1e-10)


# %% [markdown]
# Which step size does each way get? Whoever gives all of them the same compares step sizes. Here each takes, of 0.01, 0.02, 0.05, 0.1 and 0.2, the one with the lowest *average* NLL over 300 steps, which punishes both creeping and overshooting.


# %%
def descend(make, lr: float, loss=nll_of, steps: int = 300) -> list[float]:
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer, curve = make([w], lr), []
    for _ in range(steps):
        value = loss(w)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        curve.append(value.item())
    return curve


# %%
ways = {
    "gradient descent": lambda w, lr: torch.optim.SGD(w, lr=lr),
    "with momentum": lambda w, lr: torch.optim.SGD(w, lr=lr, momentum=0.9),
    "Adam": lambda w, lr: torch.optim.Adam(w, lr=lr),
}
descents = {}
for name, make in ways.items():
    tried = {lr: descend(make, lr) for lr in (0.01, 0.02, 0.05, 0.1, 0.2)}
    best_lr = min(tried, key=lambda lr: sum(tried[lr]))
    descents[name] = tried[best_lr]
    report(f"best step size, {name}", best_lr, claimed=0.05, tolerance=0, exact=True)

# %%
show.curves(
    {name: (range(10, 301, 10), curve[9::10]) for name, curve in descents.items()}, floors={"optimum": optimum},
    ylabel="nats per pixel", ylim=(0.315, 0.42), title="One step size for all directions is slow in a narrow valley",
    alt="NLL over 300 steps, from step 10: gradient descent creeps down to 0.348 nats; momentum comes from above "
    "the frame and reaches the optimum, 0.324 nats, after 250 steps, Adam after 150.",
)  # fmt: skip

# %%
scaled = torch.cat([(before - before.mean(0)) / before.std(0), torch.ones(len(x), 1)], 1)
momentum_slow = descend(ways["with momentum"], 0.02)[-1]
standardized = descend(ways["gradient descent"], 1.0, lambda w: nll_of(w, scaled))
above = {name: curve[-1] - optimum for name, curve in descents.items()}
report("gradient descent, above the optimum", above["gradient descent"], claimed=0.0244, tolerance=0.0005, unit="nats")
report("momentum, above the optimum", above["with momentum"], claimed=0.0004, tolerance=0.0001, unit="nats")
highest = max(descents["with momentum"])
report("highest NLL with momentum", highest, claimed=0.81, tolerance=0.01, unit="nats")
report("momentum at the step size 0.02", momentum_slow - optimum, claimed=0.006, tolerance=0.0005, unit="nats")
report("Adam, above the optimum", above["Adam"], claimed=0.0, tolerance=0.0002, unit="nats")
report("descent on standardized inputs, above the optimum", standardized[-1] - optimum, claimed=0.0, tolerance=0.0002,
       unit="nats")  # fmt: skip

# %% [markdown]
# The best step size happens to be 0.05 for all three. All start at $\ln 2 = 0.693$, far above the frame. Momentum first rises to 0.81: the speed that it has gathered carries it across the valley, and it swings back. Then it arrives within 300 steps, Adam long before that, and plain descent not at all. (With 0.02 momentum would be on its way still, 0.006 nats above; one step size for all is no comparison.) Adam repairs the bad scaling by itself. But so does a better scale: with inputs of mean 0 and variance 1 (and a step of 1.0, which they permit), plain gradient descent is there as well. The optimum is the same function; only the way to it changed.
#
# ## 10 A curve and its floor
#
# **Where the truth is known.** `glyphs` are binary digits of 28 x 28 pixels in eleven fonts, sizes, slants and shifts, with one pixel in a hundred flipped. All of that is drawn with known probabilities, so $p(x)$ and the entropy, 53.0 nats, are known. Fit a *mixture of Bernoullis*: $q(x) = \sum_{k=1}^{K} \pi_k \prod_i q_k(x_i)$, with $K = 200$ templates, each of which starts at a training image. It is your `bernoulli_nll` for all templates at once, and the whole model:


# %%
class BernoulliMixture(nn.Module):
    n_classes = 0  # tells `fit` that log_prob takes images only, no labels

    def __init__(self, images: Tensor):  # (K, 1, 28, 28) of 0 and 1
        super().__init__()
        self.logits = nn.Parameter(4.0 * images.flatten(1) - 2.0)  # (K, D)
        self.weights = nn.Parameter(torch.zeros(len(images)))

    def log_prob(self, x: Tensor) -> Tensor:
        log_given = x.flatten(1).float() @ self.logits.T - F.softplus(self.logits).sum(1)  # (B, K): log q(x | k)
        return (log_given + self.weights.log_softmax(0)).logsumexp(1)  # (B,)


# %%
glyphs, glyphs_validation = load("glyphs", "train"), load("glyphs", "validation")
mixture = BernoulliMixture(glyphs.x[:200])
nine = glyphs.x[:9].flatten(1).float()  # (9, 784)
by_hand = -torch.stack([bernoulli_nll(l.expand(9, -1), nine) for l in mixture.logits], 1)  # (9, 200)
log_q = (by_hand + mixture.weights.log_softmax(0)).logsumexp(1)  # (9,), over the templates
print("the same by bernoulli_nll:", torch.allclose(log_q, mixture.log_prob(glyphs.x[:9]), atol=1e-3))

# %% [markdown]
# `fit` is the training loop of this course. It runs Adam on 100 images at a time and scores a moving average of the weights (`ema=0.95`: the last twenty steps or so), which is calmer than the weights themselves. `budget` chooses the number of steps: a test of this page takes two.

# %%
history = fit(
    mixture, glyphs, validation=glyphs_validation, steps=budget(smoke=2, quick=400, full=400), batch_size=100, lr=0.05,
    ema=0.95, evaluate_every=budget(smoke=2, quick=20, full=20), seed=0, label="mixture of Bernoullis",
)  # fmt: skip

# %%
floor = glyphs_validation.entropy().nats
at_images = -glyphs_validation.log_prob(glyphs_validation.x).mean().item()  # of -ln p(x), at these 1,000
show.curves(
    {"training batches": history.train, "validation": history.validation},
    baselines={"one Bernoulli per pixel": baselines(glyphs, glyphs_validation)["pixel marginals"].nats},
    floors={"entropy of the data": floor}, ylim=(40, 230), title="Without the floor this would look like success",
    alt="Learning curve of a mixture of 200 Bernoullis on glyphs: the validation NLL falls from above 200 to about 148 "
    "nats and levels off, 95 nats above the entropy of 53.0; the training NLL is lower, about 130.",
)  # fmt: skip

# %%
report("entropy of glyphs", floor, claimed=53.0, tolerance=0.05, unit="nats")
report("mean of -ln p(x) at the validation images", at_images, claimed=53.19, tolerance=0.01, unit="nats")
live = evaluate(mixture, glyphs_validation)
distance = kl_to_model(glyphs_validation, mixture)
report("validation NLL of the mixture", live.nats, claimed=147.9, tolerance=1.5, unit="nats")
report("its KL divergence from the truth", distance.nats, claimed=94.7, tolerance=1.5, unit="nats")
report("its standard error", distance.stderr, claimed=0.9, tolerance=0.1, unit="nats")
best = recorded("gated_pixelcnn-glyphs")["validation"]  # figures of a longer training, stored with the course
report("KL of a gated PixelCNN, recorded", best["kl"]["nats"], claimed=27.6, tolerance=0.1, unit="nats")

# %% [markdown]
# The curve has come to rest, and looks finished. The floor says that two thirds of its height are missing knowledge, and a network that sees neighbors (lesson 04) has only 28 nats to go. `kl_to_model` averages $\ln p(x) - \ln q(x)$ *at the same images*, which is (1.1) estimated without bias. So it is not 147.9 - 53.0: these 1,000 images happen to be a little harder than average, with a mean $-\ln p(x)$ of 53.19 nats, and where both are averaged over the same images, the luck of the draw cancels.
#
# The training NLL, about 130, lies 18 nats *below* the validation's: 200 templates have 157,000 logits for 5,000 images, and some of what they learn is these images and not their distribution (*overfitting*). Only the validation curve estimates (1.2).
#
# **(1.8) on a trained model.** The mixture also predicts each pixel from those before it: they tell which templates are still plausible. Summed over templates, the probability of the first $i$ pixels divided by that of the first $i - 1$ is $q(x_i \mid x_1, \dots, x_{i-1})$; lesson 02 starts from there.

# %%
sign = 2.0 * glyphs_validation.x.flatten(1) - 1  # (1000, 784) -1 or 1
parts = []
with torch.no_grad():
    for some in sign.split(50):
        log_terms = F.logsigmoid(some[:, None] * mixture.logits)  # (50, 200, 784) log q_k(x_i)
        log_joint = mixture.weights.log_softmax(0)[:, None] + log_terms.cumsum(-1)
        log_prefix = F.pad(log_joint.logsumexp(1), (1, 0))  # (50, 785) log q(x_1, ..., x_i)
        parts.append(log_prefix.diff(dim=1).exp())
q_true = torch.cat(parts).clamp(max=1)  # (1000, 784) probability of the value that came

# %%
guess("accuracy of a blank page", ...)  # if you like: a number in place of the dots

# %%
nll_bits, h_mixture, e_mixture = -q_true.log2().mean(), h_b(q_true).mean(), (q_true < 0.5).float().mean()
report("NLL of the mixture", nll_bits, claimed=0.272, tolerance=0.003, unit="bits/pixel")
report("h of the mixture", h_mixture, claimed=0.273, tolerance=0.003, unit="bits/pixel")
report("accuracy of the mixture", 1 - e_mixture, claimed=0.927, tolerance=0.003)
report("accuracy of a blank page", (sign < 0).float().mean(), claimed=0.859, tolerance=0.001)
print("2e <= h <= H_b(e):", (2 * e_mixture <= h_mixture <= h_b(e_mixture)).item())

# %% [markdown]
# NLL and $h$ nearly agree, as a calibrated model's must (that they do is no proof of calibration), and the observed error, which calibration would make equal to the $e$ of (1.8), lies within its bounds. The accuracy, 92.7 %, looks splendid beside a KL divergence of 95 nats; but predicting white everywhere is already right on 85.9 % of the pixels.
#
# **Can a curve pass below its floor?** The floor holds for *fresh* data. Give a model with one logit for each of the $2^{16}$ images of 4 x 4 pixels, the most flexible there is, 40 draws of bars and stripes:

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

# %%
floor = stripes.entropy().nats
show.curves(
    {name: curve[::5] for name, curve in curves.items()}, floors={"entropy, ln 30": floor}, ylim=(2.8, 8),
    title="Training data can be memorized past the floor",
    alt="NLL of a table over 65,536 images: on its 40 training draws it falls below the floor of 3.40 nats; on fresh "
    "data it turns and rises again.",
)  # fmt: skip
below = floor - curves["the 40 training draws"][-1][1]
report("training NLL below the entropy", below, claimed=0.27, tolerance=0.01, unit="nats")
report("images that were never drawn, of 30", 30 - len(drawn.unique()), claimed=5, tolerance=0, exact=True)

# %% [markdown]
# On its own 40 draws the table scores better than the truth, as (1.3) says it must: its best fit is the histogram of the *draws*, whose entropy is lower. On fresh data it pays for every image that was not drawn. **A training NLL below the entropy is a sign of memory, a validation NLL below it by several standard errors is a sign of an error** (a leak, or a wrong unit).
#
# ## 11 Break it
#
# The classic failure with densities: train a Gaussian on *levels*, without noise. Three pixels at the edge are always 0. Nothing stops their variance from shrinking, and their density from growing, forever.


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

# %%
show.curves(
    {"training, raw levels": raw[::10], "training, with noise": noisy[::10]},
    baselines={"validation, histograms": floor_of_sense["pixel marginals"].nats},
    title="A density on levels has no floor",
    alt="Training NLL of Gaussians per pixel over 600 steps: on raw levels the curve falls below the histograms and "
    "0 and keeps falling; with uniform noise it levels off at 150 nats, above the histograms.",
)  # fmt: skip
report("last training NLL with noise", noisy[-1][1], claimed=150, tolerance=1, unit="nats")
report("last training NLL on raw levels", raw[-1][1], claimed=-34, tolerance=2, unit="nats")
report("its fall in the last 100 steps", raw[-101][1] - raw[-1][1], claimed=30, tolerance=1, unit="nats")

# %% [markdown]
# The first curve passes the histograms, which no independent Gaussian can do honestly, and goes to minus infinity if you let it. It falls by 30 nats in every 100 steps, and has learned nothing but that some pixels sit exactly on a whole number. How to detect it: the NLL becomes negative or never levels off, and the smallest variance goes to 0. The remedy is (1.5). (The other curve is section 5's Gaussian: 150.0 on the training digits, 153.5 on the validation digits.) **A second fault, which no curve shows,** is to forget the change of unit: scored on $[0, 1)$ without adding $64 \ln 17$, the honest Gaussian of section 5 reports $-27.8$ nats.

# %%
forgotten = gaussian[0] - 64 * math.log(17)
report("the Gaussian of section 5 without the change of unit", forgotten, claimed=-27.8, tolerance=0.3, unit="nats")

# %% [markdown]
# ## 12 What the article says
#
# The course grew out of a Chinese article, 生成式AIGC：AI技术的前沿探索 (*Generative AIGC: exploring the frontier of AI*), and checks its claims, lesson by lesson. It trains a "PixelRNN" on MNIST and reports "loss 0.316, accuracy 0.997", without a unit. Try all units:

# %%
report("0.316 as nats per pixel", 0.316 * 784, claimed=247.7, tolerance=0.1, unit="nats per image")
report("0.316 as bits/dim", 0.316 * 784 * math.log(2), claimed=171.7, tolerance=0.1, unit="nats per image")
report("0.316 as a loss over ten classes, mean probability", math.exp(-0.316), claimed=0.729, tolerance=0.001)
report(
    "three blank rows of 28, if every pixel had to name the digit",
    3 * 28 / 784 * math.log(10),
    claimed=0.247,
    tolerance=0.001,
    unit="nats",
)

# %% [markdown]
# | the article | verdict | what this lesson says |
# |---|---|---|
# | generative AI learns the statistics of data and produces similar data | right, loose | fit $q$ to $p$ and draw from $q$; how similar is what KL measures (section 2) |
# | preprocessing and augmentation are steps of the method | imprecise | dividing the pixels by 16 changes a density's NLL by 177 nats here (section 5), and augmentation changes $p$ itself: state both, and never augment test data |
# | the prior may be Gaussian or Poisson | wrong for these models | a Poisson is a *likelihood* of counts (section 6), and a poor one for gray levels; priors belong to models with latent variables, lesson 10 |
# | loss: the negative log-likelihood | right | sum over pixels, in nats; give bits/dim beside it (section 4) |
# | loss: a KL divergence as well | wrong here | by (1.2) the NLL *is* the KL up to a constant. A separate KL term belongs to the bound of lesson 10 |
# | the data are pairs $(x_i, y_i)$ | imprecise | nothing in this lesson needed a label; pairs are for $p(x \mid y)$ |
# | $L = \frac1N \sum -\log p(x_i \mid y_i)$ | right as a formula | the conditional NLL. It leaves $-\log p(y_i)$ out, so it is no likelihood of the pair |
# | $L_{KL} = \frac1N \sum \mathrm{KL}(p(x_i \mid y_i) \,\Vert\, q(x_i \mid y_i))$ | wrong | KL compares two *distributions*, not two numbers at a sample. With both arguments learnable it is 0 for any $p = q$, whatever the data are |
# | minimizing both brings the model to the true distribution | wrong | the NLL alone does, if the model can represent it and data suffice; section 7 shows what happens if it cannot |
# | the index $i$ numbers pixels and samples | wrong | $\prod_i$ runs over pixels, $\sum_n$ over examples; one letter for both makes the formulas unreadable |
# | loss 0.316 | means nothing | per pixel in nats it would be 248 nats per image, in bits 172; a fully visible sigmoid belief network, an early and simple model, has about 97 on binarized MNIST. As a loss over ten classes it means a probability of 0.729 on (geometric) average, odd beside 99.7 % correct answers. If the network had to name the digit at every pixel position, the 84 positions of three blank top rows (10.7 %) could only guess, $\ln 10$ each: 0.107 · 2.303 = 0.247 |
# | accuracy 0.997 | not of a PixelRNN | (1.8): 0.927 to 0.979 for a calibrated model of 79.20 nats. It looks like a classifier of digits |
# | (no likelihood is given) | missing | PixelRNN on binarized MNIST: 79.20 nats = 0.1457 bits/dim (Diagonal BiLSTM); the paper gives no accuracy of pixels |
#
# ## 13 Check yourself
#
# 1. Model A scores 80.1 nats, model B 81.3, on the same held-out images. The entropy of the data is unknown. What do you know about their KL divergences?
#
# <details><summary>Answer</summary>By (1.2) both NLLs contain the same entropy, so A is nearer to the truth by 1.2 nats, up to the standard error of the difference (take it over the differences per image). How far either is from the truth remains unknown.</details>
#
# 2. A model that is a density on real numbers reports 3.4 bits/dim on 8-bit photographs, with data scaled to $[0, 1]$. What has to have been added to its NLL?
#
# <details><summary>Answer</summary>Its density is one of numbers (x + u) / 256, so D ln 256 nats, that is 8 bits/dim, and the noise u must be there as well.</details>
#
# 3. A network learns to paint a whole image from a short description, with the squared error as its loss. Why are its images blurred?
#
# <details><summary>Answer</summary>The squared error is the NLL of a Gaussian with a fixed width, and its best output is the mean of all images that fit the description, by the derivation of (1.7). Where several are possible, their average is none of them.</details>
#
# 4. A colleague's validation NLL on bars and stripes is 3.2 nats. Congratulations?
#
# <details><summary>Answer</summary>No. The entropy is ln 30 = 3.401 nats, and on the whole distribution no model can score less. Look for a leak, for normalization (do its probabilities sum to 1?) and for the unit.</details>
#
# 5. A model predicts every pixel with probability 0.9 for the right value. What are its bits/pixel, its accuracy, and is it calibrated?
#
# <details><summary>Answer</summary>-log2 0.9 = 0.152 bits and an accuracy of 1. A calibrated model would be right in 90 % of the cases only, so this one is underconfident. It lies outside of (1.8), which holds for calibrated models.</details>
#
# ## Take-aways
#
# - Maximum likelihood is minimizing $\mathrm{KL}(p \,\|\, q)$: the NLL is the entropy plus the distance.
# - Give the unit: nats per image, summed over pixels, or bits/dim. Densities need noise and the change of unit before they compare with probabilities.
# - A curve means something between a baseline and a floor. Below the floor is an alarm.
# - A model that cannot fit covers the data, and an accuracy cannot replace a likelihood.
#
# ## Where next
#
# - Theis, van den Oord, Bethge, *A note on the evaluation of generative models*, ICLR 2016, arXiv 1511.01844: likelihood, samples and why they disagree; section 3.1 is (1.5).
# - Kingma, Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, arXiv 1412.6980: (1.9) is its algorithm 1.
# - van den Oord, Kalchbrenner, Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016, arXiv 1601.06759: where 79.20 nats come from; lesson 03.
# - Uria, Murray, Larochelle, *RNADE: The real-valued neural autoregressive density-estimator*, NIPS 2013, arXiv 1306.0186: dequantized pixels with mixtures of Gaussians.
# - In the library, read [`distributions/heads.py`](../garm_course/distributions/heads.py) and [`likelihood.py`](../garm_course/evaluation/likelihood.py). Lesson 02 drops the assumption that pixels are independent.

# %%
claims()
