# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 18 · Evaluation
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/18_evaluation.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F18_evaluation.ipynb)
#
# **Seven trained models, four impostors, and one data set whose true distribution we know: which of the usual numbers would have found the best model?**
#
# | | |
# |---|---|
# | Time | 85 minutes; the cells run in under a minute |
# | Before this | likelihood and entropy, [lesson 01](01_likelihood.ipynb); the models of lessons [02](02_chain_rule.ipynb) to [04](04_pixelcnn.ipynb), [10](10_vae.ipynb), [12](12_vqvae.ipynb) and [14](14_stable_gans.ipynb); features of a classifier, [lesson 15](15_vae_gan.ipynb) |
# | Afterwards you can | *compute* Fréchet and kernel distances, precision, recall, density and coverage; *explain* their biases; *build* a leaderboard with paired intervals; *judge* what a single number hides |
# | Papers | Theis, van den Oord, Bethge, *A Note on the Evaluation of Generative Models*, ICLR 2016, arXiv [1511.01844](https://arxiv.org/abs/1511.01844) · Heusel et al., *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium*, NIPS 2017, arXiv [1706.08500](https://arxiv.org/abs/1706.08500) · Naeem et al., *Reliable Fidelity and Diversity Metrics for Generative Models*, ICML 2020, arXiv [2002.09797](https://arxiv.org/abs/2002.09797) |

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
from torch import Tensor

from garm_course import budget, check, claims, guess, load, load_pretrained, recorded, report, seed, show
from garm_course.autoregressive.ngram import NGram
from garm_course.evaluation import DigitClassifier, c2st, flicker, frechet_at_infinity, frechet_distance
from garm_course.evaluation import inception_score, novelty, repetition  # isort: skip
from garm_course.evaluation.features import features
from garm_course.lessons import lesson18

# %% [markdown]
# ## 1 The question, in pictures
#
# Five sets of samples of the data set `glyphs`, printed digits with a few flipped pixels.
# Four sets were drawn by models of this course, one was not.
# Write down your order, best set first, before you read on.

# %%
n = budget(smoke=140, quick=500, full=1000)
train, validation, test = (
    load("glyphs", split, n=size) for split, size in (("train", 12_000), ("validation", 1000), ("test", 1000))
)
NAMES = ("gated PixelCNN", "MADE", "VAE", "NADE", "diagonal BiLSTM", "VQ-VAE", "DCGAN")
RECORDED = ("gated_pixelcnn", "made", "vae", "nade", "diagonal_bilstm", "vqvae", "conditional_dcgan")
FILES = dict(zip(NAMES, RECORDED, strict=True))
models = {name: load_pretrained(f"{file}-glyphs") for name, file in FILES.items()}


@torch.inference_mode()
def draw(model: torch.nn.Module, n: int, rng: torch.Generator) -> Tensor:
    """n samples as levels; a conditional model gets the ten digits equally often."""
    y = torch.arange(n) % 10 if model.n_classes else None
    return model.levels_of(model.sample(n, y, rng=rng)).clone()


samples = {name: draw(model, n, seed(0)) for name, model in models.items()}
copies, coins = train.x[:n], torch.rand(n, *test.shape, generator=seed(1))
impostors = {
    "memorizer": copies,
    "noisy memorizer": torch.where(coins < 0.08, 1 - copies, copies),
    "one digit": train.x[train.y == 3][:n],
    "half coin flips": torch.cat([copies[: n // 2], (coins[n // 2 :] < 0.5).long()]),
}
everybody = {**samples, **impostors, "held-out data": validation.x[:n]}
LETTERS = {"A": "MADE", "B": "DCGAN", "C": "noisy memorizer", "D": "gated PixelCNN", "E": "VAE"}
show.grid(
    torch.cat([everybody[name][:10] for name in LETTERS.values()]),
    levels=2,
    rows=list(LETTERS),
    cols=10,
    title="Five sets of samples: which set is the best?",
    alt="The first ten images of five sets, a row each. A: digits with ragged strokes. B: clean strokes, some digits "
    "broken. C: perfect digits under heavy noise. D: about half legible. E: ragged digits, some of them pale.",
)

# %% [markdown]
# A is the MADE, B the DCGAN, D the gated PixelCNN, and E the VAE.
# Set C is an impostor: training images, each pixel flipped with probability 8 %.
# Was the noise of C worse than the broken digits of B?
# You had to decide what "best" means, and every metric below makes that decision for you.
#
# **Who takes part.**
# Seven models of this course, recorded as `garm results` lists them.
# The gated PixelCNN had the budget `full`, the other six `quick`, so this is *not* a contest of architectures; it is a contest of metrics.
# The DCGAN is told which digit to draw; the other six are not.
# Four impostors show what a metric can be fooled by: a *memorizer* that replays training images, the same with 8 % flips, one digit only, and a set of which half is coin flips.
# A fresh set of held-out images shows what the best possible value is.
#
# ## 2 A truth to judge metrics by
#
# For photographs nobody knows $p_\text{data}$, so papers compare metrics with other metrics, or with the judgment of people.
# Here every image has a known probability (lesson 04).
# That gives us two numbers that no metric for photographs can have.
# *Quality:* what does the true distribution think of a sample? We take the mean cost $-\ln p_\text{data}(x)$ in nats. Data cost the entropy, 53.0 nats.
# *Diversity:* how many of the 8,910 prototypes (shapes before the flips) are nearest to some sample?


# %%
def cost(x: Tensor) -> float:
    """Mean cost of images under the true distribution, in nats."""
    return -test.log_prob(x).mean().item()


def reached(x: Tensor) -> int:
    """How many different prototypes are nearest to some image."""
    return len(test.nearest_prototype(x)[0].unique())


truth = {name: cost(x) for name, x in everybody.items()}
for name, x in everybody.items():
    print(f"{name:22s} cost ≈ {truth[name]:4.0f} nats, prototypes reached ≈ {reached(x)}")
report("cost of held-out data", truth["held-out data"], claimed=53.7, tolerance=0.1, unit="nats")
report("cost of a MADE sample", truth["MADE"], claimed=249, tolerance=10, unit="nats")
report("cost of a DCGAN sample", truth["DCGAN"], claimed=265, tolerance=15, unit="nats")
report("cost of a gated PixelCNN sample", truth["gated PixelCNN"], claimed=304, tolerance=15, unit="nats")

# %% [markdown]
# Pixels are flipped with probability 1 %, so a pixel off its prototype costs $\ln (0.99/0.01) = 4.6$ nats more than a pixel that agrees, so a stroke in the wrong place is expensive.
# Notice that cost alone is not enough: the set of one digit costs what data cost.
# Every good report has a number for quality *and* one for diversity.
#
# ## 3 The Fréchet distance
#
# Pixels are a poor space to compare sets in, so metrics first map each image to features.
# Ours are the 32 hidden units of a small classifier of glyphs, which was trained on the training split.
# Fit a Gaussian to the features of each set, with mean $\mu$ and covariance $\Sigma$, and compare the Gaussians:
#
# $$\mathrm{FD} = \lVert\mu_1 - \mu_2\rVert^2 + \operatorname{tr}\big(\Sigma_1 + \Sigma_2 - 2\,(\Sigma_1\Sigma_2)^{1/2}\big) \tag{18.1}$$
#
# This is the squared Wasserstein-2 distance of two Gaussians; with Inception features it is the FID.
# A reminder: the square root of a matrix $A$ is a matrix $R$ with $RR = A$, and $\operatorname{tr} A^{1/2}$ is the sum of the square roots of the eigenvalues of $A$.
# For diagonal covariances (18.1) is $\sum_i \big[(\mu_{1i} - \mu_{2i})^2 + (\sigma_{1i} - \sigma_{2i})^2\big]$: means and spreads, nothing else.

# %% [markdown]
# **Exercise 1 · `fid_from_stats`** · ●●○ · 10 minutes
#
# Write (18.1).
#
# - `m1`, `m2`: `(F,)`, the means. `S1`, `S2`: `(F, F)`, the covariances, symmetric, perhaps singular.
# - Returns a Python number, as `.item()` makes it.
#
# Example: `fid_from_stats(torch.zeros(1), torch.eye(1), torch.ones(1), 4 * torch.eye(1))` is `2.0`: the means differ by 1, and so do the standard deviations 1 and 2.
#
# <details><summary>Hint 1</summary>S1 @ S2 is not symmetric, but its eigenvalues are real and not negative: <code>torch.linalg.eigvals(S1 @ S2).real</code>.</details>
# <details><summary>Hint 2</summary>Rounding can make a zero eigenvalue slightly negative, and its square root NaN: use <code>.clamp(min=0)</code> first.</details>


# %%
@check
def fid_from_stats(m1: Tensor, S1: Tensor, m2: Tensor, S2: Tensor) -> float:
    """The Fréchet distance of two Gaussians, from means (F,) and covariances (F, F)."""
    raise NotImplementedError("Replace this line with your answer.")


# %%
classifier = load_pretrained("classifier-glyphs")
real = features(classifier, test.x[:n])  # (n, 32)
fake = {name: features(classifier, x) for name, x in everybody.items()}


def fd(a: Tensor, b: Tensor) -> float:
    return fid_from_stats(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())


fds = {name: fd(real, f) for name, f in fake.items()}
error = max(abs(fds[name] - frechet_distance(real, f)) for name, f in fake.items())
report("largest difference from the library", error, claimed=0, tolerance=1e-4)
print(", ".join(f"{name} ≈ {value:.1f}" for name, value in fds.items()))
report("FD of the DCGAN", fds["DCGAN"], claimed=12.3, tolerance=3)
report("FD of held-out data", fds["held-out data"], claimed=6.3, tolerance=0.3)

# %% [markdown]
# The FD of the DCGAN is less than a third of that of the MADE, although its samples cost more.
# Keep that in mind; section 9 explains it.
# Look at the last number first: *held-out data* are 6.3 away from other data of the same distribution. Why not 0?
#
# **The bias.**
# Means and covariances are estimates. Even for equal distributions the estimates differ, and a squared distance of two different things is positive:
#
# $$\mathbb E\,\mathrm{FD}_n \approx \mathrm{FD}_\infty + \frac{c}{n} \tag{18.2}$$
#
# The constant $c$ depends on the model, so the bias need not cancel in a comparison.
# Plotted against $1/n$, FD is nearly a straight line, whose intercept is the value for infinitely many samples.

# %%
guess("FD of data and data, 100 images each", ...)  # if you like: a number in place of the dots

# %%
many = features(classifier, train.x[: budget(smoke=400, quick=6000, full=12_000)])
SIZES = (400, 200, 100, 50) if n > 400 else (100, 50)


def mean_fd(a: Tensor, b: Tensor, size: int) -> float:
    """The mean over disjoint pieces of this size."""
    pairs = list(zip(a.split(size), b.split(size), strict=False))
    return sum(fd(x, y) for x, y in pairs if len(x) == len(y) == size) / (min(len(a), len(b)) // size)


half = len(many) // 2
lines = {"data and data": [(1000 / s, mean_fd(many[:half], many[half:], s)) for s in SIZES]}
for name in ("DCGAN", "MADE"):
    lines[name] = [(1000 / s, mean_fd(real, fake[name], s)) for s in SIZES]
show.curves(
    lines,
    xlabel="1000 / n",
    ylabel="Fréchet distance",
    title="The Fréchet distance grows with 1/n: compare equal n only",
    alt="Fréchet distance against 1000 / n, from 400 to 50 images: three rising lines. Data and data rise from about "
    "12 to about 97, the DCGAN from 14 to 90, and the MADE from 42 to 130.",
)
report("FD of data and data, 100 images each", lines["data and data"][-2][1], claimed=47, tolerance=2)
report(
    "DCGAN with 100 images over MADE with 400",
    lines["DCGAN"][-2][1] / lines["MADE"][0][1],
    claimed=1.12,
    tolerance=0.25,
)
limit = {name: frechet_at_infinity(real, fake[name], rng=seed(1)) for name in ("DCGAN", "MADE", "held-out data")}
print(", ".join(f"{name} at n = ∞: ≈ {round(value)}" for name, value in limit.items()))

# %% [markdown]
# With 100 images the better model looks as bad as the worse one with 400.
# **Never compare distances at unequal n**, and never with a number from a paper that does not state its n.
# The extrapolation to $1/n = 0$ removes most of the bias (Chong and Forsyth, 2020), but it has a spread of its own, so its values may be negative.
#
# ## 4 The kernel distance
#
# The kernel distance avoids the bias; with Inception features it is the KID.
# Take the kernel $k(x, y) = (x \cdot y / F + 1)^3$, with $F$ features, and compare the mean kernel within the sets with the mean kernel between them:
#
# $$\mathrm{KD} = \frac{1}{n(n-1)}\sum_{i \ne j} k(x_i, x_j) + \frac{1}{n(n-1)}\sum_{i \ne j} k(y_i, y_j) - \frac{2}{n^2}\sum_{i,j} k(x_i, y_j) \tag{18.3}$$
#
# Each of the three terms is unbiased if a row never meets itself.
# So the mean of KD over many draws is the true distance: 0 for equal distributions. That means negative values are normal.

# %% [markdown]
# **Exercise 2 · `kid`** · ●○○ · 8 minutes
#
# Write (18.3).
#
# - `x`, `y`: `(n, F)`, the features of two sets.
# - Returns a Python number.
#
# Example: `kid(torch.tensor([[0.], [1.]]), torch.tensor([[0.], [2.]]))` is `-13.0`: within each set the only pair gives 1, and between the sets the mean kernel is 7.5.
#
# <details><summary>Hint 1</summary><code>(x @ y.T / x.shape[1] + 1) ** 3</code> holds all pairs at once.</details>
# <details><summary>Hint 2</summary>The pairs with i = j stand on the diagonal: subtract <code>K.trace()</code> from <code>K.sum()</code>.</details>


# %%
@check
def kid(x: Tensor, y: Tensor) -> float:
    """The unbiased kernel distance of two sets of features (n, F)."""

    raise NotImplementedError("Replace this line with your answer.")


# %%
draws = torch.randn(400, 2, 20, 4, dtype=torch.float64, generator=seed(0))  # equal distributions
values = torch.tensor([kid(x, y) for x, y in draws])
report("mean KD over its standard error", (values.mean() / values.std() * 20).item(), claimed=0, tolerance=4)
report("share of negative values", (values < 0).double().mean().item(), claimed=0.6, tolerance=0.1)
kds = {name: kid(real, f) for name, f in fake.items()}
print(", ".join(f"{name} ≈ {value:.0f}" for name, value in kds.items()))

# %% [markdown]
# ## 5 Two questions, two numbers
#
# A distance mixes two failures: bad samples, and data that no sample resembles.
# Balls around the points separate the two.
# Give each point of a set the ball that reaches to its $k$-th neighbor *in the same set*.
#
# - **Precision**: the share of samples in some ball around data. **Recall**: the share of data in some ball around samples.
# - **Density**: count for each sample the balls around data that contain it, average over the samples, and divide by $k$. **Coverage**: the share of balls around data that hold a sample.
#
# For two sets of $N$ points from one distribution, the expected coverage is the same in any number of dimensions. A ball around a data point is missed if the $k$ nearest of the other $2N - 1$ points are all data:
#
# $$\mathbb E\,[\text{coverage}] = 1 - \prod_{i=1}^{k} \frac{N - i}{2N - i} \approx 1 - 2^{-k}, \qquad \mathbb E\,[\text{density}] = 1 \tag{18.4}$$

# %% [markdown]
# **Exercise 3 · `prdc`** · ●●○ · 15 minutes
#
# Compute all four.
#
# - `real`, `fake`: `(N, F)`, features of data and samples. `k`: neighbors, 1 to N - 1.
# - Returns a dictionary with the keys `"precision"`, `"recall"`, `"density"` and `"coverage"`, Python numbers. A point on the border of a ball is inside.
#
# Example: in `prdc(torch.tensor([[0.], [1.], [10.]]), torch.tensor([[0.5], [0.6], [20.]]), 1)` the balls around data have the radii 1, 1 and 9. Two of three samples lie in a ball (precision 2/3), two balls hold two samples each (density 4/3, coverage 2/3), and the sample at 20 has the radius 19.4, so its ball holds the data at 1 and 10 (recall 2/3).
#
# <details><summary>Hint 1</summary><code>torch.cdist(real, real)</code> has zeros on the diagonal. Sorted along each row, the k-th neighbor stands at place k.</details>
# <details><summary>Hint 2</summary>Make one table, <code>torch.cdist(real, fake) &lt;= radii[:, None]</code>: row i is the ball around data i. Use <code>any</code> over one axis or the other.</details>


# %%
@check
def prdc(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage of samples (N, F), from balls to the k-th neighbor."""

    raise NotImplementedError("Replace this line with your answer.")


# %%
points = torch.randn(40, 2, 100, 3, dtype=torch.float64, generator=seed(0))
found = [prdc(x, y, 5) for x, y in points]
expected = 1 - math.prod((100 - i) / (200 - i) for i in range(1, 6))
report("coverage of equal distributions, minus (18.4)", sum(f["coverage"] for f in found) / 40 - expected,
       claimed=0, tolerance=0.01)  # fmt: skip
balls = {name: prdc(real, f, 5) for name, f in fake.items()}
for name, shares in balls.items():
    print(f"{name:22s}", "  ".join(f"{key} ≈ {value:.2f}" for key, value in shares.items()))
again = prdc(real, features(classifier, draw(models["diagonal BiLSTM"], n, seed(1))), 5)
middle = sorted(balls[name]["recall"] for name in FILES)[3]
report("median recall of the seven models", middle, claimed=0.94, tolerance=0.03)
report("recall of another draw of the diagonal BiLSTM", again["recall"], claimed=0.79, tolerance=0.06)
report("recall of half coin flips", balls["half coin flips"]["recall"], claimed=0.97, tolerance=0.03)
report("coverage of the diagonal BiLSTM", balls["diagonal BiLSTM"]["coverage"], claimed=0.18, tolerance=0.06)

# %% [markdown]
# **Recall sees hardly a difference.** It is above 0.9 for all seven models, in these draws. (The set of half coin flips deserves its high recall: its other half is training images.)
# It is not even stable: another 500 samples of the same diagonal BiLSTM reach 0.79 only.
# Recall has a geometric weakness, as Naeem and colleagues showed in 2020. A ball reaches to the $k$-th neighbor, so an outlier has a huge ball, and this ball swallows data.
# Move the outlier with the slider: the samples lie in one of two clusters of data, so an honest recall is about one half.

# %%
lesson18.outlier(6)

# %% [markdown]
# Coverage places its balls around data, where an outlier among the samples cannot enlarge them.
# Prefer density and coverage, and report $k$.
#
# ## 6 A score that never looks at data
#
# The inception score asks a classifier two things: is it sure of each sample, and do all classes occur?
# With $H$ the entropy of the class probabilities,
#
# $$\mathrm{IS} = \exp\Big(H\big(\mathbb E_x\, p(y \mid x)\big) - \mathbb E_x\, H\big(p(y \mid x)\big)\Big) \in [1, K] \tag{18.5}$$
#
# for $K$ classes. The data do not occur in (18.5). What would you submit to win?


# %%
def inception(x: Tensor) -> float:
    with torch.no_grad():
        return inception_score(classifier(x).softmax(1).double())


ten = torch.cat([train.x[train.y == digit][:1] for digit in range(10)])
scores = {name: inception(x) for name, x in everybody.items()}
print(", ".join(f"{name} ≈ {value:.1f}" for name, value in scores.items()))
report("inception score of ten images, 50 times each", inception(ten.repeat(50, 1, 1, 1)), claimed=9.66, tolerance=0.1)
report("inception score of held-out data", scores["held-out data"], claimed=9.4, tolerance=0.1)

# %% [markdown]
# Ten images, repeated, beat the data themselves.
#
# ## 7 Likelihood is not sample quality
#
# The best recorded likelihood belongs to the gated PixelCNN, by almost 20 nats.
# Do its samples win?

# %%
guess("place of the gated PixelCNN by FD, of seven", ...)

# %%
nll = {name: recorded(f"{file}-glyphs")["test"].get("nats") for name, file in FILES.items()}
for name, value in nll.items():
    print(f"{name:16s} test NLL {'does not exist' if value is None else f'≈ {value:.1f} nats'}, FD ≈ {fds[name]:.0f}")
order = sorted(FILES, key=fds.get)
report("place of the gated PixelCNN by FD, of seven", order.index("gated PixelCNN") + 1, claimed=6, tolerance=1)
report("NLL of the MADE minus gated PixelCNN", nll["MADE"] - nll["gated PixelCNN"], claimed=19.5, tolerance=0.1)

# %% [markdown]
# They do not.
# (For the VAE and the VQ-VAE the value is a bound, so their NLL may be lower.)
# An extreme case makes the reason plain (Theis and colleagues, 2016).
# Let $p$ be an excellent model and $q$ pure noise, and mix them, 1 % to 99 %:
#
# $$\ln\big(0.01\,p(x) + 0.99\,q(x)\big) \ge \ln 0.01 + \ln p(x) = \ln p(x) - 4.61 \tag{18.6}$$
#
# The likelihood falls by at most 4.61 nats, while 99 of 100 samples are noise.

# %%
log_p = test.log_prob(test.x)  # the truth as the model p
log_q = torch.full_like(log_p, -784 * math.log(2))  # coin flips
mixed = torch.logaddexp(math.log(0.01) + log_p, math.log(0.99) + log_q)
report("cost of 99 % noise", (log_p - mixed).mean().item(), claimed=4.605, tolerance=0.001, unit="nats")

# %% [markdown]
# <details><summary><b>Optional: two more numbers that mislead</b></summary>
#
# *A high density is not a typical sample.* Let $x \sim N(0, I_D)$ with $D = 1000$. Then $\mathbb E \lVert x\rVert^2 = D$, so a typical draw lies at the distance $\sqrt D$ from the mode, and
#
# $$\ln p(0) - \mathbb E \ln p(x) = \tfrac12\,\mathbb E\lVert x \rVert^2 = \tfrac D2 = 500 \text{ nats} \tag{18.7}$$
#
# The mode is $e^{500}$ times as dense as a typical draw, and in practice no draw looks like it. "Our samples have a high likelihood" is therefore no praise.
#
# *Accuracy.* Some report how often the most probable pixel value is right. By (1.8), an accuracy of 0.997, an error of $e = 0.003$, would bound the NLL of 784 pixels:
#
# $$\mathrm{NLL} \le 784\, H_b(0.003) \ln 2 = 16.0 \text{ nats} \tag{18.8}$$
#
# with $H_b$ the entropy of a coin in bits. The entropy of glyphs is 53.0 nats, so no calibrated model of them has this accuracy.
# </details>
#
# ## 8 Can a classifier tell?
#
# The most direct test: train a classifier on half of the data and half of the samples, and let it sort the other halves.
# For equal distributions its accuracy on $n$ held-out images lies in
#
# $$\tfrac12 \pm \frac{1.96}{2\sqrt n} \tag{18.9}$$
#
# in 95 % of cases. Everything above that is evidence of a difference.
# An accuracy of one half is no evidence of equality: a stronger classifier may still tell the two apart.

# %%
pixels = {name: x.flatten(1).double() for name, x in everybody.items()}
flat = test.x[:n].flatten(1).double()
in_features = {name: c2st(real, f, rng=seed(2)).accuracy for name, f in fake.items()}
in_pixels = {name: c2st(flat, x, rng=seed(2)).accuracy for name, x in pixels.items()}
for name in everybody:
    print(f"{name:22s} features ≈ {in_features[name]:.2f}, pixels ≈ {in_pixels[name]:.2f}")
noisy = "noisy memorizer"
report("accuracy on 8 % flips, features", in_features[noisy], claimed=0.61, tolerance=0.05)
report("accuracy on 8 % flips, pixels", in_pixels[noisy], claimed=1, tolerance=0.01)

# %% [markdown]
# Equal distributions would give 0.46 to 0.54 here.
# A linear classifier of pixels cannot tell the MADE from data, although the MADE's samples cost almost 200 nats more: the fault is the classifier's.
# The same classifier of *pixels* sorts nearly every noisy image correctly; a linear classifier of our *features* is right in three of five.
# **What the features hardly see, a distance in these features hardly sees**: by FD the noisy memorizer is better than the MADE.
#
# Now you are the classifier. Each pair holds one held-out image and one sample of the DCGAN.
# Use the buttons, or Tab and the space bar. Twenty pairs make a wide interval; look at it before you conclude anything.

# %%
lesson18.forced_choice(validation.x[:n], samples["DCGAN"], levels=2, rng=seed(3))

# %% [markdown]
# ## 9 A leaderboard that is fair
#
# A table of twelve FDs invites you to read differences that are chance.
# The *bootstrap* measures the chance of the drawn rows (not of another training run): draw $n$ rows from a set with replacement, compute the metric again, repeat.
# Three rules keep the comparison fair.
#
# 1. **Equal n** for all, because of (18.2).
# 2. **Paired**: in each resample all models meet the *same* rows of data. An easy draw of data then helps everybody, and cancels in a difference.
# 3. **Spread, not percentiles**: a resample contains some rows twice, which shifts FD upward. So keep the value of the real sets, and take only the standard deviation from the resamples.

# %% [markdown]
# **Exercise 4 · `leaderboard`** · ●●● · 25 minutes
#
# Build the comparison; the rest of the lesson uses it.
#
# - `metric`: a function, `(a, b)` -> number, small is good; `a` are rows of the data, `b` of a model.
# - `real`: `(N, F)`. `samples`: a dictionary, name -> `(M, F)`. Cut every set to its first `n` rows.
# - `n_boot` resamples. In each, draw rows of the data with `torch.randint(n, (n,), generator=gen)`, then rows of each model with the same call, in the order of the dictionary.
# - Returns a dictionary, name -> `(value, low, high, wins)`: the metric of the first n rows, the value ± 1.96 standard deviations over resamples, and the share of resamples in which this model has the smallest value.
#
# Example: with one model, `wins` is 1.0; with two copies of one model, the values are equal and the shares sum to 1.
#
# <details><summary>Hint 1</summary>Two loops: over resamples outside, over models inside. The rows of the data are drawn in the outer loop.</details>
# <details><summary>Hint 2</summary>Collect a table (n_boot, models) as a tensor: <code>table.std(0)</code> has the deviations, and <code>table.argmin(1)</code> the winner of each resample.</details>


# %%
@check
def leaderboard(metric, real: Tensor, samples: dict, n: int, n_boot: int, gen: torch.Generator) -> dict:
    """name -> (value, low, high, share of resamples won), at equal n, on shared rows of the data."""
    raise NotImplementedError("Replace this line with your answer.")


# %%
resamples = budget(smoke=3, quick=100, full=400)
board = leaderboard(frechet_distance, real, {name: fake[name] for name in FILES}, n, resamples, seed(4))
lesson18.standings(
    board,
    title="By Fréchet distance the DCGAN wins every time, and the next places are close",
    xlabel="Fréchet distance to 500 test images, 95 % interval (smaller is better)",
    alt="Fréchet distances of seven models with intervals: the DCGAN at about 12 wins all resamples; the NADE, the "
    "MADE and the VAE follow between 40 and 45 with overlapping intervals; the diagonal BiLSTM is last at about 157.",
)
duel = leaderboard(frechet_distance, real, {name: fake[name] for name in ("MADE", "VAE")}, n, resamples, seed(5))
report("share of resamples that the DCGAN wins", board["DCGAN"][3], claimed=1, tolerance=0.02)
report("share that the MADE wins against the VAE alone", duel["MADE"][3], claimed=0.65, tolerance=0.3)

# %% [markdown]
# Is the MADE better than the VAE? Their intervals overlap, but that answers nothing, because the two share their data. The paired resamples do answer: the MADE wins more than half of them, and far from all. The contest is undecided.
# All of this is about the drawn rows. Whether another training run of either model would win, no resample can tell.
# How much does pairing help? Compare the spread of the difference FD(MADE) - FD(VAE) with shared and with separate rows:


# %%
def spread(shared: bool) -> float:
    g, differences = seed(6), []
    for _ in range(budget(smoke=4, quick=150, full=600)):
        one, two, a, b = torch.randint(n, (4, n), generator=g)
        other = one if shared else two
        differences.append(frechet_distance(real[one], fake["MADE"][a]) - frechet_distance(real[other], fake["VAE"][b]))
    return torch.tensor(differences).std().item()


report("spread of the difference, separate over shared rows", spread(False) / spread(True), claimed=1.4, tolerance=0.3)

# %% [markdown]
# **All metrics, one table.** Each column is shaded from the worst of the seven trained models (pale) to the best (dark).
# Which split did a metric see? The NLL: the test split, once, when the result was recorded. FD, KD, the balls and C2ST: the first 500 test images. The inception score: no data. The cost under the truth: no split, the density itself. Nothing was chosen on test.

# %%
kinds = ("precision", "recall", "density", "coverage")
shares = {kind: {name: four[kind] for name, four in balls.items()} for kind in kinds}
metrics = {"NLL": nll, "FD": fds, "KD": kds, **shares, "inception score": scores}
metrics |= {"C2ST features": in_features, "C2ST pixels": in_pixels, "cost": truth}
lesson18.scoreboard(
    metrics,
    ranked=FILES,
    large=[*shares, "inception score"],
    title="No model is best by every metric, and no sample metric flags the memorizer",
    alt="Eleven metrics of seven models, four impostors and held-out data. The gated PixelCNN has the best NLL and "
    "recall, the DCGAN the best FD, KD, precision, coverage, inception score and C2ST in features, the MADE the "
    "lowest cost and the best C2ST in pixels. The memorizer's values are those of held-out data.",
)

# %% [markdown]
# The memorizer is about as good as held-out data in every column that has a value for it, because no metric of samples here asks where a sample comes from. (Its NLL would be infinite: it gives an image that it has not stored probability zero.) Lesson 19 does.
#
# **Why likelihood and samples disagree.**
# For the autoregressive models both directions of the KL divergence are within reach, because both $p$ and the model $q$ have exact densities:
#
# $$\mathrm{KL}(p\,\|\,q) = \mathbb E_p[-\ln q] - H(p), \qquad \mathrm{KL}(q\,\|\,p) = \mathbb E_q[-\ln p] - H(q) \tag{18.10}$$
#
# The first is the NLL minus the entropy of the data. It punishes a model that gives *data* a low probability.
# The second is the cost of a *sample* minus the entropy of the model. It punishes samples that the truth finds improbable.


# %%
@torch.inference_mode()
def two_ways(name: str) -> tuple[float, float]:
    """KL(p || q) from the recorded NLL, and KL(q || p) from 200 samples, in nats."""
    x = samples[name][:200]
    log_q = models[name].log_prob(x).double()
    return nll[name] - test.entropy().nats, (log_q - test.log_prob(x)).mean().item()


ways = {name: two_ways(name) for name in ("gated PixelCNN", "MADE", "NADE", "diagonal BiLSTM")}
lesson18.named_points(
    ways,
    xlabel="KL(data || model) in nats: what likelihood measures",
    ylabel="KL(model || data) in nats",
    title="The best model in one direction is not the best in the other",
    alt="Four autoregressive models. KL(data || model): gated PixelCNN 27 nats, MADE 47, NADE 56, diagonal BiLSTM 62. "
    "KL(model || data): MADE about 144, the gated PixelCNN about 220, the diagonal BiLSTM above 300.",
)
for name, claimed in (("gated PixelCNN", 222), ("MADE", 142)):
    report(f"KL(model || data), {name}", ways[name][1], claimed=claimed, tolerance=20, unit="nats")

# %% [markdown]
# In the direction that likelihood measures, the gated PixelCNN is far ahead. In the other direction it is not, and its samples look like it.
# A likely reason: a model that is unsure in the middle of a digit spreads its probability. On data that costs a few nats, but in sampling one unlucky draw spoils the rest of the digit.
#
# **How far can you trust FD?** Rank the seven models by FD in three kinds of features, and correlate the ranks with the ranks of the true cost.


# %%
def ranks(values: list[float]) -> Tensor:
    return torch.tensor(values).argsort().argsort().double()


def agreement(one: dict, two: dict) -> float:
    """Spearman's correlation over the seven models."""
    return torch.corrcoef(torch.stack([ranks([v[name] for name in FILES]) for v in (one, two)]))[0, 1].item()


seed(7)
untrained = DigitClassifier(test.shape, 2).requires_grad_(False)
axes = torch.linalg.svd(train.x[:2000].flatten(1).double(), full_matrices=False).Vh[:32].T  # principal directions
spaces = {
    "classifier": fds,
    "untrained network": {
        name: frechet_distance(features(untrained, test.x[:n]), features(untrained, everybody[name])) for name in FILES
    },
    "32 principal directions": {name: frechet_distance(flat @ axes, pixels[name] @ axes) for name in FILES},
}
for (space, values), claimed, tolerance in zip(spaces.items(), (0.3, 1.3, 1.57), (0.1, 0.25, 0.4), strict=True):
    ratio = values["DCGAN"] / values["MADE"]
    print(f"{space}: rank correlation with the cost ≈ {agreement(values, truth):.2f}")
    report(f"FD of the DCGAN over FD of the MADE, {space}", ratio, claimed=claimed, tolerance=tolerance)
r = agreement(fds, truth)
low, high = (math.tanh(math.atanh(r) + sign * 1.96 * math.sqrt(1.06 / 4)) for sign in (-1, 1))
print(f"95 % interval of the first, seven models: ≈ {low:.2f} to ≈ {high:.2f}")

# %% [markdown]
# The DCGAN wins clearly in the features of the classifier, and loses to the MADE in the principal directions and in this untrained network. (Untrained networks differ: with seed 9 the two were level.)
# **Another feature space is another metric.** The classifier was trained to tell digits apart, and nothing made it see the rest of an image.
# Seven models are few: the interval of the correlation is wide, and a paper that correlates its metric with anything should print one.
#
# ## 10 Does it hang together?
#
# Text and video have a third demand: coherence. It is tempting to ask for as much as possible. Watch what wins.

# %%
corpus, held_out = load("pydoc", "train"), load("pydoc", "validation")
length, count = budget(smoke=60, quick=300, full=300), 16
texts = {"held-out text": [held_out.text[1000 * i :][:length] for i in range(count)]}
for order in (2, 4, 8):
    table = NGram(corpus.shape, corpus.levels, order=order).fit_counts(corpus.tokens)
    texts[f"{order} characters of memory"] = [corpus.decode(x) for x in table.sample(count, length=length, rng=seed(0))]
network = load_pretrained("char_transformer-pydoc")
texts["transformer"] = [corpus.decode(x) for x in network.sample(count, length=length, rng=seed(0))]
texts["a copier"] = [corpus.text[1000 * i :][:length] for i in range(count)]
texts["one line, repeated"] = [(one[:40] * 8)[:length] for one in texts["held-out text"]]
words = set(corpus.text.split())


def known(drawn: list[str]) -> float:
    """Share of words that occur in the training text, without the cut ones at both ends."""
    inner = [word for one in drawn for word in one.split()[1:-1]]
    return sum(word in words for word in inner) / max(1, len(inner))


for name, drawn in texts.items():
    new, again = novelty(drawn, corpus.text, 16).value, repetition(drawn, 8).value
    print(f"{name:24s} known words ≈ {known(drawn):.2f}, new 16-grams ≈ {new:.2f}, repeated 8-grams ≈ {again:.2f}")
report("known words, held-out text", known(texts["held-out text"]), claimed=0.87, tolerance=0.005)
report("known words, 8 characters of memory", known(texts["8 characters of memory"]), claimed=0.94, tolerance=0.03)

# %% [markdown]
# By known words, a table with eight characters of memory is *more coherent than the real text*, and a copier is perfect.
# The second column tells why: they quote. A repeated line fails in the third column only.
# Video has the same trap. Flicker, the mean change between frames (lesson 09), is zero, and so the lowest, for a frozen picture. Here are four less extreme cases:

# %%
clips = load("moving_digits", "validation").x[:, 0]  # (300, 8, 16, 16)
shuffled = torch.stack([clip[torch.randperm(8, generator=seed(k))] for k, clip in enumerate(clips)])
blurred = (clips[:, 1:].double() + clips[:, :-1].double()) / 2
film = load_pretrained("frame_pixelcnn-moving_digits").sample(budget(smoke=2, quick=20, full=60), rng=seed(0))[:, 0]
for name, v, claimed, tolerance in (
    ("real clips", clips, 1.434, 0.001),
    ("shuffled frames", shuffled, 1.8, 0.02),
    ("neighbors averaged", blurred, 0.896, 0.001),
    ("frame PixelCNN", film, 1.33, 0.3),
):
    report(f"flicker, {name}", flicker(v).mean().item(), claimed=claimed, tolerance=tolerance, unit="levels")

# %% [markdown]
# So coherence is two-sided: **as in the data, not as high as possible.** Too little flicker is as wrong as too much.
#
# ## 11 Break it: three ways to win without a better model
#
# *Unequal n.* You saw it in section 3: report the rival with 100 samples and yourself with 500.
#
# *Choose the seed.* Draw ten sets, report the best. *Choose the features.* Section 9 showed that another space has another order.
#
# Here is what the first two are worth to the VAE, against a rival that is ahead of it.

# %%
rival, own = fake["MADE"], fake["VAE"]
draws = [features(classifier, models["VAE"].sample(n, rng=seed(s))) for s in range(budget(smoke=2, quick=10, full=10))]
distances = [fd(real, draw) for draw in draws]
mean = sum(distances) / len(distances)
report("mean FD of ten draws of the VAE over FD of the MADE", mean / fd(real, rival), claimed=1.29, tolerance=0.2)
report("the same, the rival measured with 100 samples", mean / fd(real[:100], rival[:100]), claimed=0.64, tolerance=0.2)
report("FD of the best of ten draws over the mean", min(distances) / mean, claimed=0.86, tolerance=0.08)
report("FD of the draw that we used over the mean", fd(real, own) / mean, claimed=0.86, tolerance=0.08)

# %% [markdown]
# We did not choose our own draw of the VAE, and it happens to be about the luckiest of the ten: all that this lesson says of the VAE flatters it a little.
#
# *How to detect it:* ask for n, the number of draws, the features and who trained them. A comparison that names all four can be repeated; another one cannot.
# On photographs, two more choices matter: how images are resized and whether they went through JPEG (Parmar and colleagues, 2022). Use one implementation for all models, such as `clean-fid` or `torch-fidelity`; both download Inception weights at first use, which this course never does.
# `torchmetrics` takes your own features, `FrechetInceptionDistance(feature=module)`, and gives the same numbers as ours; a test in the library checks this.
#
# **What the article says.** The Chinese article that this course checks asks for "quality, diversity and coherence", but names no measure of them.
# Its accuracy of 0.997 measures no generative model; on glyphs (18.8) excludes it.
# "High quality" means something only with a metric, n, and an interval.
#
# ## 12 Check yourself

# %% [markdown]
# 1. Two papers report FD 21 with 10,000 samples and FD 19 with 50,000. Which model is better?
#
# <details><summary>Answer</summary>You cannot tell. By (18.2) the first value contains more bias; measure both at one n.</details>
#
# 2. Your KD is negative. A bug?
#
# <details><summary>Answer</summary>No. The estimate is unbiased, so for nearly equal distributions it is negative about half of the time.</details>
#
# 3. A model generates perfect sevens only. What do precision, recall, coverage, and IS say?
#
# <details><summary>Answer</summary>Precision near 1; recall and coverage near one tenth; IS near 1, its smallest value, because only one class occurs.</details>
#
# 4. C2ST in features is 0.51, in pixels 1.00. What do you know?
#
# <details><summary>Answer</summary>The distributions differ, visibly to a linear classifier of pixels, in something that your features ignore, such as noise. Every distance in these features will miss it.</details>
#
# 5. Why do the intervals of two models overlap although one wins 97 % of the resamples?
#
# <details><summary>Answer</summary>Both intervals contain the chance of the shared data rows. In the paired difference this part cancels.</details>

# %% [markdown]
# ## Take-aways
#
# - No number found "the best model": the likelihood chose the gated PixelCNN, the true cost of a sample the MADE, and the classifier's features the DCGAN.
# - A metric is a question. State it: quality, diversity, likelihood, or "can a classifier tell?"
# - Fréchet distances depend on n and on the features. Equal n, independent features, intervals, pairs.
# - Likelihood measures KL(data || model); the look of samples is closer to KL(model || data). A model can be best in one and not in the other.
# - Coherence is right when it equals that of data.
#
# **Your turn.** Design a set of 500 images that beats the MADE in FD, coverage *and* inception score, and whose cost is as high as possible. The noisy memorizer does it with 334 nats: how much more can you hide?
#
# ## Where next
#
# - Theis, van den Oord, Bethge, *A Note on the Evaluation of Generative Models*, ICLR 2016, arXiv 1511.01844.
# - Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium*, NIPS 2017, arXiv 1706.08500; Salimans et al., *Improved Techniques for Training GANs*, NIPS 2016, arXiv 1606.03498.
# - Bińkowski, Sutherland, Arbel, Gretton, *Demystifying MMD GANs*, ICLR 2018, arXiv 1801.01401; Lopez-Paz, Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR 2017, arXiv 1610.06545.
# - Kynkäänniemi, Karras, Laine, Lehtinen, Aila, *Improved Precision and Recall Metric for Assessing Generative Models*, NeurIPS 2019, arXiv 1904.06991; Naeem, Oh, Uh, Choi, Yoo, *Reliable Fidelity and Diversity Metrics for Generative Models*, ICML 2020, arXiv 2002.09797.
# - Chong, Forsyth, *Effectively Unbiased FID and Inception Score and where to find them*, CVPR 2020, arXiv 1911.07023; Parmar, Zhang, Zhu, *On Aliased Resizing and Surprising Subtleties in GAN Evaluation*, CVPR 2022, arXiv 2104.11222.
# - After that: Pillutla et al., *MAUVE*, NeurIPS 2021, arXiv 2102.01454 (text); Kynkäänniemi et al., *The Role of ImageNet Classes in Fréchet Inception Distance*, ICLR 2023, arXiv 2203.06026; Stein et al., *Exposing flaws of generative model evaluation metrics and their unfair treatment of diffusion models*, NeurIPS 2023, arXiv 2306.04675; Jayasumana et al., *Rethinking FID: Towards a Better Evaluation Metric for Image Generation*, CVPR 2024, arXiv 2401.09603.
# - In the library, read [`samples.py`](../garm_course/evaluation/samples.py).

# %%
claims()
