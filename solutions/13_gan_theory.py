# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · GAN theory
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/13_gan_theory.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F13_gan_theory.ipynb)
#
# **How can a model learn a distribution whose likelihood nobody can compute, its own included, and what can go wrong when two networks are trained against each other?**
#
# | | |
# |---|---|
# | Time | 85 minutes; the cells run in about half a minute |
# | Before this | likelihood and KL divergence of [lesson 01](01_likelihood.ipynb); gradients and optimizers in PyTorch |
# | Afterwards you can | *derive* the best discriminator and what the game then measures, *implement* both players' losses and a training step, *explain* why one generator loss saturates and what the other one really descends, *diagnose* lost modes by counting, *predict* when gradient steps rotate |
# | Papers | Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, *Generative Adversarial Networks*, NIPS 2014, arXiv [1406.2661](https://arxiv.org/abs/1406.2661) · Arjovsky, Bottou, *Towards Principled Methods for Training Generative Adversarial Networks*, ICLR 2017, arXiv [1701.04862](https://arxiv.org/abs/1701.04862) · Nowozin, Cseke, Tomioka, *f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization*, NIPS 2016, arXiv [1606.00709](https://arxiv.org/abs/1606.00709) · Mao, Li, Xie, Lau, Wang, Smolley, *Least Squares Generative Adversarial Networks*, ICCV 2017, arXiv [1611.04076](https://arxiv.org/abs/1611.04076) |

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

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from garm_course import budget, check, claims, guess, load, recorded_study, report, seed, show
from garm_course.adversarial import (
    F_DIVERGENCES, GAN, MLPGAN, GANGame, MLPCritic, MLPGenerator, kl_divergence, saturating_g_loss,
)  # fmt: skip
from garm_course.evaluation import mode_counts
from garm_course.lessons import lesson13
from garm_course.training import fit_game

# %% [markdown]
# ## 1 The question, in pictures
#
# A generator is a network $G$ that turns noise into examples: draw $z \sim N(0, I)$, return $x = G(z)$. Nothing is easier to sample from, and nothing is harder to score: the density of $G(z)$ has no formula, and here there is not even a bound as in lesson 10, so the maximum likelihood of lessons 01 to 12 is out of reach. But we can *draw*, from the generator and from the data. So ask a second network, the **discriminator** $D$,
# to tell the draws apart, and train the generator until it cannot.
#
# Everything in this lesson that can be computed is computed, so the first data are numbers on a line: half of them around $-1.5$, half around $1.5$. An untrained generator knows nothing of that:

# %%
CENTERS, STD = torch.tensor([[-1.5], [1.5]]), 0.5
rng = seed(0)
which = torch.randint(2, (4000,), generator=rng)
line = CENTERS[which] + STD * torch.randn(4000, 1, generator=rng)  # (4000, 1)

edges = np.linspace(-4, 4, 81)
middles = torch.from_numpy((edges[1:] + edges[:-1]) / 2)  # (80,)
p_line = torch.distributions.Normal(CENTERS.double(), STD).log_prob(middles).exp().mean(0)  # the data's density


def frame(G: nn.Module, D: nn.Module, step: int) -> lesson13.GameFrame:
    """What both players do now: the generator's density as a histogram of 10,000 draws, the discriminator's curve."""
    with torch.no_grad():
        x = G(torch.randn(10_000, 4, generator=torch.Generator().manual_seed(1)))[:, 0]
        d = torch.sigmoid(D(middles.float()[:, None]))
    density = np.histogram(x.numpy(), edges)[0] / len(x) / (edges[1] - edges[0])
    return lesson13.GameFrame(step, middles.numpy(), p_line.numpy(), density, d.double().numpy())

# %%
def players(s: int) -> tuple[nn.Module, nn.Module]:
    seed(s)
    return MLPGenerator(4, (1,), hidden=(32, 32)), MLPCritic((1,), hidden=(64, 64))  # D(x) is a logit, any real number


first = frame(*players(0), 0)
lesson13.game(
    {"before the training": first},
    title="Two sets of draws, and a discriminator that cannot tell",
    alt="The data's density has two humps at -1.5 and 1.5; the untrained generator draws around 0.1 only; the "
    "discriminator is near one half everywhere; the best one would be 1 on both humps and 0 between.",
)
report("probability that data and generator share at first", first.overlap, claimed=0.01, tolerance=0.03)

# %% [markdown]
# (The tallest bars are cut off. The shared probability is $\int \min(p, g)$ of the two densities: 1 if they are equal, 0 if they do not overlap.) The dotted curve is the best discriminator for these two densities, drawn where there is one; its wiggles come from bins with few draws. Where does it come from?
#
# ## 2 The game, and its best discriminator
#
# Let $D(x) \in (0, 1)$ be the probability that $x$ is data. Show it data and fakes in equal number. Its average log-likelihood per example, times two, is the **value** of the game:
#
# $$V(D, G) = \mathbb E_{x \sim p} \log D(x) + \mathbb E_{x \sim g} \log\big(1 - D(x)\big) \tag{13.1}$$
#
# where $p$ is the density of the data and $g$ that of $G(z)$. The discriminator makes $V$ large, the generator makes it small: $\min_G \max_D V$. A discriminator that knows nothing says ½ everywhere and gets $-\log 4 = -1.386$; one that is always right, and sure, gets 0.
#
# Fix $G$ and write both averages as one integral, $V = \int p \log D + g \log (1 - D)$. Nothing ties $D(x)$ to $D(x')$, so each point can be maximized for itself. The derivative of $p \log D + g \log(1 - D)$ in the number $D$ is $p / D - g / (1 - D)$. It is zero at one place, and the function is concave (where one density is 0, the best is the limit, 0 or 1):
#
# $$D^*(x) = \frac{p(x)}{p(x) + g(x)} \tag{13.2}$$

# %% [markdown]
# **Exercise 1 · `optimal_discriminator`** · ●○○ · 3 minutes
#
# Compute (13.2) at points where both densities are known.
#
# - `p`, `g`: densities of data and generator at the same points, tensors of one shape, not negative, not both zero.
# - Returns the tensor of that shape with the probabilities that what lies there is data.
#
# Example: `optimal_discriminator(torch.tensor([0.3, 0.0]), torch.tensor([0.1, 0.2]))` is `[0.75, 0.0]`.
#
# <details><summary>Hint</summary>It is Bayes' rule with equal priors: of all that lies at x, which share is data?</details>

# %%
@check
def optimal_discriminator(p: Tensor, g: Tensor) -> Tensor:
    """p / (p + g), for tensors of one shape."""
    ### BEGIN SOLUTION
    return p / (p + g)
    ### END SOLUTION

# %% [markdown]
# **Check it by perturbation.** Take random tables of probabilities over six outcomes and ten thousand random discriminators: none gets a higher value than $D^*$.

# %%
def value(D: Tensor, p: Tensor, g: Tensor) -> Tensor:
    return (p * D.log() + g * (1 - D).log()).sum(-1)


p, g = (torch.randn(6, dtype=torch.float64, generator=seed(s)).softmax(0) for s in (1, 2))
best = optimal_discriminator(p, g)
others = torch.sigmoid(torch.logit(best) + torch.randn(10_000, 6, dtype=torch.float64, generator=seed(3)))
report("discriminators of 10,000 that beat the best", int((value(others, p, g) > value(best, p, g)).sum()),
       claimed=0, tolerance=0, exact=True)  # fmt: skip

# %% [markdown]
# ## 3 What the game measures
#
# Put $D^*$ into (13.1). With the mean $m = \frac12 (p + g)$ we have $D^* = p / 2m$ and $1 - D^* = g / 2m$, so
#
# $$V(D^*, G) = \int p \log \frac{p}{2m} + g \log \frac{g}{2m} = \underbrace{\mathrm{KL}(p \,\|\, m) + \mathrm{KL}(g \,\|\, m)}_{2\, \mathrm{JS}(p,\, g)} - \log 4 \tag{13.3}$$
#
# The two divergences, halved and added, are the **Jensen-Shannon divergence** JS. It is symmetric, 0 only where $p = g$, and at most $\log 2$. So if the discriminator is always at its best, the generator minimizes a divergence, and the minimum is $p = g$, where $V = -\log 4$. No likelihood was computed.

# %% [markdown]
# **Exercise 2 · `js_divergence`** · ●●○ · 8 minutes
#
# Write $\mathrm{JS}(p, g) = \frac12 \mathrm{KL}(p \,\|\, m) + \frac12 \mathrm{KL}(g \,\|\, m)$ for tables of probabilities.
#
# - `p`, `g`: `(..., K)`, each sums to 1 over the last axis. Zeros occur, and $0 \log 0 = 0$.
# - Returns `(...)` in nats, with a gradient.
#
# Example: `js_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))` is 0.6931, the largest value.
#
# <details><summary>Hint 1</summary><code>torch.xlogy(a, b)</code> is a log b, and 0 where a is 0.</details>
# <details><summary>Hint 2</summary>KL(p || m) = sum of xlogy(p, p) - xlogy(p, m). Is m ever 0 where p is not?</details>

# %%
@check
def js_divergence(p: Tensor, g: Tensor) -> Tensor:
    """½ KL(p || m) + ½ KL(g || m): tables (..., K) -> (...) nats."""
    ### BEGIN SOLUTION
    m = (p + g) / 2
    kl = [(torch.xlogy(q, q) - torch.xlogy(q, m)).sum(-1) for q in (p, g)]
    return 0.5 * kl[0] + 0.5 * kl[1]
    ### END SOLUTION

# %%
error = (value(best, p, g) - (2 * js_divergence(p, g) - math.log(4))).abs().item()
report("error of (13.3)", error, claimed=0, tolerance=1e-12, unit="nats")
report("value of the game where g equals p", value(optimal_discriminator(p, p), p, p).item(), claimed=-1.3863,
       tolerance=1e-4, unit="nats")  # fmt: skip

# %% [markdown]
# **The catch.** Slide two Gaussians with standard deviation 1 apart and watch the divergence. Before you run the cell: how large is JS at a distance of 4, and how large at 8?

# %%
guess("JS at distance 4", ...)  # if you like: a number in place of the dots
guess("JS at distance 8", ...)

# %%
grid = torch.linspace(-15, 25, 4001, dtype=torch.float64)


def gaussian(center: float) -> Tensor:
    t = torch.exp(-0.5 * (grid - center) ** 2)
    return t / t.sum()


distances = [0.25 * k for k in range(41)]
js = [js_divergence(gaussian(0.0), gaussian(d)).item() for d in distances]
show.curves({"JS": (distances, js)}, floors={}, baselines={"ln 2": math.log(2)}, ylim=(0, 0.8),
               xlabel="distance of the centers, in standard deviations", ylabel="nats",
               title="Beyond six standard deviations the divergence is almost flat",
               alt="JS of two Gaussians rises from 0 with their distance and is flat at ln 2 = 0.693 from about six "
               "standard deviations on.")  # fmt: skip
report("JS at distance 4", js[16], claimed=0.633, tolerance=0.001, unit="nats")
report("JS at distance 8", js[32], claimed=0.69305, tolerance=0.0001, unit="nats")
report("rise of JS from distance 8 to 10", js[40] - js[32], claimed=0.00009, tolerance=0.00002, unit="nats")

# %% [markdown]
# If two distributions share no outcome at all, $m$ is $p/2$ on the one and $g/2$ on the other, so both divergences are $\log 2$, however far apart they are:
#
# $$p\, g = 0 \text{ everywhere} \;\Rightarrow\; \mathrm{JS}(p, g) = \log 2, \qquad \frac{d}{d\, \text{shift}} \mathrm{JS} = 0 \tag{13.4}$$
#
# (The slope is 0 as long as the shift keeps them apart.) This is no exotic case. Suppose that images lie *on* a surface of low dimension in the space of all pixels, and the generator's outputs on another. Then the two meet in a set of probability zero, except by an exact coincidence (Arjovsky and Bottou, 2017, lemmas 2 and 3). A *perfect* discriminator is 0 all around the fakes, so $\log (1 - D)$ gives the generator a gradient of exactly zero.

# %%
left, right = torch.zeros(2, 12, dtype=torch.float64)
left[:3] = torch.tensor([0.2, 0.5, 0.3])
shifts = [js_divergence(left, left.roll(k)).item() for k in range(3, 9)]
report("spread of JS over six shifts without overlap", max(shifts) - min(shifts), claimed=0, tolerance=1e-15)
report("its value", shifts[0], claimed=0.693147, tolerance=1e-6, unit="nats")

# %% [markdown]
# ## 4 The generator's gradient
#
# Programs work with the **logit** $s$, any real number, and the probability $\sigma(s) = 1 / (1 + e^{-s})$. From here on the *network* $D$ returns the logit, and the probability of section 2 is $\sigma(D(x))$. The discriminator minimizes $-V$, the sum of two cross-entropies: $-\log \sigma(s)$ on data and $-\log(1 - \sigma(s))$ on fakes.

# %% [markdown]
# **Exercise 3 · `d_loss`** · ●●○ · 8 minutes
#
# Write $-V$ from logits: the mean of $-\log \sigma$ over data plus the mean of $-\log (1 - \sigma)$ over fakes. It must be finite for logits of any size, since a discriminator that is sure is the normal case.
#
# - `real_logits` `(B,)` of data, `fake_logits` `(B',)` of fakes.
# - Returns a scalar tensor in nats with a gradient.
#
# Example: `d_loss(torch.tensor([-900.0]), torch.tensor([900.0]))` is 1800: both sides are sure, and both are wrong.
#
# <details><summary>Hint 1</summary>-log σ(s) = log(1 + e^(-s)) = softplus(-s), and <code>nn.functional.softplus</code> is safe at 900.</details>
# <details><summary>Hint 2</summary>1 - σ(s) = σ(-s).</details>

# %%
@check
def d_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """mean -log σ(real) + mean -log(1 - σ(fake)), a scalar in nats."""
    ### BEGIN SOLUTION
    return nn.functional.softplus(-real_logits).mean() + nn.functional.softplus(fake_logits).mean()
    ### END SOLUTION

# %% [markdown]
# And the generator? By (13.1) it minimizes $\log(1 - \sigma(s))$ over its fakes. Early on the discriminator wins: $s$ is very negative. Look at the derivatives in $s$ there, using $\sigma' = \sigma (1 - \sigma)$:
#
# $$\frac{\partial}{\partial s} \log\big(1 - \sigma(s)\big) = -\sigma(s) \to 0, \qquad \frac{\partial}{\partial s}\big(-\log \sigma(s)\big) = \sigma(s) - 1 \to -1 \qquad (s \to -\infty) \tag{13.5}$$
#
# The first, **saturating** loss has no gradient exactly when the generator needs one. Goodfellow and colleagues noticed, and trained with the second, the **non-saturating** loss $-\log \sigma(s)$. Both push $s$ up, and at $p = g$ both rest: the best discriminator says ½ everywhere, so that moving a fake changes nothing.

# %% [markdown]
# **Exercise 4 · `g_loss_nonsat`** · ●○○ · 4 minutes
#
# Write the non-saturating loss of the generator.
#
# - `fake_logits`: `(B,)`, what the discriminator says of the fakes.
# - Returns a scalar tensor in nats, the mean of $-\log \sigma(s)$, with a gradient near $-1/B$ for each very negative logit.
#
# Example: `g_loss_nonsat(torch.tensor([0.0, -50.0]))` is 25.35, which is $(0.6931 + 50) / 2$.
#
# <details><summary>Hint</summary>The generator wants its fakes to be called data: it is the first half of d_loss, on fakes.</details>

# %%
@check
def g_loss_nonsat(fake_logits: Tensor) -> Tensor:
    """mean -log σ(fake), a scalar in nats."""
    ### BEGIN SOLUTION
    return nn.functional.softplus(-fake_logits).mean()
    ### END SOLUTION

# %%
for name, loss in (("saturating", saturating_g_loss), ("non-saturating", g_loss_nonsat)):
    s = torch.tensor([-50.0], dtype=torch.float64, requires_grad=True)
    [slope] = torch.autograd.grad(loss(s), s)
    print(f"{name:15s} gradient at s = -50: {slope.item():.3g}")
report("gradient of the non-saturating loss at a logit of -50", slope.item(), claimed=-1, tolerance=1e-9)

# %% [markdown]
# **What does the non-saturating loss descend?** Not JS. Let the discriminator be at its best for the *current* generator $g_0$ and fixed. Since $1 - D^* = g_0 / (p + g_0)$,
#
# $$-\log D^* = \log \frac{p + g_0}{p} = \log \frac{g_0}{p} - \log (1 - D^*).$$
#
# Average over $g$ and differentiate in its parameters at $g = g_0$. The first term gives $\nabla \mathrm{KL}(g \,\|\, p)$, because $\int g\, \nabla \log g = \nabla \int g = 0$. The second is the generator's part of the game, so by (13.3) it gives $-\nabla\, 2\, \mathrm{JS}$ (at the best $D$ the value has no slope in $D$). Together (Arjovsky and Bottou, 2017, theorem 2.5):
#
# $$\nabla\, \mathbb E_{x \sim g}\big[-\log D^*(x)\big] = \nabla \Big[\mathrm{KL}(g \,\|\, p) - 2\, \mathrm{JS}(p, g)\Big] \tag{13.6}$$
#
# (Here $D^*$ is that of $g_0$ and stays fixed, and $p > 0$ wherever $g > 0$.) Two things to read off. JS comes with the *wrong sign*: by itself it would push the distributions apart. (The sum does not: near $p = g$ the KL is about twice as large as $2\,\mathrm{JS}$.) And the KL is the one with $g$ in front: it punishes a generator for drawing where no data are, and hardly for leaving data out. Check it with a generator that is a softmax over six outcomes, where both sides are sums:

# %%
theta = torch.randn(6, dtype=torch.float64, generator=seed(5), requires_grad=True)
g = theta.softmax(0)
fixed = optimal_discriminator(p, g.detach())
[one] = torch.autograd.grad(-(g * fixed.log()).sum(), theta, retain_graph=True)
[two] = torch.autograd.grad(kl_divergence(g, p) - 2 * js_divergence(p, g), theta)
report("error of (13.6)", (one - two).abs().max().item(), claimed=0, tolerance=1e-12)

# %%
p2 = torch.tensor([0.5, 0.5, 1e-6], dtype=torch.float64)  # two modes, and a place where nothing is
p2 = p2 / p2.sum()
lost = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)  # draws one mode only
stray = torch.tensor([0.45, 0.45, 0.1], dtype=torch.float64)  # draws both, and a tenth of nonsense
for name, q in (("one mode lost", lost), ("a tenth of nonsense", stray)):
    kl, back, js2 = kl_divergence(q, p2).item(), kl_divergence(p2, q).item(), 2 * js_divergence(p2, q).item()
    print(f"{name:20s} KL(g || p) = {kl:.3f}   KL(g || p) - 2 JS = {kl - js2:.3f}   KL(p || g) = {back:.3f}")
report("KL(g || p) of a generator that lost half of the data", kl_divergence(lost, p2), claimed=0.693, tolerance=0.001,
       unit="nats")  # fmt: skip

# %% [markdown]
# A maximum-likelihood model, which descends $\mathrm{KL}(p \,\|\, g)$, may never lose a mode (its price is infinite). In $\mathrm{KL}(g \,\|\, p)$ losing half of the data costs $\ln 2$, and no more. A tenth of nonsense costs more than that, if it lies where data are very rare (here one in a million; the price grows without bound). $\mathrm{KL} - 2\,\mathrm{JS}$ has the same order. Keep that in mind for section 7.
#
# ## 5 Other games
#
# The cross-entropy is one choice of many. Take a convex $f$ and the divergence $D_f(p \,\|\, g) = \sum g\, f(p/g)$. Its convex conjugate is $f^*(t) = \sup_u (ut - f(u))$, so $f(u) \ge ut - f^*(t)$ for every $t$. (The star of $f^*$ means conjugate, that of $D^*$ and $T^*$ best.) Choose any function $T$ whose values keep $f^*$ finite, put $t = T(x)$ and $u = p/g$, multiply by $g > 0$ and sum:
#
# $$D_f(p \,\|\, g) \;\ge\; \mathbb E_p\, T(x) - \mathbb E_g\, f^*\big(T(x)\big), \qquad \text{with equality at } T^* = f'\!\left(\frac pg\right) \tag{13.7}$$
#
# So every $f$ makes a game: a critic $T$ pushes the right side up, the generator pulls it down (Nowozin, Cseke, Tomioka, 2016). For KL, $f(u) = u \log u$, $f^*(t) = e^{t-1}$ and $T^* = 1 + \log \frac pg$. The library has five in `F_DIVERGENCES`; check all of them on the tables from above:

# %%
q = torch.randn(6, dtype=torch.float64, generator=seed(2)).softmax(0)  # the table g of section 2
wrong = []
print(f"{'divergence':18s} {'D_f(p || g)':>12s} {'bound at T*':>12s} {'best of 1,001 others':>21s}")
for name, f in F_DIVERGENCES.items():
    T = f.critic((p / q).log())
    near = f.activation(torch.full_like(T, 0.3))  # a critic that says the same of everything
    noisy = f.critic((p / q).log() + 0.3 * torch.randn(1000, 6, dtype=torch.float64, generator=seed(6)))
    exact, at_best = f.divergence(p, q).item(), f.bound(T, p, q).item()
    highest = max(f.bound(near, p, q).item(), f.bound(noisy, p.expand(1000, 6), q.expand(1000, 6)).max().item())
    wrong += [abs(exact - at_best) > 1e-12, highest > exact + 1e-12]
    print(f"{name:18s} {exact:12.4f} {at_best:12.4f} {highest:21.4f}")
report("divergences or bounds that violate (13.7), of 10", sum(wrong), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# The row "GAN" is the game of section 2. It has $f(u) = u \log u - (u + 1) \log (u + 1)$, so that $D_f = 2\,\mathrm{JS} - \log 4$ (negative, since this $f(1)$ is $-\log 4$ and not 0), $T^* = f'(p/g) = \log D^*$ and $f^*(t) = -\log(1 - e^t)$: (13.7) is then (13.1). Another much used loss replaces the cross-entropies by squares: the critic should say $b = 1$ of data and $a = -1$ of fakes, and the generator wants $c = 0$ (Mao and colleagues, 2017). The best critic minimizes $p (D - 1)^2 + g (D + 1)^2$ at each point, so $D^* = (p - g) / (p + g)$, and
#
# $$\mathbb E_p (D^* - 0)^2 + \mathbb E_g (D^* - 0)^2 = \sum \frac{(p - g)^2}{p + g} \tag{13.8}$$
#
# which its authors call the Pearson $\chi^2$ divergence of $p + g$ and $2g$. This is the *value* at the best critic. A step of the generator is something else: with $D^*$ fixed only the second term moves, and since $D^*$ was best for other targets than $c$, the gradient is not that of (13.8). Squares never saturate: a fake far on the *right* side of the critic is pulled back as well.

# %%
best_square = (p - q) / (p + q)
cost = (p * best_square**2 + q * best_square**2).sum()
report("error of (13.8)", (cost - ((p - q) ** 2 / (p + q)).sum()).abs().item(), claimed=0, tolerance=1e-12)
tries = best_square + 0.2 * torch.randn(1000, 6, dtype=torch.float64, generator=seed(7))
loss = (p * (tries - 1) ** 2 + q * (tries + 1) ** 2).sum(1)
least = (p * (best_square - 1) ** 2 + q * (best_square + 1) ** 2).sum()
report("critics of 1,000 with a smaller loss", int((loss < least).sum()), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# ## 6 Play
#
# Now the training. The discriminator takes a step on $-V$, then the generator takes one on its own loss, in turn. There is one trap: the discriminator's loss contains $D(G(z))$, so its gradient would flow into $G$ as well. At best that is wasted work; mixed into the generator's own gradient it works against it (section 9). (The other way round the generator's loss leaves gradients in $D$. The loop clears those before the discriminator's next step.)

# %% [markdown]
# **Exercise 5 · `d_backward`** · ●●○ · 6 minutes
#
# Compute the discriminator's loss on a batch, and call `backward` such that the weights of $D$ get their gradients and those of $G$ get none.
#
# - `G`, `D`: networks, `D(x)` is `(B,)` logits. `real`: `(B, ...)` data. `z`: `(B, Z)` noise.
# - Returns the loss as a scalar tensor, with or without its history. Do not clear gradients: the loop does. Everything else about both networks stays as it was: weights, what requires a gradient, training or evaluation mode.
#
# Example: `G, D = nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))`; after `d_backward(G, D, torch.randn(5, 2), torch.randn(5, 3))`, `D[0].weight.grad` is a tensor and `G.weight.grad` is None.
#
# <details><summary>Hint 1</summary><code>x.detach()</code> is x without its history. Which tensor must lose its history?</details>
# <details><summary>Hint 2</summary>Detach before D sees the fakes, not after: D has to learn from them.</details>

# %%
@check
def d_backward(G: nn.Module, D: nn.Module, real: Tensor, z: Tensor) -> Tensor:
    """Backward of the discriminator's loss; gradients for D only."""
    ### BEGIN SOLUTION
    loss = d_loss(D(real), D(G(z).detach()))
    loss.backward()
    return loss.detach()
    ### END SOLUTION

# %% [markdown]
# The whole training, in ten lines, with *your* functions:

# %%
G, D = players(0)
opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.99)) for net in (G, D))
frames = [frame(G, D, 0)]
steps = budget(smoke=2, quick=600, full=600)
for step in range(1, steps + 1):
    opt_d.zero_grad()
    d_backward(G, D, line[torch.randint(4000, (256,))], torch.randn(256, 4))
    opt_d.step()
    opt_g.zero_grad()
    g_loss_nonsat(D(G(torch.randn(256, 4)))).backward()
    opt_g.step()
    if step % 25 == 0 or step == steps:
        frames.append(frame(G, D, step))

# %%
shown = [frames[min(k, len(frames) - 1)] for k in (1, 3, 8)] + [frames[-1]]
lesson13.game(
    {f"step {f.step:,}": f for f in {f.step: f for f in shown}.values()},
    title="The generator moves to where the discriminator says data",
    alt="Four moments of the game: the generated histogram spreads from one place over both humps of the data; "
    "the dotted curve is low where there are too many draws and high where there are too few, and the "
    "discriminator's curve follows it roughly.",
)
report("probability that data and generator share at the end", frames[-1].overlap, claimed=0.65, tolerance=0.2)

# %% [markdown]
# Read the pictures in order. Where the *dotted* curve, the best discriminator, is above ½ there are too few draws, where it is below there are too many. The dashed one follows it late and roughly, since one step of the discriminator for each of the generator's is not enough to be at its best, and where nobody is it says anything. So the generator goes too far: at the end its humps are narrower than the data's. With constant learning rates the game does not come to rest (section 8). Step through all frames yourself:

# %% tags=["exact"]
lesson13.game_steps(frames, start=min(4, len(frames) - 2))

# %% [markdown]
# **With a nearly best discriminator.** The theory of section 3 assumed $D = D^*$. So give the discriminator five steps for each of the generator's, and a three times larger learning rate. `fit_game` with a `GANGame` is the same loop with checks around it; the fakes of the last discriminator step are the generator's too. (`decay` lowers both learning rates to 0 over the run, which our loop did not do. Section 7 compares with decay on both sides.) Before you run it: will the result be better?

# %%
data = TensorDataset(line, which)
G, D = players(0)
gan, strong = GAN(G, D, (1,), 4), []
options = {"steps": steps, "batch_size": 256, "decay": True}
fit_game(GANGame(gan, critic_steps=5), data, critic_lr=3e-3, watch_every=50, label="best critic", **options,
         watch=lambda step, gan: strong.append(frame(gan.generator, gan.critic, step)))  # fmt: skip
end = strong[-1]
off = np.nanmean(np.abs(end.d - end.best))
report("mean distance of D from D*", off, claimed=0.03, tolerance=0.05)
report("probability that data and generator share, best critic", end.overlap, claimed=0.6, tolerance=0.35)
density, width = torch.from_numpy(end.g), middles[1] - middles[0]
tables = [t * width / (t * width).sum() for t in (p_line, density)]
measured = 2 * js_divergence(*tables).item() - math.log(4)
with torch.no_grad():
    x = gan.sample(4000, rng=seed(2))
    played = -d_loss(gan.critic(line), gan.critic(x)).item()
print(f"value of the game: by D ≈ {played:.3f}, by (13.3) from the two densities ≈ {measured:.3f} nats")
report("2 JS - log 4 minus the value that D reaches", measured - played, claimed=0.01, tolerance=0.05, unit="nats")

# %%
lesson13.game(
    {f"step {f.step:,}": f for f in (strong[0], end)},
    title="With a discriminator at its best, it may stay on one hump",
    alt="Two moments of the game with five discriminator steps for each of the generator's: the discriminator's curve "
    "lies on the best one. At the end the generated histogram covers one of the two humps, or both.",
)

# %% [markdown]
# Now the theory holds: the discriminator is the best one to a few hundredths, and the game's value is $2\,\mathrm{JS} - \log 4$. And yet the result may be *worse*. In most runs the generator stays on one hump and matches the data there. Between the humps the discriminator's curve then has a valley: a draw on the near side of it is pushed back to where it came from. Beyond it the curve rises to 1, but hardly any draws are there to follow it, and a gradient only moves draws that exist. Is that bad luck of one seed?
#
# ## 7 Lost modes, counted
#
# `python studies/mode_collapse.py` trained ten seeds in each of six settings ("minimax" is the saturating loss of (13.5); learning rates are 0.001 where nothing is said). A mode counts as reached if it is the nearest one for at least a quarter of its fair share of samples. The second figure is the share of samples within three standard deviations of some mode. The data: the line of above; eight narrow Gaussians on a circle (`ring`); twenty-five on a grid (`grid`).

# %%
study = recorded_study("mode_collapse")
rows = {}
for r in study["runs"]:
    rows.setdefault(r["setting"], []).append(r)
for setting, runs in rows.items():
    modes, share = [r["modes"] for r in runs], np.mean([r["share"] for r in runs])
    print(f"{setting:22s} of {runs[0]['of']:2d} modes: {' '.join(f'{m:2d}' for m in modes)}   share: {share:.2f}")

# %%
spread = 25 * math.pi * (3 * 0.05) ** 2 / 10**2  # 25 circles of three standard deviations, of a square of 10 x 10
report("share near a mode of an even spread", spread, claimed=0.018, tolerance=0.001)
hit = np.mean([r["share"] for r in rows["grid, non-saturating"]])
report("grid, non-saturating: share of samples near a mode", hit, claimed=0.02, tolerance=0.005)


def losing(setting: str, most: float) -> int:
    """How many of the ten seeds reach at most this share of the modes."""
    return sum(r["modes"] <= most * r["of"] for r in rows[setting])


for setting, most, count in (
    ("ring, minimax", 0.9, 0),
    ("grid, non-saturating", 0.9, 0),
    ("grid, fast generator", 0.5, 10),
    ("line, one critic step", 0.9, 0),
    ("line, best critic", 0.9, 7),
):
    report(
        f"{setting}: seeds of ten that reach at most {most:.0%} of the modes",
        losing(setting, most),
        claimed=count,
        tolerance=0,
        exact=True,
    )

# %% [markdown]
# (On the line the humps fill the range, so the share is always near 1.) Four findings; two of them are not what one usually reads:
#
# - The famous ring is *not* lost by the minimax loss in this setting: eight of eight modes in ten of ten seeds. (The samples are poor for another reason: after 1,000 steps a fifth lies within three standard deviations of a mode.)
# - On the grid both losses spread over nearly all modes, but only some 2 % of the samples lie within three standard deviations of one, about what an even spread over a square of 10 x 10 would give: a *smear*, not a collapse. Reaching modes and hitting them are two figures; count both.
# - A generator that learns eight times faster than its discriminator collapses in ten of ten seeds, to 3 to 8 of the 25 modes. It finds a place that the discriminator has not closed yet, and all of it goes there.
# - On the line, the *better* discriminator loses a mode in seven of ten seeds, and the weaker one in none.
#
# Live, the fast generator once, with another seed:

# %%
points = load("grid", "train")
seed(11)
fast = MLPGAN((2,), latents=2, hidden=(64, 64))
fit_game(
    GANGame(fast),
    points,
    lr=4e-3,
    critic_lr=5e-4,
    steps=budget(smoke=2, quick=1000, full=1000),
    batch_size=128,
    seed=11,
    label="fast generator",
)
x = fast.sample(2500, rng=seed(0))
reached = int((mode_counts(x, points.centers, math.inf).counts >= 25).sum())
report("modes of 25 that the fast generator reaches", reached, claimed=6, tolerance=5)

# %%
examples = {
    setting: torch.tensor(rows[setting][0]["samples"])
    for setting in ("ring, minimax", "grid, non-saturating", "grid, fast generator")
}
show.points(
    {"ring, minimax": examples.pop("ring, minimax")},
    modes=load("ring", "train").centers,
    limits=(-1.6, 1.6),
    title="All eight modes, not yet narrow",
    alt="300 samples of the recorded seed 0 lie around a circle, on all eight modes and between neighbors.",
)
show.points(
    {**examples, "live, fast generator": x[:300]},
    modes=points.centers,
    limits=(-5.5, 5.5),
    title="A smear is everywhere; a fast generator is in one place, partly off the grid",
    alt="Samples over the 25 modes of the grid, each marked by a circle wider than the mode: without a fast generator "
    "a smear over all of them; with a fast one, recorded and live, all samples lie in one patch.",
)

# %% [markdown]
# ## 8 Why steps rotate
#
# The theory says nothing about *gradient steps*. Take the smallest game there is: one number each, $V(a, b) = a\, b$, where $a$ descends and $b$ ascends. Its only equilibrium is $(0, 0)$. Simultaneous steps with learning rate $\eta$ are $a' = a - \eta\, b$ and $b' = b + \eta\, a$, so
#
# $$a'^2 + b'^2 = (1 + \eta^2)(a^2 + b^2) \tag{13.9}$$
#
# The cross terms cancel. Each step turns the pair by the angle $\arctan \eta$ and moves it *away* from the equilibrium, for every learning rate. If the players take turns, $b' = b + \eta\, a'$, the map has determinant 1 and keeps $a^2 + b^2 - \eta\, a b$. For $\eta < 2$ the places where that is constant are ellipses: the pair goes round, and neither arrives nor runs away.

# %%
eta, turns = 0.1, 200
paths = {"simultaneous": [(1.0, 0.0)], "in turn": [(1.0, 0.0)]}
for _ in range(turns):
    a, b = paths["simultaneous"][-1]
    paths["simultaneous"].append((a - eta * b, b + eta * a))
    a, b = paths["in turn"][-1]
    a = a - eta * b
    paths["in turn"].append((a, b + eta * a))
radius = {name: [math.hypot(*w) for w in path] for name, path in paths.items()}
growth = radius["simultaneous"][-1] ** 2 / (1 + eta**2) ** turns
report("squared radius over (1 + eta²)^200", growth, claimed=1, tolerance=1e-9)
a, b = paths["in turn"][-1]
report("change of the kept quantity in turn", a * a + b * b - eta * a * b - 1, claimed=0, tolerance=1e-9)

# %%
show.curves(
    {name: (range(turns + 1), values) for name, values in radius.items()},
    ylabel="distance from the equilibrium",
    ylim=(0, 3),
    title="Simultaneous steps run away; steps in turn keep their distance",
    alt="Distance from the equilibrium over 200 steps: simultaneous steps rise from 1 to 2.7, steps in turn "
    "stay near 1.",
)

# %% [markdown]
# A real GAN is not bilinear, but near an equilibrium the discriminator's and the generator's gradients enter with opposite signs in just this way. What damps the rotation is the subject of lesson 14.
#
# ## 9 Break it
#
# **The missing `detach`.** Without it the discriminator's loss leaves a gradient in $G$. Most loops clear it by `opt_g.zero_grad()` before the generator's own step, so all that is lost is time. Clear it too early, or add the two losses and call `backward` once, and the generator's gradient is opposed by the other one. With the saturating loss they cancel *exactly*: the generator never moves.

# %%
G, D = players(1)
z = torch.randn(256, 4, generator=seed(4))
loss = d_loss(D(line[:256]), D(G(z))) + saturating_g_loss(D(G(z)))  # no detach, one backward for both
loss.backward()
left_over = max(w.grad.abs().max().item() for w in G.parameters())
report("largest gradient that is left for the generator", left_over, claimed=0, tolerance=1e-8)

# %% [markdown]
# *How to detect it:* after the discriminator's step, every `weight.grad` of the generator must be `None` or zero. That is one line, and it is what `check` looked at.
#
# **Labels swapped.** Data count as fake and fakes as data. The discriminator's loss falls as it should, to 0 even. And the generator?

# %%
G, D = players(0)
opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.99)) for net in (G, D))
for _ in range(budget(smoke=2, quick=300, full=300)):
    opt_d.zero_grad()
    swapped = d_loss(D(G(torch.randn(256, 4)).detach()), D(line[torch.randint(4000, (256,))]))
    swapped.backward()
    opt_d.step()
    opt_g.zero_grad()
    g_loss_nonsat(D(G(torch.randn(256, 4)))).backward()
    opt_g.step()
broken = frame(G, D, 300)
report("probability that data and generator share, labels swapped", broken.overlap, claimed=0, tolerance=0.05)
report("discriminator's loss, labels swapped", swapped.item(), claimed=0, tolerance=0.2, unit="nats")
paid = g_loss_nonsat(D(G(torch.randn(256, 4)))).item()
report("generator's loss, labels swapped", paid, claimed=0, tolerance=0.2, unit="nats")

# %% [markdown]
# Both losses look splendid: the discriminator is right, and the generator gets what it wants, since it is paid for *avoiding* the data. A falling loss of a GAN proves nothing. What would have told you is a sample, or $D$ of a few real examples.
#
# **The saturating loss at the start.** Train the discriminator alone for a while, then compare the gradients that the two losses give to the same generator:

# %%
G, D = players(0)
opt_d = torch.optim.Adam(D.parameters(), lr=3e-3)
for _ in range(budget(smoke=2, quick=200, full=200)):
    opt_d.zero_grad()
    d_backward(G, D, line[torch.randint(4000, (256,))], torch.randn(256, 4))
    opt_d.step()
norms = {}
for name, loss in (("saturating", saturating_g_loss), ("non-saturating", g_loss_nonsat)):
    gradient = torch.autograd.grad(loss(D(G(z))), list(G.parameters()))
    norms[name] = math.sqrt(sum(t.square().sum().item() for t in gradient))
    print(f"{name:15s} gradient of the generator: norm ≈ {norms[name]:.2g}")
report("saturating over non-saturating gradient", norms["saturating"] / norms["non-saturating"], claimed=0.01,
       tolerance=0.03)  # fmt: skip

# %% [markdown]
# ## 10 What the article says
#
# The course grew out of a Chinese article, 生成式AIGC：AI技术的前沿探索 (*Generative AIGC: exploring the frontier of AI*), and checks its claims, lesson by lesson.
#
# | the article | verdict | what this lesson says |
# |---|---|---|
# | a GAN is a generator and a discriminator, trained against each other | right | (13.1), and the loop of section 6 |
# | adversarial training makes the generator approach the distribution of the data | imprecise | true for a discriminator that is always at its best and a generator that is free (13.3). With gradient steps even a nearly best discriminator is no guarantee: one of two humps is lost in seven of ten seeds (section 7). And the simplest game does not converge at all (13.9) |
# | the diagram of the GAN: the discriminator leads to real data | wrong | the discriminator puts out a number; data are its *input*. Noise $z$ is missing, and so is the gradient's way back to the generator |
# | quality depends on the data, hence mode collapse | wrong | the data of section 7 are clean, with all modes in equal number. Modes are lost by the game: ten of ten seeds with a fast generator |
#
# ## 11 Check yourself

# %% [markdown]
# 1. The discriminator's loss has settled at 1.386. Has the generator learned the data?
#
# <details><summary>Answer</summary>It is log 4, the value at p = g, if the discriminator is the best one. But a discriminator that has learned nothing has the same loss. Train a fresh one, long, against the frozen generator: if it stays at log 4, there is evidence.</details>
#
# 2. Why does (13.4) say that a perfect discriminator is useless for the generator, while (13.3) needs one?
#
# <details><summary>Answer</summary>(13.3) is about the value of the divergence, (13.4) about its slope where the supports are apart: JS is then log 2 whatever the generator does nearby. Lesson 14 takes a distance that still has a slope there.</details>
#
# 3. Your samples are sharp, but only two of ten classes occur. Which figure in this lesson would have shown it, and which would not?
#
# <details><summary>Answer</summary>A count of modes (or classes) reached shows it. The share of samples near a mode does not: it may be 1. Neither do the losses: in section 9 both are splendid, and no sample is right.</details>
#
# 4. Derive the best critic for the loss a = 0, b = 1 of least squares, and compare.
#
# <details><summary>Answer</summary>Minimize p (D - 1)² + g D² at each point: D* = p / (p + g), the same as (13.2). The losses differ away from the optimum, where squares do not saturate.</details>
#
# 5. Two players take turns on V = a b with η = 3. What happens?
#
# <details><summary>Answer</summary>The determinant is still 1, but the kept quantity a² + b² - η a b is no longer positive for all (a, b) other than (0, 0) once η ≥ 2. For η = 3 the places where it is constant are hyperbolas and not ellipses, and from nearly every start the pair runs away.</details>

# %% [markdown]
# ## Take-aways
#
# - The best discriminator is $p / (p + g)$, and the game then is $2\,\mathrm{JS} - \log 4$: a divergence without any likelihood.
# - JS is flat where supports are apart; the saturating loss has no gradient where the discriminator wins; the non-saturating one descends $\mathrm{KL}(g \,\|\, p) - 2\,\mathrm{JS}$, for which a lost mode is cheap.
# - Count modes reached *and* samples near modes, over seeds. It takes both figures to tell a smear from a collapse.
# - Gradient steps on a game rotate. Convergence is not a matter of patience.
#
# ## Where next
#
# - Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, *Generative Adversarial Nets*, NIPS 2014, arXiv 1406.2661: sections 3 and 4 are four pages.
# - Arjovsky, Bottou, *Towards Principled Methods for Training Generative Adversarial Networks*, ICLR 2017, arXiv 1701.04862: (13.4) and (13.6), with noise as a first remedy.
# - Nowozin, Cseke, Tomioka, *f-GAN*, NIPS 2016, arXiv 1606.00709; Mao, Li, Xie, Lau, Wang, Smolley, *Least Squares Generative Adversarial Networks*, ICCV 2017, arXiv 1611.04076.
# - Metz, Poole, Pfau, Sohl-Dickstein, *Unrolled Generative Adversarial Networks*, ICLR 2017, arXiv 1611.02163; Lin, Khetan, Fanti, Oh, *PacGAN: The power of two samples in generative adversarial networks*, NeurIPS 2018, arXiv 1712.04086: the ring and the grid.
# - Arora, Zhang, *Do GANs actually learn the distribution? An empirical study*, 2017, arXiv 1706.08224: how few different faces a GAN draws.
# - In the library, read [`losses.py`](../garm_course/adversarial/losses.py), [`divergences.py`](../garm_course/adversarial/divergences.py) and `GANGame.step` in [`gan.py`](../garm_course/adversarial/gan.py).

# %%
claims()
