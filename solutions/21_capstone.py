# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 21 · Capstone: three families on one budget
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/21_capstone.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F21_capstone.ipynb)
#
# **Autoregressive models, VAEs and GANs, one data set, one budget: which is best, and for which questions does "best" have no answer?**
#
# | | |
# |---|---|
# | Time | 90 minutes; the cells run in under a minute |
# | Before this | MADE, [lesson 02](02_chain_rule.ipynb); Gated PixelCNN, [lesson 04](04_pixelcnn.ipynb); VAE, [lesson 10](10_vae.ipynb); GAN, [lesson 13](13_gan_theory.ipynb) and [14](14_stable_gans.ipynb); metrics of samples, [lesson 18](18_evaluation.ipynb) |
# | Afterwards you can | *rank* only what may be ranked, *prove* a claim by enumeration, *compare* with paired intervals, *score* a stranger's model without trusting it |
# | Papers | Theis, van den Oord, Bethge, *A Note on the Evaluation of Generative Models*, ICLR 2016, arXiv [1511.01844](https://arxiv.org/abs/1511.01844) · Lucic et al., *Are GANs Created Equal?*, NeurIPS 2018, arXiv [1711.10337](https://arxiv.org/abs/1711.10337) · Vovk, Wang, *E-values*, Annals of Statistics 2021, arXiv [1912.06116](https://arxiv.org/abs/1912.06116) |

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
from torch import Generator, Tensor

from garm_course import budget, check, claims, fit, guess, load, load_pretrained, recorded_study, report, seed, show
from garm_course.adversarial import MLPGAN, GANGame
from garm_course.evaluation import Score, evaluate, log_probs, lower_bounds, mode_counts, ranked
from garm_course.evaluation.samples import frechet_distance
from garm_course.evaluation.features import features
from garm_course.latent import MLPVAE, NegativeELBO
from garm_course.lessons import lesson21
from garm_course.training import fit_game

# %% [markdown]
# ## 1 The question, in pictures
#
# Ten models of this course drew the digits below, one row each.
# All learned from the same 1,257 images, each in at most a minute of processor time.
# Which row is the best? Write down your three favorites before you read on.

# %%
test = load("digits", "test")
models = {name: load_pretrained(f"{file}-digits") for file, name in lesson21.NAMES.items()}


@torch.inference_mode()
def draw(name: str, n: int = 16) -> Tensor:
    """The first n samples of a model; a model that is told the class gets the classes of the test images."""
    told = test.y[:n] if models[name].n_classes else None
    return models[name].levels_of(models[name].sample(n, told, rng=seed(0))).clone()


order = [list(models)[i] for i in torch.randperm(10, generator=seed(21)).tolist()]
letters = dict(zip("ABCDEFGHIJ", order, strict=True))
show.grid(
    torch.cat([draw(name) for name in order]),
    levels=17,
    rows=list(letters),
    cols=16,
    title="Ten models, 16 samples each: which row is the best?",
    alt="Ten rows of 16 handwritten digits each, lettered A to J. Every row has readable digits and broken ones; the "
    "strokes are clean in some rows, ragged or blurred in others.",
)

# %% tags=["exact"]
study = recorded_study("families-digits")
rows = lesson21.rows(study)
show.table(
    ["row", "model", "nats", "Fréchet", "coverage", "class obeyed", "ms for one"],
    [
        [next(k for k, v in letters.items() if v == name), name, str(r.score), f"{r.frechet:.1f} ± {r.spread:.1f}",
         f"{r.coverage:.2f}", "" if math.isnan(r.obeys) else f"{r.obeys:.2f}", f"{r.ms:.2f}"]
        for name, r in rows.items()
    ],
)  # fmt: skip

# %% [markdown]
# The table comes from `python studies/families.py`: test images only, which chose none of these models, and five seeds of 360 samples each.
# *nats* is the mean negative log-likelihood. *Fréchet* is the distance (18.1) in the features of a classifier, ± its standard deviation over the seeds. *Coverage* is the share of test images that have a sample nearby. *Class obeyed* is the share of samples that a classifier reads as the requested digit. *ms* is processor time for a single image. Two models are *told* the class.
#
# Likelihood, samples and time each name a different best model. And the column *nats* has three kinds of entries: numbers, numbers behind a "≤", and none.
# This lesson is about what such a table proves.
#
# ## 2 Three kinds of numbers
#
# An autoregressive model computes $p(x)$ exactly. A VAE computes a lower bound on $\ln p(x)$; with $K$ draws $z_k$ from its encoder,
#
# $$-\ln p(x) \;\le\; -\mathbb E\Big[\ln \frac1K\sum_{k=1}^K \frac{p(x, z_k)}{q(z_k \mid x)}\Big] \;\le\; -\mathbb E\Big[\ln\frac{p(x, z_1)}{q(z_1 \mid x)}\Big] = -\text{ELBO}. \tag{21.1}$$
#
# The average inside the first expectation is an unbiased estimate of $p(x)$, and the logarithm is concave, so the bound follows from Jensen's inequality; more draws tighten it (lesson 11). A GAN defines no $p(x)$ that it can compute.

# %%
vae, gru = models["VAE"], models["GRU"]
elbo, iwae = (-lower_bounds(vae, test, k=k).mean() for k in (None, budget(smoke=5, quick=200, full=500)))
report("VAE, minus the ELBO", elbo, claimed=91.2, tolerance=0.5, unit="nats")
report("VAE, bound with 200 draws", iwae, claimed=88.1, tolerance=0.3, unit="nats")

# %% [markdown]
# The same VAE has two values that differ by three nats, and its true value is smaller than both.
# So a `Score` in our library carries its kind, and refuses comparisons that prove nothing:

# %% tags=["exact"]
scores = {name: r.score for name, r in rows.items()}
for a, b in (("GRU", "Gated PixelCNN"), ("MADE", "VAE"), ("GAN", "GRU")):
    try:
        print(f"{a} is better than {b}:", scores[a] < scores[b])
    except TypeError as error:
        print(f"{a} against {b}: {error}")
print(ranked(scores))

# %% [markdown]
# One comparison across kinds is a theorem. If the *bound* of one model is smaller than the *exact* value of another, the first model is better, because its true value is smaller still. On the printed digits of `glyphs`, the VAE wins against NADE that way:

# %%
glyphs = load("glyphs", "test", n=budget(smoke=20, quick=300, full=1000))
bound = Score.of(evaluate(load_pretrained("vae-glyphs"), glyphs, k=budget(smoke=2, quick=50, full=500)))
exact = Score.of(evaluate(load_pretrained("nade-glyphs"), glyphs))
report("VAE on glyphs, at most", bound.nats, claimed=99.4, tolerance=0.3, unit="nats")
report("NADE on glyphs", exact.nats, claimed=106.5, tolerance=0.1, unit="nats")
print("The VAE is better than NADE:", bound < exact)

# %% [markdown]
# **Told and not told.** A model that is told the class $y$ computes $p(x \mid y)$: its task is easier, by up to $\ln 10 = 2.3$ nats. To compare it with the others, average over the ten equally likely classes:
#
# $$p(x) = \frac1{10}\sum_{y=0}^{9} p(x \mid y) \tag{21.2}$$

# %%
told = models["Gated PixelCNN, told"]
each = torch.stack([log_probs(told, [(x, k) for x in test.x]) for k in range(10)])  # (10, N)
given, alone = -each.gather(0, test.y[None])[0], math.log(10) - each.logsumexp(0)
report("Gated PixelCNN told the class", given.mean(), claimed=76.66, tolerance=0.05, unit="nats")
report("the same without the class, (21.2)", alone.mean(), claimed=78.81, tolerance=0.05, unit="nats")

# %% [markdown]
# Against the Gated PixelCNN that is not told (79.4 nats), the told model seemed to gain 2.75 nats. Of these, 2.15 come from being *told* the class, which is not a better model of images; a fair comparison leaves 0.6. The table above uses (21.2) for both told models.
#
# ## 3 A truth to compare with
#
# On digits nobody knows the true distribution. On `bars_and_stripes` we do: 30 images of $4 \times 4$ bits, all equally likely, with entropy $\ln 30 = 3.4012$ nats. So the excess over the entropy *is* the KL divergence from the data $p$ to the model $q$:
#
# $$\mathbb E_{x \sim p}\big[-\ln q(x)\big] - H(p) = \mathrm{KL}(p\,\|\,q) \tag{21.3}$$

# %%
bars = load("bars_and_stripes")
made = load_pretrained("made-bars_and_stripes")
kl = evaluate(made, bars).nats - math.log(30)
report("KL from the data to MADE", kl, claimed=0.0007, tolerance=0.0001, unit="nats")

# %% [markdown]
# Samples tell two more stories: how many of the 30 images a model ever draws, and how many of its samples are valid.

# %% [markdown]
# **Exercise 1 · `mode_coverage`** · ●○○ · 6 minutes
#
# Return the number of modes that samples reach, and the share of good samples.
#
# - `samples`: `(N, d)`. `modes`: `(M, d)`, points that the samples should come near.
# - `radius`: a sample is *good* if its nearest mode is at most this far away. Then it reaches that mode, and no other.
# - Returns `(reached, share)`: how many different modes are reached, an integer, and good samples / all samples, a float.
#
# Example: `mode_coverage(torch.tensor([[0.1], [0.2], [0.6], [5.0]]), torch.tensor([[0.0], [1.0]]), 0.3)` is `(1, 0.5)`: two samples reach mode 0, and the other two are too far from any mode.
#
# <details><summary>Hint 1</summary><code>torch.cdist(samples, modes).min(1)</code> has the distance to the nearest mode and its index.</details>
# <details><summary>Hint 2</summary><code>nearest[good].unique()</code> has each reached mode once.</details>


# %%
@check
def mode_coverage(samples: Tensor, modes: Tensor, radius: float) -> tuple[int, float]:
    """How many modes (M, d) the samples (N, d) reach, and the share of samples within radius of a mode."""
    ### BEGIN SOLUTION
    distance, nearest = torch.cdist(samples, modes).min(1)
    good = distance <= radius
    return len(nearest[good].unique()), good.double().mean().item()
    ### END SOLUTION


# %% [markdown]
# Now train a small VAE and a GAN, 1,500 steps each, and draw 10,000 images from both. The GAN has a gradient penalty R1 of 0.1 (lesson 14).

# %%
guess("images that the GAN never draws", ...)  # if you like: 0 to 30

# %%
STEPS = budget(smoke=4, quick=1500, full=1500)
seed(0)
small_vae = MLPVAE((1, 4, 4), 2, latents=4, hidden=(128,))
fit(small_vae, bars, loss=NegativeELBO(), steps=STEPS, batch_size=30, lr=1e-2, ema=0.98, evaluate_every=STEPS)
seed(0)
gan = MLPGAN((1, 4, 4), 2, latents=16, hidden=(128, 128))
fit_game(GANGame(gan, r1=0.1), bars, steps=STEPS, batch_size=30, lr=1e-3, ema=0.98)
drawn = {name: m.levels_of(m.sample(10_000, rng=seed(0))).flatten(1).float() for name, m in
         (("VAE", small_vae), ("GAN", gan), ("MADE", made))}  # fmt: skip
modes = bars.x.flatten(1).float()
reached = {name: mode_coverage(x, modes, radius=0.5) for name, x in drawn.items()}
for name, (count, share) in reached.items():
    print(f"{name}: ≈ {count} of 30 images, ≈ {share:.0%} of the samples are valid")
report("images that the GAN never draws", 30 - reached["GAN"][0], claimed=22, tolerance=3)
report("valid samples of the GAN", reached["GAN"][1], claimed=0.94, tolerance=0.04)
report("images that the VAE draws", reached["VAE"][0], claimed=30, tolerance=0)
report("valid samples of the VAE", reached["VAE"][1], claimed=0.26, tolerance=0.05)

# %%
mass = {name: mode_counts(x, modes, radius=0.5).counts.double() / len(x) for name, x in drawn.items()}
mass["MADE"] = log_probs(made, bars).exp()
lesson21.show_mass(
    {"VAE: hallucinates": mass["VAE"], "GAN: forgets": mass["GAN"], "MADE: neither": mass["MADE"]},
    title="The VAE covers everything and hallucinates, the GAN is precise and forgets",
    alt="Bars for the probability of each of the 30 valid images and of all other images together. The VAE gives the "
    "valid images about a quarter of its mass, and the rest to other images. The GAN gives about eight "
    "images three to four times their share, the rest nothing, and little to other images. MADE is even at 1/30.",
)

# %% [markdown]
# This is the picture to remember. Maximum likelihood punishes a model for every image that it misses (lesson 10), but hardly for images that it invents. A generator's loss at a given discriminator is an average over what it draws (lesson 13), so an image that it never draws costs it nothing in that step. Thirty bars show both.
#
# The two failures are linked to the likelihood by a simple identity. Let $v$ be the share of valid samples, $v = \sum_{x \in \operatorname{supp} p} q(x)$, and $q_v(x) = q(x)/v$ the model restricted to valid images. Since $\ln q(x) = \ln v + \ln q_v(x)$ for valid $x$,
#
# $$\mathrm{KL}(p\,\|\,q) = -\ln v + \mathrm{KL}(p\,\|\,q_v). \tag{21.4}$$
#
# The first term is the price of hallucinating, the second the price of unequal shares. It is infinite as soon as one image is forgotten. And since no KL is negative, $-\ln v$ is a *lower* bound on the KL of a VAE, whose ELBO gives an upper one.

# %%
records = recorded_study("families-bars_and_stripes")["runs"]
for setting in dict.fromkeys(run["setting"] for run in records):
    runs = [run for run in records if run["setting"] == setting]
    v, count = (sum(run[what] for run in runs) / len(runs) for what in ("valid", "modes"))
    kls = [run.get("kl", run.get("kl_bound")) for run in runs]
    sign = "≤" if "kl_bound" in runs[0] else "="
    said = f"KL {sign} {sum(kls) / len(kls):.4f}, -ln v = {-math.log(v):.4f}" if None not in kls else ""
    print(f"{setting:32s} valid {v:.4f}   images {count:4.1f}   {said}")
two = [run for run in records if run["setting"] == "VAE, 2 latents"]
report("two latents: bound", sum(run["kl_bound"] for run in two) / 3, claimed=0.43, tolerance=0.01, unit="nats")
report("two latents: -ln v", -sum(math.log(run["valid"]) for run in two) / 3, claimed=0.39, tolerance=0.01, unit="nats")

# %% [markdown]
# The record (`python studies/families_bars.py`, three seeds of every setting, at most 20 processor seconds each) shows how much of the picture is a matter of tuning.
#
# - The KL of the VAE with two latents lies between 0.39 and 0.43 nats, so the bound is tight: nearly all of the KL is hallucination. It has a larger network, more steps and fewer latents than the VAE that you trained, and a third of its samples is still invalid.
# - R1 decides how much the GAN forgets. With R1 = 1 all three seeds draw exactly the 16 stripes and not one other bar, and four times the steps change nothing. With R1 = 3 and four times the steps, all 30 images come back, with 92 % valid samples.
# - The three autoregressive models, with the settings of their recipes, have a KL below 0.001 nats in all nine runs.
#
# We chose these settings with a few trials each. The data are the whole distribution, so nothing is held out.
#
# The slider draws each pixel of MADE at a temperature. Can a temperature repair invalid samples without unequal shares?

# %%
lesson21.temperature(made, bars, start=0.5)

# %% [markdown]
# ## 4 On real digits, likelihood does not order samples

# %%
families = {name: r.family for name, r in rows.items()}
nats = {name: r.score.nats for name, r in rows.items() if r.score.kind != "none"}
distance = {name: r.frechet for name, r in rows.items()}
lesson21.show_points(
    [("nats (test)", "Fréchet distance (test)", {m: (nats[m], distance[m]) for m in nats}, None)],
    families,
    logarithmic=False,
    title="The best likelihoods have Fréchet distances from 7 to 40",
    alt="Eight models by nats and Fréchet distance. Five autoregressive models lie between 77 and 84 nats with "
    "distances from 7 to 40, MADE at 87 and 26, and two VAEs at 88 and 89 nats with 39 and 15.",
)
best = min(distance, key=distance.get)
REAL = "training images"
real = {name: sum(run["frechet"] for run in study["runs"] if run["model"] == name) / 5
        for name in (REAL, f"{REAL} of the same classes")}  # fmt: skip
report("smallest Fréchet distance, by the told PixelCNN", distance[best], claimed=6.7, tolerance=0.05)
report("the same of the GAN", distance["GAN"], claimed=10.7, tolerance=0.05)
report("training images, any classes", real[REAL], claimed=8.6, tolerance=0.05)
report("training images, the same classes", real[f"{REAL} of the same classes"], claimed=7.0, tolerance=0.05)

# %% [markdown]
# PixelCNN++ has the best likelihood and a distance of 18. The told Gated PixelCNN and the GAN have the smallest distances, and the GAN has no likelihood at all.
#
# Is the told model better than real digits? No: it was asked for the classes of the test images. Give the training images the same advantage, and their distance is 7.0, no different from the model's. A metric compares *sets*, so check how the sets were drawn.
#
# Lesson 18 explains why the columns disagree: a sample can be ragged everywhere at a small cost in nats, and a likelihood can be poor because of a few missed images.
#
# ## 5 Differences: compare on the same images
#
# Is PixelCNN++ really better than the GRU? Their means differ by 0.68 nats, and each has a standard error of 0.55. But both models saw the *same* images, and an image that is hard for one is hard for the other. For per-image values $a_i$ and $b_i$ with standard deviations $\sigma_a$, $\sigma_b$ and correlation $\rho$,
#
# $$\operatorname{Var}(\bar b - \bar a) = \frac1n\big[\sigma_a^2 + \sigma_b^2 - 2\rho\,\sigma_a\sigma_b\big]. \tag{21.5}$$

# %%
NAMES = ("MADE", "NADE", "Gated PixelCNN", "PixelCNN++", "GRU")
nll = {name: -log_probs(models[name], test) for name in NAMES}
a, b = nll["GRU"], nll["PixelCNN++"]
rho = torch.corrcoef(torch.stack([a, b]))[0, 1]
n = len(a)
paired = ((a.var() + b.var() - 2 * rho * a.std() * b.std()) / n).sqrt()
report("correlation of the two models over images", rho, claimed=0.93, tolerance=0.01)
report("standard error, paired", paired, claimed=0.205, tolerance=0.01, unit="nats")
report("standard error, unpaired", ((a.var() + b.var()) / n).sqrt(), claimed=0.778, tolerance=0.02, unit="nats")

# %% [markdown]
# **Exercise 2 · `paired_bootstrap_ci`** · ●●○ · 8 minutes
#
# Return a 95 % interval for the mean of `b - a` over images, without any formula for its variance: resample the images.
#
# - `a`, `b`: `(N,)`, one value per image, for the same images.
# - `n`: the number of resamples. `rng`: a generator; draw only with it.
# - Each resample draws `N` images *with* replacement and takes the mean of `b - a` over them.
# - Returns `(low, high)`, the 2.5 % and 97.5 % quantiles of the `n` means, as Python numbers.
#
# Example: `paired_bootstrap_ci(torch.tensor([1., 2.]), torch.tensor([4., 5.]), 50, torch.Generator())` is `(3.0, 3.0)`: the difference is 3 for every image.
#
# <details><summary>Hint 1</summary><code>torch.randint(N, (n, N), generator=rng)</code> draws the image numbers of all resamples at once.</details>
# <details><summary>Hint 2</summary>Index the difference, not <code>a</code> and <code>b</code> separately; then <code>mean(1)</code> and <code>quantile</code>.</details>


# %%
@check
def paired_bootstrap_ci(a: Tensor, b: Tensor, n: int, rng: Generator) -> tuple[float, float]:
    """A 95 % interval for mean(b - a) by n resamples of the images."""
    ### BEGIN SOLUTION
    rows = torch.randint(len(a), (n, len(a)), generator=rng)
    means = (b - a)[rows].mean(1)
    return means.quantile(0.025).item(), means.quantile(0.975).item()
    ### END SOLUTION


# %%
intervals = {}
for name in NAMES[:-1]:
    low, high = paired_bootstrap_ci(a, nll[name], 4000, seed(0))
    middle, half = (nll[name] - a).mean().item(), 1.96 * ((a.var() + nll[name].var()) / n).sqrt().item()
    intervals[name] = ((low, high), (middle - half, middle + half))
lesson21.show_intervals(
    intervals,
    xlabel="NLL minus that of the GRU, in nats (test)",
    title="Pairing makes the interval up to four times narrower",
    alt="Paired and unpaired 95 % intervals of the difference to the GRU for MADE, NADE, Gated PixelCNN "
    "and PixelCNN++. The unpaired intervals of the last two contain zero; the paired ones do not.",
)
report("PixelCNN++ minus GRU, low end", intervals["PixelCNN++"][0][0], claimed=-1.08, tolerance=0.06, unit="nats")
report("PixelCNN++ minus GRU, high end", intervals["PixelCNN++"][0][1], claimed=-0.27, tolerance=0.06, unit="nats")

# %% [markdown]
# Two verdicts change: unpaired, PixelCNN++ and the Gated PixelCNN cannot be told apart from the GRU; paired, one is better and the other worse. The interval is over images for one trained model of each kind. It says nothing about another seed of training: the recorded seeds of PixelCNN++ alone spread by 0.4 nats.
#
# ## 6 Trade-offs: who is beaten on every axis?
#
# Suppose you care about likelihood *and* about the time to draw an image. Milliseconds and nats do not add, but sometimes no weights are needed. Model $j$ **dominates** model $i$ if it is no worse on any axis and better on at least one:
#
# $$j \succ i \;\iff\; x_{jk} \le x_{ik} \text{ for all } k \;\text{ and }\; x_{jk} < x_{ik} \text{ for some } k \tag{21.6}$$
#
# The models that no other model dominates form the **Pareto front**.

# %% [markdown]
# **Exercise 3 · `pareto_front`** · ●●○ · 8 minutes
#
# Return the indices of the points that no other point dominates, (21.6). Small is good on every axis.
#
# - `points`: `(N, d)`.
# - Returns a tensor or a list of indices, in any order. Equal points do not dominate each other: both stay.
#
# Example: `pareto_front(torch.tensor([[1., 3.], [2., 2.], [2., 4.], [3., 1.]]))` is `[0, 1, 3]`: point 2 is dominated by point 1, since it is equal on one axis and worse on the other.
#
# <details><summary>Hint</summary><code>(points[None] <= points[:, None]).all(2)</code> has True at <code>[i, j]</code> where point j is no worse than point i on every axis.</details>


# %%
@check
def pareto_front(points: Tensor) -> Tensor:
    """Indices of the points (N, d) that no other point dominates; small is good."""
    ### BEGIN SOLUTION
    no_worse = (points[None] <= points[:, None]).all(2)
    better = (points[None] < points[:, None]).any(2)
    return (~(no_worse & better).any(1)).nonzero().flatten()
    ### END SOLUTION


# %%
ms = {name: r.ms for name, r in rows.items()}
miss = {name: 1 - r.coverage for name, r in rows.items()}
panels, fronts = [], []
for label, values in (("nats", nats), ("Fréchet distance", distance), ("share not covered", miss)):
    names = list(values)
    points = {m: (ms[m], values[m]) for m in names}
    front = [names[i] for i in pareto_front(torch.tensor([points[m] for m in names]))]
    panels.append(("ms for one image", label, points, front))
    fronts.append(set(front))
lesson21.show_points(
    panels[:2],
    families,
    bounds=("VAE", "VAE, told"),
    title="Two fronts, two kinds of winners",
    alt="Two scatter plots against processor milliseconds for one image, on a logarithmic axis from 0.2 to 40. Left, "
    "nats: autoregressive models are slow and good, the VAEs fast and at most 88 to 89. Right, Fréchet distance: the "
    "GAN is fast with 11, and only the told Gated PixelCNN, dozens of times slower, is better.",
)
never = set(rows) - set.union(*fronts)
print("dominated on all three pairs:", ", ".join(sorted(never)))
report("models dominated on all three pairs", len(never), claimed=3, tolerance=0)
report("ms of PixelCNN++ over ms of the VAE, one image", ms["PixelCNN++"] / ms["VAE"], claimed=100, tolerance=3)
report("ms of NADE over ms of the VAE, one image", ms["NADE"] / ms["VAE"], claimed=17, tolerance=1)

# %% [markdown]
# With likelihood on the vertical axis, autoregressive models hold the front; with the Fréchet distance, the GAN and one slow model do. (The VAEs enter the left panel with their bounds. The arrows say that their true points are lower.) Times depend on the machine; the recorded ratio is 17 for NADE and 100 for PixelCNN++, against one pass of a VAE.
#
# To rank *all* models you must add unlike things, and the weights decide. Try it:

# %% tags=["exact"]
lesson21.who_wins({"nats": nats, "Fréchet": distance, "ms": ms, "coverage": miss})

# %% [markdown]
# ## 7 A stranger's model
#
# Somebody writes: "my model reaches 60 nats on your digits." You do not have to believe the number, and you do not have to read the code. Ask for *scores* of one pixel at a time, given the pixels before it, and apply the softmax yourself. Let $f_i$ be whatever function the stranger's program computes:
#
# $$q(x) = \prod_{i=1}^{D} \operatorname{softmax}\big(f_i(x_{<i}, \text{noise}_{\ge i})\big)_{x_i}, \qquad \sum_x q(x) = 1 \tag{21.7}$$
#
# The sum is 1 *whatever $f$ is*, for fixed noise: sum over the last pixel first, which gives 1 because its softmax does not depend on $x_D$; then over the pixel before, and so on. This only works if nothing in $f_i$ depends on $x_i$ or later pixels. So you hide them, and noise stands in their place.

# %% [markdown]
# **Exercise 4, build it · `blind_score`** · ●●● · 25 minutes
#
# Return the log-probability of images under a model that you can only query, (21.7).
#
# - `ask(prefix, i)`: the stranger's function. `prefix` is `(n, D)`; it returns scores `(n, levels)` for pixel `i`.
# - `x`: `(n, D)`, images as rows of integers `0..levels-1`. `levels`: the number of levels of a pixel.
# - `hide`: `(n, D)`, noise. Before each question, pixel `i` *and all later pixels* of what you show must be those of `hide`.
# - Use a log-softmax over the levels, in float64, and add up the log-probabilities of the true pixels.
# - The stranger may write into what you hand over, so hand over a copy each time. Leave `x` and `hide` unchanged.
# - Raise a `ValueError` if the scores are not of shape `(n, levels)`, or not all finite.
# - Returns `(n,)`, in nats.
#
# Example: for `ask = lambda prefix, i: torch.zeros(len(prefix), 3)` each image of five pixels gets $-5 \ln 3 = -5.49$.
#
# <details><summary>Hint 1</summary>Keep one tensor <code>shown = hide.clone()</code>, and after question i set <code>shown[:, i] = x[:, i]</code>.</details>
# <details><summary>Hint 2</summary><code>scores.double().log_softmax(1)[torch.arange(n), x[:, i]]</code> picks the true pixel of each row.</details>


# %%
@check
def blind_score(ask, x: Tensor, levels: int, hide: Tensor) -> Tensor:
    """Log-probability (n,) of x (n, D) under a model that sees only the pixels before the one it is asked about."""
    ### BEGIN SOLUTION
    n, D = x.shape
    shown, total = hide.clone(), torch.zeros(n, dtype=torch.float64)
    for i in range(D):
        scores = ask(shown.clone(), i)
        if scores.shape != (n, levels) or not scores.isfinite().all():
            raise ValueError(f"expected finite scores {(n, levels)} for pixel {i}, got {tuple(scores.shape)}")
        total += scores.double().log_softmax(1)[torch.arange(n), x[:, i]]
        shown[:, i] = x[:, i]
    return total
    ### END SOLUTION


# %% [markdown]
# All images of five pixels with three levels can be enumerated, $3^5 = 243$. We score an honest stranger and three others: one adds 5 to all its scores (the softmax removes that), one believes the pixel that it is asked about, one believes the pixel after it. Beside each stands the mass of all images when nothing is hidden, and the mean gain over the honest stranger, in nats, when the answer is hidden.

# %% tags=["exact"]
every = torch.cartesian_prod(*(torch.arange(3) for _ in range(5)))
noise = torch.randint(3, (1, 5), generator=seed(4)).expand(243, 5)
truth = blind_score(lesson21.players.honest, every, 3, noise)
for name in ("honest", "scaled", "peeker", "future"):
    ask = getattr(lesson21.players, name)
    hidden = blind_score(ask, every, 3, noise)
    seen = sum(ask(every, i).log_softmax(1)[torch.arange(243), every[:, i]] for i in range(5)).exp().sum()
    gain = (truth.exp() * (hidden - truth)).sum()
    print(f"{name:8s} mass when nothing is hidden {seen:6.2f}, mean gain when hidden {gain:7.3f} nats")
    report(f"mass of all images, {name}", hidden.exp().sum(), claimed=1, tolerance=1e-9)

# %% [markdown]
# Hidden, every stranger's mass is 1, and a peeker only hurts itself, because it trusts noise.
# Two tricks remain. A stranger may look at the other images of a batch or remember earlier questions, so the referee of `garm challenge` asks a second time, in another order. And a stranger may have *stored* your test images; against that only fresh images help.
#
# ## 8 A stranger without conditionals
#
# Some models have no conditionals to ask for; their owner reports only $\ln p(x)$. You can still *bet* against a false claim. Draw from a distribution $q$ that you know. If $p$ is normalized, then
#
# $$\mathbb E_{x \sim q}\Big[\frac{p(x)}{q(x)}\Big] = \sum_{x:\, q(x) > 0} p(x) \le 1, \tag{21.8}$$
#
# and by Markov's inequality the mean of the ratio over any number of draws exceeds $1/\delta$ with probability at most $\delta$. Such a ratio is called an *e-value*. We take $q$ to be the mixture of four of our models, ask for $\ln p$ of 800 draws from it, and try a stranger who owns our PixelCNN++ and adds a false offset to its log-likelihood.

# %%
four = [models[name] for name in ("MADE", "NADE", "GRU", "Gated PixelCNN")]
each = budget(smoke=2, quick=200, full=1000)
x = torch.cat([m.sample(each, rng=seed(k)) for k, m in enumerate(four)])
log_q = torch.stack([log_probs(m, [(image, 0) for image in x]) for m in four]).logsumexp(0) - math.log(4)
log_p = log_probs(models["PixelCNN++"], [(image, 0) for image in x])
log_mean = (log_p - log_q).logsumexp(0) - math.log(len(x))
for offset in (0, 6, 12, 18):
    verdict = "refuted" if log_mean + offset > math.log(1000) else "passes"
    print(f"offset {offset:2d} nats: {verdict} at the level 1/1000")
report("log of the mean ratio, honest", log_mean, claimed=-0.7, tolerance=0.7, unit="nats")
refuted = math.log(1000) - log_mean
report("offset from which the claim is refuted", refuted, claimed=7.6, tolerance=0.7, unit="nats")

# %% [markdown]
# A lie of 18 nats, such as "60 nats on your digits", is refuted with 800 draws; a lie of 6 nats passes. The bet only works where $q$ has mass: a stranger who adds the offset on *your test images* alone wins every such bet. Conditionals are the better demand.
#
# ## 9 Break it: three tables that lie
#
# **Unlike kinds in one column.** The VQ-VAE of lesson 12 has a rate (the cost of its codes) and a distortion (the cost of the image given the codes). Their *sum* is a bound; each alone is not.
#
# **Unequal sizes.** The Fréchet distance is biased upward, and more so for small sets (lesson 18). Let the same model compete against itself, once measured with 90 samples and 90 images, and once with 360 of each:

# %%
classifier = load_pretrained("classifier-digits")
target = features(classifier, test.x[:90])
gan_digits = features(classifier, draw("GAN", 360))
few = sum(frechet_distance(target, part) for part in gan_digits.split(90)) / 4
many = frechet_distance(features(classifier, test.x), gan_digits)
report("GAN with 90 samples and 90 images", few, claimed=41, tolerance=5)
report("the same GAN with 360", many, claimed=12.6, tolerance=3)

# %% [markdown]
# **The best of several seeds.** Train five seeds, report the best on the images that chose it: if the seeds differ by chance alone, the winner looks better than it is by 1.16 standard deviations, equation (20.4). *How to detect it:* ask on which images the winner was chosen.
#
# <details><summary><b>The claims of the article that this course answers, with verdicts</b></summary>
#
# | claim of the article | kind | measured here | verdict |
# |---|---|---|---|
# | Autoregressive models give the best quality | exact, samples | best likelihood: yes (77.9 nats). Fréchet distance: 6.7 with the class, 16 to 40 without; GAN 10.7 | half right |
# | They are suited to real time | time | one 8×8 image costs 17 to 100 times as much as one of the VAE | wrong |
# | Samples can be controlled by hyperparameters | samples | by the class: 94 % obey; a temperature chooses no class | wrong word |
# | VAEs avoid mode collapse | bound | 30 of 30 images, but 30 to 75 % of the samples are invalid | half the story |
# | GANs learn the true distribution | none | 8 to 30 of 30 images, by R1 and steps | not in general |
# | Autoregressive training is stable and efficient | exact | nine of nine runs below 0.001 nats; sampling is slow | half right |
#
# More in [the article's claims](../docs/article.md).
#
# </details>
#
# ## 10 Check yourself

# %% [markdown]
# 1. A paper reports "NLL ≤ 3.1 bits/dim" for a VAE and 3.2 bits/dim for a PixelCNN. Is the VAE better? And with 3.3 for the VAE?
#
# <details><summary>Answer</summary>With 3.1: yes, its true value is at most 3.1. With 3.3 nothing follows.</details>
#
# 2. A GAN has 99 % valid samples on a data set of 30 images. What do you know about its KL divergence?
#
# <details><summary>Answer</summary>That it is at least −ln 0.99 = 0.01. It is infinite if one image is never drawn, (21.4).</details>
#
# 3. Two intervals of two models overlap. Why is that no verdict?
#
# <details><summary>Answer</summary>On the same images the difference has its own, narrower interval, (21.5).</details>
#
# 4. Why must the noise in (21.7) not depend on the image?
#
# <details><summary>Answer</summary>Then f would depend on later pixels through the noise, and the sum need not be 1.</details>

# %% [markdown]
# ## Take-aways
#
# - Rank numbers of one kind only; a bound below an exact value is the one exception.
# - The VAE hallucinates, the GAN forgets, the chain of conditionals does neither and takes a step for every pixel.
# - Compare on the same images, and report the interval of the *difference*.
# - Trust no reported likelihood: ask for conditionals, hide the answer, and take the softmax yourself.
#
# **Your turn.** Write a file with a class `Model` that beats 78.3 nats on the digits after 60 processor seconds of training, and run `garm challenge my_model.py`. The referee is exercise 4, in a sandbox, with test images turned or mirrored so that a stored copy does not help ([rules](../docs/challenge.md)).
#
# ## Where next
#
# - Theis, van den Oord, Bethge, *A Note on the Evaluation of Generative Models*, ICLR 2016, arXiv 1511.01844; Lucic, Kurach, Michalski, Gelly, Bousquet, *Are GANs Created Equal? A Large-Scale Study*, NeurIPS 2018, arXiv 1711.10337.
# - Efron, Tibshirani, *An Introduction to the Bootstrap*, Chapman & Hall 1993; Bouthillier et al., *Accounting for Variance in Machine Learning Benchmarks*, MLSys 2021, arXiv 2103.03098.
# - Vovk, Wang, *E-values: Calibration, Combination and Applications*, Annals of Statistics 49, 2021, arXiv 1912.06116; Blum, Hardt, *The Ladder: A Reliable Leaderboard for Machine Learning Competitions*, ICML 2015, arXiv 1502.04585.
# - Newer families on the same axes: Ho, Jain, Abbeel, *Denoising Diffusion Probabilistic Models*, NeurIPS 2020, arXiv 2006.11239, whose likelihood is a bound; Kingma, Salimans, Poole, Ho, *Variational Diffusion Models*, NeurIPS 2021, arXiv 2107.00630, which tightens it.
# - In the library, read [`scores.py`](../garm_course/evaluation/scores.py) and [`challenge.py`](../garm_course/grading/challenge.py).

# %%
claims()
