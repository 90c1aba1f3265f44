# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · PixelCNN++ and compression
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/05_pixelcnnpp.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F05_pixelcnnpp.ipynb)
#
# **A pixel has 256 levels: must a network learn 256 unrelated answers for it? And what is an exact likelihood good for?**
#
# | | |
# |---|---|
# | Time | 75 minutes; the cells run in under a minute |
# | Before this | the chain rule and masks, [lesson 04](04_pixelcnn.ipynb); nats and bits, [lesson 01](01_likelihood.ipynb) |
# | Afterwards you can | *derive* the likelihood of a discretized mixture and its exact logarithm, *implement* it, *diagnose* a likelihood that is too good, *compare* it with a softmax, *compress* images without loss |
# | Papers | Salimans, Karpathy, Chen, Kingma, *PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications*, ICLR 2017, arXiv [1701.05517](https://arxiv.org/abs/1701.05517) · Witten, Neal, Cleary, *Arithmetic coding for data compression*, Communications of the ACM 30(6), 1987 |

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
import io
import math
import zlib

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from garm_course import (
    budget, check, claims, fit, guess, load, load_pretrained, recorded_on, recorded_study, report, seed, show,
)  # fmt: skip
from garm_course.autoregressive import PixelCNNPP
from garm_course.autoregressive.sampling import Encoder, compress, decompress
from garm_course.distributions import DiscretizedLogisticMixture, conditional_params
from garm_course.evaluation import causality, evaluate, paired, receptive_field

# %% [markdown]
# ## 1 The question, in pictures
#
# The data are 8 x 8 patches of two color photographs, with 256 levels for each of red, green and blue. Training, validation and test patches come from different tiles of the photographs.

# %%
train, validation = load("patches", "train"), load("patches", "validation")
show.grid(
    train.x,
    levels=256,
    title="Neighbors in a photograph are nearly equal",
    alt="The first 16 training patches, 8 by 8 pixels in color: sky, roofs, petals; most vary slowly.",
)

# %% [markdown]
# How would you predict a red value from the one to its left? **Try what a softmax does, by counting:** one row of 256 probabilities for each left neighbor, a table of 65,536 numbers, each count one higher than observed so that nothing is impossible. The alternative: the value lies around its left neighbor, in one of three bells, a narrow, a medium and a wide one. That is six numbers, three weights and three scales, the same for all neighbors. (The bells are logistic; the next section says how they give probabilities of whole numbers.)


# %%
def pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, 0, :, :-1].flatten(), x[:, 0, :, 1:].flatten()  # (left neighbor, value) of red


def table_bits(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    counts = torch.bincount(256 * train[0] + train[1], minlength=256 * 256).reshape(256, 256).double() + 1
    return -(counts / counts.sum(1, keepdim=True)).log2()[test].mean().item()


def bells_bits(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    head = DiscretizedLogisticMixture(256, 3)
    weights, log_scale = torch.zeros(3, requires_grad=True), torch.linspace(-5, -2, 3).requires_grad_()

    def nats(left: Tensor, value: Tensor) -> Tensor:
        mean = (2 * left / 255 - 1)[:, None].expand(-1, 3)
        return -head.log_prob(torch.cat([weights.expand_as(mean), mean, log_scale.expand_as(mean)], 1), value).mean()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nats(*train)
        loss.backward()
        return loss

    optimizer = torch.optim.LBFGS([weights, log_scale], max_iter=20)
    optimizer.step(closure)
    with torch.no_grad():
        return nats(*test).item() / math.log(2)


few, many, held = pairs(train.x[:30]), pairs(train.x), pairs(validation.x)
report("a table, from 30 patches", table_bits(few, held), claimed=6.44, tolerance=0.05, unit="bits")
report("three bells, from 30 patches", bells_bits(few, held), claimed=4.36, tolerance=0.05, unit="bits")
report("a table, from all 5,328 patches", table_bits(many, held), claimed=4.14, tolerance=0.05, unit="bits")
report("three bells, from all 5,328 patches", bells_bits(many, held), claimed=4.35, tolerance=0.05, unit="bits")

# %% [markdown]
# From 1,680 pairs the six numbers predict better by two bits than the table, which has to learn for each of 256 neighbors anew that 100 is almost 101; the bells know that levels are *numbers*. With 300,000 pairs the table wins, since it can take any shape, while the bells have learned nearly all they can from thirty patches. We want both: a shape as free as needed, on an axis where neighbors know each other. That is the output of PixelCNN++, a mixture of bells whose means, scales and weights a network puts out for every pixel.
#
# ## 2 From a bell to a level
#
# **Step 1: a hidden number.** Suppose a pixel has a hidden real value, and the camera stored the nearest level. Put level $k = 0, \dots, L-1$ at the point $x = 2k/(L-1) - 1$ of $[-1, 1]$. The points are $2/(L-1)$ apart, so the bin of a level reaches $h = 1/(L-1)$ to each side. For the hidden value take the *logistic* distribution with mean $\mu$ and scale $s$, because its cumulative distribution function is one that every network has, $\sigma\big((v - \mu)/s\big)$. The probability of a level is the mass of its bin:
#
# $$P(x) = \sigma\!\left(\frac{x + h - \mu}{s}\right) - \sigma\!\left(\frac{x - h - \mu}{s}\right), \qquad h = \frac{1}{L-1} \tag{5.1}$$
#
# What lies beyond the ends has to go somewhere: the first bin reaches down to $-\infty$ (its second term is 0), the last one up to $+\infty$ (its first term is 1).
#
# **Step 2: the masses sum to one.** The upper edge of a bin is the lower edge of the next, so in the sum all inner terms cancel and $1 - 0$ is left. A mixture of such distributions, with weights $\pi_j$ that sum to 1, then sums to 1 as well:
#
# $$\sum_x P(x) = 1, \qquad \sum_x \sum_j \pi_j P_j(x) = 1 \tag{5.2}$$
#
# This breaks when the bins do not tile the axis. The next cell tries the three classic faults on 256 levels: $h = 1/256$ (a gap between bins), $h = 2/255$ (the whole width to each side), and outer bins that are closed.

# %%
x = torch.linspace(-1, 1, 256, dtype=torch.float64)


def total(h: float, ends: bool, mean: float = -0.4, s: float = 0.5) -> float:
    upper, lower = torch.sigmoid((x + h - mean) / s), torch.sigmoid((x - h - mean) / s)
    if ends:
        upper[-1], lower[0] = 1, 0
    return (upper - lower).sum().item()


report("sum with h of 1/255 and open ends", total(1 / 255, True), claimed=1, tolerance=1e-12)
report("sum with h of 1/256", total(1 / 256, True), claimed=0.997, tolerance=0.001)
report("sum with h of 2/255", total(2 / 255, True), claimed=1.71, tolerance=0.01)
report("sum with closed ends", total(1 / 255, False), claimed=0.71, tolerance=0.01)

# %% [markdown]
# A sum above 1 is the dangerous one: probabilities that are too large make a likelihood that is too good, and training will love it. Section 8 comes back to this.
#
# **Step 3: the logarithm, without a loss.** Far from the mean both terms of (5.1) round to the same float32, the difference is 0, and its logarithm is $-\infty$. The original code switches to an approximation there. It is not needed. Write $a < b$ for the two edges in units of the scale. Over a common denominator,
#
# $$\sigma(b) - \sigma(a) = \frac{e^{-a} - e^{-b}}{(1 + e^{-a})(1 + e^{-b})} = \sigma(b)\,\sigma(-a)\,\big(1 - e^{a-b}\big), \qquad \log\sigma(b) = -\mathrm{softplus}(-b) \tag{5.3}$$
#
# A product of three factors, and the logarithm of each is accurate in float32, however far out the bin lies and however narrow it is. An open end loses its factors: the first bin is $\sigma(b)$ alone, the last one $\sigma(-a)$.

# %% [markdown]
# **Exercise 1 · `bin_log_masses`** · ●●○ · 12 minutes
#
# Write the logarithm of (5.1) in the form (5.3). Everything in this lesson stands on it.
#
# - `x`: LongTensor `(...)` of levels $0, \dots, L-1$. `levels`: $L$.
# - `mean`, `log_scale`: `(...)`, the mean $\mu$ on $[-1, 1]$ and $\log s$.
# - Returns `(...)` nats, finite in float32, even where the probability is $e^{-300}$, and right to four digits even where a bin is a millionth of the scale wide.
#
# Example: with three levels, mean 0 and scale 1 the edges are at $-\frac12$ and $\frac12$: `bin_log_masses(torch.arange(3), torch.zeros(3), torch.zeros(3), 3).exp()` is `[0.3775, 0.2449, 0.3775]`.
#
# <details><summary>Hint 1</summary>First the point, <code>2 * x / (levels - 1) - 1</code>, then both edges, divided by the scale <code>torch.exp(log_scale)</code>.</details>
# <details><summary>Hint 2</summary><code>F.logsigmoid(b)</code>, <code>F.logsigmoid(-a)</code> and <code>torch.log(-torch.expm1(a - b))</code> are the three logarithms. (<code>a - b</code> is minus the width of a bin over the scale.)</details>
# <details><summary>Hint 3</summary><code>torch.where(x == 0, ..., ...)</code> treats the ends.</details>


# %%
@check
def bin_log_masses(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """(...) levels, means and logarithms of scales -> (...) logarithms of the masses of bins, in nats."""
    ### BEGIN SOLUTION
    half, point = 1 / (levels - 1), 2 * x / (levels - 1) - 1
    a = (point - half - mean) * torch.exp(-log_scale)
    b = (point + half - mean) * torch.exp(-log_scale)
    inner = F.logsigmoid(b) + F.logsigmoid(-a) + torch.log(-torch.expm1(a - b))
    return torch.where(x == 0, F.logsigmoid(b), torch.where(x == levels - 1, F.logsigmoid(-a), inner))
    ### END SOLUTION


# %%
guess("levels that the difference calls impossible", ...)  # if you like: a number in place of the dots

# %%
levels = torch.arange(256)
log_s = torch.full((256,), -4.5)
exact = bin_log_masses(levels, torch.full((256,), 0.9), log_s, 256)
b = (2 * levels / 255 - 1 + 1 / 255 - 0.9) * torch.exp(-log_s)
a = (2 * levels / 255 - 1 - 1 / 255 - 0.9) * torch.exp(-log_s)
naive = (torch.sigmoid(b) - torch.sigmoid(a)).log()
lost = (~naive.isfinite()).sum().item()
print(f"the difference of sigmoids: {lost} of 256 levels have the log-mass -inf")
print(f"(5.3): all finite, from {exact.min():.0f} to {exact.max():.1f} nats, sum of masses {exact.exp().sum():.6f}")
report("levels that the difference calls impossible", lost, claimed=117, tolerance=3, unit="levels")

# %% [markdown]
# **Step 4: a bin is not a density.** With bins much narrower than the bell, a bin holds density times width. With $f$ the logistic density,
#
# $$\log P(x) \approx \log f(x) + \log\frac{2}{L-1}, \qquad f(x) = \frac1s\, \sigma\!\left(\tfrac{x-\mu}{s}\right) \sigma\!\left(-\tfrac{x-\mu}{s}\right) \tag{5.4}$$
#
# It is tempting to train with the right side. But a density has no upper bound: where a bell may be narrower than a bin, the approximation exceeds 1 and the optimum is a spike. Look how the error grows as the scale shrinks.

# %%
for scale in (0.1, 0.01, 0.001, 0.0001):
    s = torch.tensor(math.log(scale), dtype=torch.float64)
    mass = bin_log_masses(torch.tensor(128), torch.tensor(1 / 255, dtype=torch.float64), s, 256).exp().item()
    density = 0.25 / scale * 2 / 255
    print(f"scale {scale:<7}: mass of the bin {mass:.4f}, density times width {density:.4f}")
report("density times width at scale 0.0001", density, claimed=19.6, tolerance=0.1)

# %% [markdown]
# ## 3 Three colors
#
# **Step 5: colors follow each other.** If red is brighter than expected, so are green and blue: they share the light. So the means of green and blue move with the *true* values of the colors before them (teacher forcing inside a pixel), with coefficients $\alpha, \beta, \gamma$ that the network puts out for every component of every pixel (through a tanh, so that they stay between -1 and 1):
#
# $$\mu_R, \qquad \mu_G + \alpha\, x_R, \qquad \mu_B + \beta\, x_R + \gamma\, x_G \tag{5.5}$$

# %% [markdown]
# **Exercise 2 · `channel_means`** · ●○○ · 6 minutes
#
# Write (5.5). It is causal inside the pixel: no mean may depend on its own color or a later one.
#
# - `mean`: `(..., 3)`, the means that the network put out. `coef`: `(..., 3)`, in the order $\alpha, \beta, \gamma$.
# - `x`: `(..., 3)`, the true values of red, green, blue on $[-1, 1]$.
# - Returns `(..., 3)`.
#
# Example: `channel_means(torch.zeros(3), torch.tensor([0.5, 0.1, 0.2]), torch.tensor([1.0, -1.0, 0.0]))` is `[0, 0.5, -0.1]`.
#
# <details><summary>Hint</summary><code>torch.stack([...], -1)</code> puts three results <code>(...)</code> together. Do not change the arguments.</details>


# %%
@check
def channel_means(mean: Tensor, coef: Tensor, x: Tensor) -> Tensor:
    """(..., 3) means, coefficients and true values -> (..., 3) means that follow the colors before."""
    ### BEGIN SOLUTION
    green = mean[..., 1] + coef[..., 0] * x[..., 0]
    blue = mean[..., 2] + coef[..., 1] * x[..., 0] + coef[..., 2] * x[..., 1]
    return torch.stack([mean[..., 0], green, blue], -1)
    ### END SOLUTION


# %%
jacobian = torch.autograd.functional.jacobian(lambda x: channel_means(torch.zeros(3), torch.ones(3), x), torch.rand(3))
print("a mean (row) depends on a color (column):\n", (jacobian != 0).long())
above = jacobian.triu().abs().max().item()
report("largest dependence on the same or a later color", above, claimed=0, tolerance=0, exact=True)

# %% [markdown]
# **Step 6: one component for the whole pixel.** With several components, should each color choose its own? Then a pixel on the edge of a red roof and a blue sky could take its red from the roof and its blue from the sky. PixelCNN++ draws *one* component $j$ for all three:
#
# $$p(x_R, x_G, x_B) = \sum_j \pi_j\, P_j(x_R)\, P_j(x_G \mid x_R)\, P_j(x_B \mid x_R, x_G) = \prod_c \sum_j \pi_j^{(c)} P_j(x_c \mid x_{<c}), \qquad \pi_j^{(c)} \propto \pi_j \prod_{d < c} P_j(x_d \mid x_{<d}) \tag{5.6}$$
#
# The second form is Bayes' rule: the colors already seen tell which component is at work. It is worth the line, because it makes every color an ordinary conditional again, with a mixture of its own. So the sampler, the audits and the compressor of this course need to know nothing about pixels with three colors. Check it by enumeration, with 4 levels and so 64 colors:

# %%
head = DiscretizedLogisticMixture(4, 2)
raw = torch.randn(2 * (1 + 3 + 3 + 3), dtype=torch.float64, generator=seed(1))  # 2 components: π, μ, log s, α β γ
colors = torch.cartesian_prod(*[torch.arange(4)] * 3)  # (64, 3)
params = conditional_params(raw.expand(64, -1), colors, head)  # (64, 3, 6): a mixture for each color
log_p = head.log_prob(params, colors).sum(1)
log_pi, mean, log_scale, coef = raw.split([2, 6, 6, 6])
values = 2 * colors / 3 - 1
by_component = []
for j in range(2):
    mu = channel_means(mean[j::2].expand(64, 3), torch.tanh(coef[j::2]).expand(64, 3), values.double())
    by_component.append(log_pi.log_softmax(0)[j] + bin_log_masses(colors, mu, log_scale[j::2].expand(64, 3), 4).sum(1))
error = (torch.stack(by_component).logsumexp(0) - log_p).abs().max().item()
report("error of (5.6)", error, claimed=0, tolerance=1e-5, unit="nats")

# %% [markdown]
# **Step 7: drawing.** A number with the cumulative function $F$ is $F^{-1}(u)$ with $u$ uniform in $(0, 1)$, and the inverse of $\sigma$ is the logit. So draw the component, then the hidden value, then its bin:
#
# $$v = \mu + s\,\big(\log u - \log(1 - u)\big), \qquad k = \mathrm{round}\Big(\tfrac{(v + 1)(L-1)}{2}\Big), \text{ clamped to } 0, \dots, L-1 \tag{5.7}$$

# %% [markdown]
# **Exercise 3 · `logistic_levels`** · ●○○ · 5 minutes
#
# Write (5.7).
#
# - `mean`, `log_scale`: `(...)`. `u`: `(...)`, uniforms in $(0, 1)$. `levels`: $L$.
# - Returns a LongTensor `(...)` of levels.
#
# Example: with three levels, mean 0 and scale 1, `logistic_levels(torch.zeros(3), torch.zeros(3), torch.tensor([0.2, 0.5, 0.9]), 3)` is `[0, 1, 2]`.
#
# <details><summary>Hint</summary><code>torch.logit(u)</code> is the inverse of the sigmoid. The hidden value lies in <code>[-1, 1]</code>, mostly.</details>


# %%
@check
def logistic_levels(mean: Tensor, log_scale: Tensor, u: Tensor, levels: int) -> Tensor:
    """(...) means, logarithms of scales and uniforms -> LongTensor (...) of levels 0..levels-1."""
    ### BEGIN SOLUTION
    hidden = mean + torch.exp(log_scale) * torch.logit(u)
    return ((hidden + 1) * (levels - 1) / 2).round().clamp(0, levels - 1).long()
    ### END SOLUTION


# %%
params = torch.tensor([0.5, -0.3, 0.0, -0.6, 0.1, 0.7, -1.5, -2.0, -1.2], dtype=torch.float64)  # three components
mixture = DiscretizedLogisticMixture(17, 3)
n, rng = 20_000, seed(0)
j = torch.multinomial(params[:3].softmax(0), n, replacement=True, generator=rng)
u = torch.rand(n, dtype=torch.float64, generator=rng)
drawn = logistic_levels(params[3:6][j], params[6:][j], u, 17)
expected = mixture.log_probs(params).exp()
distance = 0.5 * (torch.bincount(drawn, minlength=17) / n - expected).abs().sum().item()
report("total variation between 20,000 draws and (5.2)", distance, claimed=0.0, tolerance=0.02)
show.distribution(
    expected,
    title="Nine numbers give a free shape on an ordered axis",
    alt="Probabilities of 17 levels under three logistic components: soft humps around levels 3 and 9, "
    "and at both ends what lies beyond them.",
)

# %% [markdown]
# ## 4 The network
#
# The trunk has the two streams of lesson 04, and gets its causality in another way: nothing is masked. The kernels are *small and shifted*. The upper stream reads 2 rows x 3 columns that end in its own row, and its input is moved down by one row. The left stream reads 2 x 2 pixels that end in its own pixel, and its input is moved right by one column. What is moved cannot see itself.
#
# To see far with few layers, both streams go down to half the resolution and up again, with short cuts that keep the detail. At half the resolution a cell stands at the *upper left* pixel of its 2 x 2 block, and knows what that pixel knows: so it may speak to all four.

# %%
color = PixelCNNPP((3, 7, 9), levels=4, channels=8, blocks=1, scales=2, mixtures=2)
print(causality(color))
deep = PixelCNNPP((1, 11, 11), levels=2, channels=8, blocks=1, scales=3, mixtures=2)
field = receptive_field(deep, (9, 5))[0]
past = torch.arange(121).reshape(11, 11) < 9 * 11 + 5
seen = (field > 0) & past
report("past pixels that a prediction sees, of 104", seen.sum().item(), claimed=104, tolerance=0, exact=True)
show.field(
    field > 0,
    (9, 5),
    title="Two streams and two halvings see the whole past",
    alt="Receptive field of pixel (9, 5) in an 11 by 11 image: all 104 pixels before it, nothing else.",
)

# %% [markdown]
# Train one for a few seconds on the digits of lesson 04, next to what is recorded. (17 levels, so 17 numbers for a softmax and 15 for five components.)

# %%
digits, held_out = load("digits", "train"), load("digits", "validation")
seed(0)
model = PixelCNNPP((1, 8, 8), 17, channels=16, blocks=1, scales=2, mixtures=5, dropout=0.2, encoding="thermometer")
history = fit(
    model,
    digits,
    validation=held_out,
    steps=budget(smoke=2, quick=300, full=900),
    batch_size=32,
    lr=1e-2,
    ema=0.98,
    evaluate_every=budget(smoke=2, quick=30, full=50),
    label="PixelCNN++",
)
records = {r["model"]: r for r in recorded_on("digits")}
show.curves(
    {"PixelCNN++, live": history.validation},
    baselines={
        "recorded Gated PixelCNN": records["gated_pixelcnn"]["validation"]["nats"],
        "recorded PixelCNN++": records["pixelcnnpp"]["validation"]["nats"],
    },
    title="A few seconds of training, and the recorded minute",
    alt="Validation NLL of the live model over 300 steps, down to 88 nats; "
    "the recorded Gated PixelCNN and PixelCNN++ are near 80 nats.",
)
claimed = budget(smoke=87.7, quick=87.7, full=80.7)  # longer training reaches more
report("validation NLL, live", evaluate(model, held_out).nats, claimed=claimed, tolerance=2, unit="nats")

# %%
show.likelihood_ladder(
    recorded_on("digits", 5),
    highlight=["pixelcnnpp"],
    title="Where PixelCNN++ stands on digits",
)

# %%
ours, digits = load_pretrained("pixelcnnpp-digits"), load("digits", "test")
for other, claim in (("gated_pixelcnn", -1.57), ("pixel_gru", -0.68)):
    difference = paired(ours, load_pretrained(f"{other}-digits"), digits)
    report(f"PixelCNN++ minus {other}, test, paired", difference.nats, claimed=claim, tolerance=0.03, unit="nats")

# %% [markdown]
# On the test images, compared image by image, PixelCNN++ is 1.6 ± 0.2 nats below the Gated PixelCNN (with 201,855 parameters against 124,817) and 0.7 ± 0.2 below the GRU over pixels (192,145). These are the shipped weights, one training of each model.
#
# ## 5 Softmax or mixture, with few data
#
# Section 1 suggests that the mixture helps most when data are scarce. Is it so? The study `python studies/heads.py` trains one trunk with either head on 100, 300 and all 1,257 digits, three seeds each, and keeps the weights that were best on validation. Before you look: which head wins where?

# %%
study = recorded_study("heads")


def nats(head: str, n: int) -> list[float]:
    return [r["nats"] for r in study["runs"] if (r["head"], r["examples"]) == (head, n)]


sizes = (100, 300, 1257)
show.runs(
    {f"nats, {n:,} digits": {head: nats(head, n) for head in ("softmax", "logistic mixture")} for n in sizes},
    title="With few digits the mixture helps, with all of them nothing is decided",
    alt="Validation NLL of three seeds each: the mixture is better by 1.2 nats with 100 digits and by half a nat with "
    "300; with all 1,257 the softmax is better by half a nat, less than seeds differ.",
)
gaps = {n: sum(nats("softmax", n)) / 3 - sum(nats("logistic mixture", n)) / 3 for n in sizes}
for n, gap in gaps.items():
    report(
        f"softmax minus mixture, {n} digits",
        gap,
        claimed={100: 1.2, 300: 0.52, 1257: -0.46}[n],
        tolerance=0.05,
        unit="nats",
    )

# %% [markdown]
# With 100 digits the mixture is ahead in each of the three seeds, by more than a nat on average; with 300 in two of three, by half a nat; with all of them the softmax is ahead, by less than the seeds differ. (Three seeds are few, so the intervals overlap even where all three agree. And with all digits both heads were still improving when the study's 400 steps ended: the recorded PixelCNN++ took 700.) So the mixture is no law of nature but a good guess about the data, worth most where there are few. (Seventeen levels are few as well. A softmax over 256 levels has to learn fifteen times as many numbers, which is what the paper had in mind.)
#
# ## 6 Patches in color
#
# On the photographs there is no softmax to compare with: three colors of 256 levels, tied by (5.5) and (5.6). The recorded model works at one resolution, which is enough for 8 x 8 pixels, and trained for one minute. Two choices made that minute count. It *starts* as the predictor left + above - above left, so that training begins where simple formats end. And neighbors in a photograph differ by a few levels in 255, a few hundredths on $[-1, 1]$, which a network with ordinary weights hardly sees: its first features are differences of neighbors, ten times enlarged, and what it says about the means is made as much smaller again. (The paper does neither; the library's `PhotoPixelCNNPP` does.) The unit is bits per dimension, one dimension being one color of one pixel; 8 would be no compression at all. (On CIFAR-10, other images of 32 x 32 pixels, the published numbers are 3.14 for PixelCNN, 3.03 for the Gated PixelCNN, 3.00 for PixelRNN and 2.92 for PixelCNN++; ours belong to our patches only.) For comparison, a static code: one histogram of differences to the left neighbor, as simple image formats use (the first column keeps its values).

# %%
painter = load_pretrained("photo_pixelcnnpp-patches")
found = evaluate(painter, validation)
report("bits/dim of PixelCNN++", found.bits_per_dim, claimed=2.92, tolerance=0.02, unit="bits/dim")


def differences(x: Tensor) -> Tensor:
    return (x - F.pad(x, (1, 0))[..., :-1]).flatten() + 255  # the first column keeps its value


counts = torch.bincount(differences(train.x), minlength=511).double() + 1
static = -(counts / counts.sum()).log2()[differences(validation.x)].mean().item()
report("bits/dim of a histogram of differences", static, claimed=5.3, tolerance=0.03, unit="bits/dim")

# %%
show.grid(
    painter.sample(16, rng=seed(0)),
    levels=256,
    title="Samples: a few smooth, most rough, no objects",
    alt="Sixteen sampled 8 by 8 patches: about five are smooth, the others speckled, in colors that go together.",
)

# %% [markdown]
# They have what one minute of training catches: colors that belong together, smooth areas in about a third of them, and in the others a roughness that photographs do not have. Eight by eight pixels hold no object, and the model has seen two photographs.
#
# ## 7 What an exact likelihood is good for: compression
#
# A model that says $p(x)$ can be turned into a file format. **Arithmetic coding:** start with the interval $[0, 1)$. For each value in turn, cut the interval into parts as wide as the model's probabilities of the levels, and keep the part of the level that occurred. After the whole image the interval is $p(x)$ wide. Send the shortest binary fraction *all of whose continuations* lie in it. The receiver runs the same model: the fraction says which part of the first cut it lies in, so the first value is known, so the second cut is known, and so on. It is sampling, with the random numbers replaced by the message.
#
# How long is the message? Fractions of $m$ bits are $2^{-m}$ apart, and each stands for $[c, c + 2^{-m})$. If $2^{-m} \le p/2$, one of them starts in the lower half of the interval and ends inside. The smallest such $m$ is $\lceil -\log_2 p \rceil + 1$, so
#
# $$\text{length} < -\log_2 p(x) + 2 \tag{5.8}$$
#
# No uniquely decodable code can be shorter than $-\log_2$ of the true probabilities on average (Shannon, 1948), so a good likelihood *is* a short file. Watch the interval close in on a sequence of three choices with probability ¾ and one with ¼:

# %%
encoder, unit, p = Encoder(), 1 << 30, 1.0  # probabilities are multiples of 2^-32, so 3/4 is 3 << 30
for start, end in [(0, 3 * unit), (0, 3 * unit), (3 * unit, 4 * unit), (0, 3 * unit)]:
    encoder.encode(start, end)
    p *= (end - start) / 2**32
    low, width = encoder.low / 2**encoder.bits, encoder.width / 2**encoder.bits
    print(f"kept [{start / 2**32:.2f}, {end / 2**32:.2f}): the interval is [{low:.4f}, {low + width:.4f}), p = {p:.4f}")
code, length = encoder.finish()
print(f"sent: {code:0{length}b}, that is {code / 2**length:.4f}; -log2 p = {-math.log2(p):.2f} bits")
report("length of the message", length, claimed=4, tolerance=0, unit="bits", exact=True)

# %% [markdown]
# Now 180 held-out digits with the recorded PixelCNN++, each with a message of its own. `compress` walks `start` and `step`, the path of the fast sampler, and so does `decompress`, at the same batch size: float32 rounds differently in batches of other sizes, and one probability that differs in its last bit would derail the decoder.

# %%
guess("images with more than 2 bits above", ...)  # if you like: a number in place of the dots

# %%
compressor = load_pretrained("pixelcnnpp-digits")
stream = compress(compressor, held_out.x)
print("decoded bit for bit:", torch.equal(decompress(compressor, stream.data), held_out.x))
with torch.no_grad():
    ideal = -compressor.log_prob(held_out.x) / math.log(2)
excess = torch.tensor(stream.bits) - ideal
print(f"bits above -log2 p: ≈ {excess.min():.2f} to ≈ {excess.max():.2f}, mean ≈ {excess.mean():.2f}")
report("images with more than 2 bits above", (excess > 2).sum().item(), claimed=0, tolerance=0, exact=True)
report("bits for a digit", sum(stream.bits) / 180, claimed=113.8, tolerance=0.5, unit="bits")

# %% [markdown]
# How do ordinary formats do on the same images? Their headers would drown 8 x 8 pixels, so they get *one* sheet of all images, ten in a row. (Five bits hold a level; `zlib`, PNG and lossless WebP see a byte.)


# %%
def file_bits(x: Tensor, how: str) -> float:
    """Bits per image of one file with all images (N, C, H, W) of bytes; in PNG and WebP, ten in a row."""
    if how == "zlib":
        return 8 * len(zlib.compress(x.byte().numpy().tobytes(), 9)) / len(x)
    sheet = x.unflatten(0, (-1, 10) if len(x) % 10 == 0 else (-1, 1)).permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)
    options = {"optimize": True} if how == "PNG" else {"lossless": True, "quality": 100, "method": 6}
    file = io.BytesIO()
    Image.fromarray(sheet.squeeze(2).byte().numpy()).save(file, how, **options)
    return 8 * len(file.getvalue()) / len(x)


photos = validation.x[: budget(smoke=8, quick=200, full=1080)]
photo_stream = compress(painter, photos)
print("decoded bit for bit:", torch.equal(decompress(painter, photo_stream.data), photos))
rows = {
    name: {how: file_bits(x, how) for how in ("zlib", "PNG", "WebP")} | {"PixelCNN++": sum(b) / len(x)}
    for name, x, b in (("digits", held_out.x, stream.bits), ("patches", photos, photo_stream.bits))
}
for name, row in rows.items():
    dims = 64 if name == "digits" else 192
    print(
        f"{name:8s}",
        ", ".join(f"{how} ≈ {bits:.0f} bits an image, ≈ {bits / dims:.2f} bits/dim" for how, bits in row.items()),
    )
for name, row in rows.items():
    shorter = 1 - row["PixelCNN++"] / row["WebP"]
    claim = {"digits": 0.42, "patches": 0.18}[name]
    report(f"{name}, shorter than with WebP by a share of", shorter, claimed=claim, tolerance=0.03)

# %% [markdown]
# Lossless WebP is the best of the three formats on both data sets. The model's files are 42 % shorter than WebP on digits and 18 % shorter on the photographs. (200 patches rather than all, to save time: these are a little harder than the average of section 6.) The likelihood decides the length, so every nat gained in lessons 04 and 05 is 1.44 bits saved per image.
#
# The price is time: decoding runs the network for every pixel, in order, and the receiver needs the model (a few hundred kilobytes, which the sum above does not count). What is *not* a price is safety. A stream carries checksums of itself and of the images, and names its model:

# %%
damaged = bytearray(stream.data)
damaged[len(damaged) // 2] ^= 1
other = load_pretrained("gated_pixelcnn-digits")
for what, reader, data in (("one bit changed", compressor, bytes(damaged)), ("another model", other, stream.data)):
    try:
        decompress(reader, data)
    except ValueError as error:
        print(f"{what}: {error}")

# %% [markdown]
# ## 8 Break it
#
# Back to the dangerous fault of section 2: bins of twice the width, $h = 2/(L-1)$. One line, and every likelihood improves. Evaluate the *same* trained network with the wrong bins:

# %%
with torch.no_grad():
    log_pi, mean, log_scale = compressor(held_out.x).chunk(3, -1)  # each (180, 1, 8, 8, 5)
pi, mean, s = (t.unsqueeze(-2) for t in (log_pi.softmax(-1), mean, log_scale.exp()))  # an axis for the 17 levels
k = torch.arange(17)[:, None]
point, h = 2 * k / 16 - 1, 2 / 16
upper = torch.where(k == 16, 1.0, torch.sigmoid((point + h - mean) / s))
wrong = (pi * (upper - torch.where(k == 0, 0.0, torch.sigmoid((point - h - mean) / s)))).sum(-1)  # (180, 1, 8, 8, 17)
mass = wrong.sum(-1)  # of all levels of a pixel: should be 1
log_wrong = wrong.gather(-1, held_out.x[..., None])[..., 0].log()
cheat = -log_wrong.flatten(1).sum(1).mean().item()
honest, coded = evaluate(compressor, held_out).nats, cheat + mass.log().flatten(1).sum(1).mean().item()
print(f"NLL with the right bins ≈ {honest:.2f} nats, with the wrong ones ≈ {cheat:.2f} nats")
print(f"sums over the levels of a pixel: ≈ {mass.min():.2f} to ≈ {mass.max():.2f}")
report("nats that the wrong bins seem to save", honest - cheat, claimed=20.6, tolerance=0.5, unit="nats")
report("nats that a message would be longer", coded - honest, claimed=0.61, tolerance=0.1, unit="nats")

# %% [markdown]
# A quarter of the NLL is gone, and no curve would complain. Two things do. The masses of the levels of a pixel sum to up to 2 and not to 1: enumerate them, as section 2 did. And a coder cannot be fooled: it has to cut its interval into parts that fit side by side, so it divides by that sum. The messages then are not shorter but *longer* than with the right bins. Whenever a likelihood looks too good, compress ten images and decode them.

# %% [markdown]
# ## 9 See it: the mixture, pixel by pixel
#
# Move the slider through an image that the recorded model drew. Look at pixels inside a stroke and at its border: there the distribution often has sharp heaps at the ends, paper and ink, together with something in between, which a single bell could not have.

# %% tags=["exact"]
show.pixel_by_pixel(compressor, rng=seed(3))

# %% [markdown]
# What the article says about PixelCNN++ and compression stands on [its own page](../docs/article.md).
#
# ## 10 Check yourself

# %% [markdown]
# 1. A colleague reports 2.1 bits/dim on your patches, much better than everyone. Which two checks do you ask for?
#
# <details><summary>Answer</summary>That the probabilities of all levels of a pixel sum to 1 (bins of the wrong width sum to more), and that no prediction sees its own pixel (a causality audit). Or one check for both: compress and decode ten images.</details>
#
# 2. Why does the mixture need open ends?
#
# <details><summary>Answer</summary>A bell around a white pixel that is wider than a bin has nearly half of its mass above 1. Closed, that mass is lost, and the sum over levels is below 1. Open, it counts as white, and a bell whose mean lies outside [-1, 1] can give nearly all of its mass to white while it still covers the light grays.</details>
#
# 3. A pixel is either 10 or 240, with equal probability. What does one logistic component do, and what do two?
#
# <details><summary>Answer</summary>One has to cover both, so it is wide and puts most of its mass on levels in between that never occur. Two sit on the two values and cost ln 2 nats, the entropy.</details>
#
# 4. You encode with batches of 64 and decode one image at a time. What can happen?
#
# <details><summary>Answer</summary>A matrix product of another shape may add in another order, so a probability differs in its last bit. If the message lies close to a cut, the decoder takes the neighbor, and everything after it is noise. Hence the same path, the same batch size, and a checksum.</details>
#
# 5. Can (5.8) be used with a VAE?
#
# <details><summary>Answer</summary>Not directly: the VAE gives a bound, not p(x), and the coder needs every conditional. There is a way ("bits back") whose expected length is the negative ELBO: the gap of lesson 10 is paid in bits.</details>

# %% [markdown]
# ## Take-aways
#
# - A level is the bin of a hidden number. Bins that tile the axis, with open ends, give probabilities that sum to one; the product form keeps their logarithms exact.
# - A mixture of bells knows that levels are numbers. That is worth most where data are few or levels are many.
# - Colors follow each other by three coefficients, and Bayes' rule turns a shared component into ordinary conditionals.
# - An exact likelihood is a file format: within 2 bits of $-\log_2 p$, decoded bit for bit. A coder is also the most honest test of a likelihood.
#
# ## Where next
#
# - Shannon, *A Mathematical Theory of Communication*, 1948; Rissanen, *Generalized Kraft Inequality and Arithmetic Coding*, 1976. The discretized logistic comes from Kingma et al., *Improving Variational Inference with Inverse Autoregressive Flow*, NIPS 2016, arXiv 1606.04934.
# - Salimans, Karpathy, Chen, Kingma, *PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications*, ICLR 2017, arXiv 1701.05517.
# - Witten, Neal, Cleary, *Arithmetic coding for data compression*, Communications of the ACM 30(6), 1987.
# - In the library, read [`logistic_mixture.py`](../garm_course/distributions/logistic_mixture.py), then [`pixelcnnpp.py`](../garm_course/autoregressive/pixelcnnpp.py), whose `_through` and `_pixel` are the same recursion, and [`compression.py`](../garm_course/autoregressive/sampling/compression.py).

# %%
claims()
