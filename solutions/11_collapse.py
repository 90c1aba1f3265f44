# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 11 · Tighter bounds and posterior collapse
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/11_collapse.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F11_collapse.ipynb)
#
# **When a VAE reports a good bound and an empty code, what went wrong: the bound, the training, or nothing at all?**
#
# | | |
# |---|---|
# | Time | 85 minutes; the cells run in about half a minute |
# | Before this | the ELBO, its two terms and the reparameterized draw of [lesson 10](10_vae.ipynb); the gated PixelCNN of [lesson 04](04_pixelcnn.ipynb), which is a decoder here |
# | Afterwards you can | *derive* the importance-weighted bound and why it rises, *implement* it and free bits, *diagnose* posterior collapse from curves and by a swap test, *predict* which latents of a linear VAE collapse, *compare* models by rate and distortion |
# | Papers | Burda, Grosse, Salakhutdinov, *Importance Weighted Autoencoders*, ICLR 2016, arXiv [1509.00519](https://arxiv.org/abs/1509.00519) · Lucas, Tucker, Grosse, Norouzi, *Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse*, NeurIPS 2019, arXiv [1911.02469](https://arxiv.org/abs/1911.02469) · Alemi, Poole, Fischer, Dillon, Saurous, Murphy, *Fixing a Broken ELBO*, ICML 2018, arXiv [1711.00464](https://arxiv.org/abs/1711.00464) · Rainforth, Kosiorek, Le, Maddison, Igl, Wood, Teh, *Tighter Variational Bounds are Not Necessarily Better*, ICML 2018, arXiv [1802.04537](https://arxiv.org/abs/1802.04537) |

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
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from garm_course import (
    budget, check, claims, fit, guess, load, load_pretrained, recorded, recorded_on, recorded_study, report, seed, show,
)  # fmt: skip
from garm_course.autoregressive import GatedPixelCNN
from garm_course.distributions import Gaussian
from garm_course.evaluation import rate_distortion
from garm_course.latent import (
    MLPVAE, PPCA, VAE, GaussianPosterior, MLPEncoder, NegativeELBO, StandardNormal, kl_diag_gaussian, leave_one_out,
    reparameterize,
)  # fmt: skip
from garm_course.lessons import lesson11
from garm_course.lessons.lesson11 import Sweep

# %% [markdown]
# ## 1 The question, in pictures
#
# Lesson 10 trained VAEs whose decoder draws all pixels of an image independently, given the latents $z$. The pictures were blurred, and the likelihood was behind that of a PixelCNN. So take the best of both: let a **PixelCNN be the decoder**.
# It reads the earlier pixels *and* $z$, so the latents can carry what is global, which digit and how slanted, and the PixelCNN the strokes. The encoder is a perceptron, the prior $p(z)$ is $N(0, I)$ in 8 dimensions.

# %%
train, validation = load("digits", "train"), load("digits", "validation")


def pixel_vae() -> VAE:
    seed(0)
    decoder = GatedPixelCNN((1, 8, 8), 17, channels=16, layers=2, context=8)  # every gate also sees z
    encoder = MLPEncoder((1, 8, 8), 17, outputs=16, hidden=(64,))  # 8 means, 8 log-variances
    return VAE(encoder, decoder, (1, 8, 8), StandardNormal(8), levels=17)

# %% [markdown]
# The loss is minus the ELBO: $-\log p(x \mid z) + \mathrm{KL}(q(z \mid x) \,\|\, p(z))$ at one draw $z \sim q(z \mid x)$, in nats per image. It is the library's; this version also notes the second term at each step, because this lesson is about it. (`weight` and `lam` come later; now the weight is 1 and `lam` is 0.)

# %%
class Watched(NegativeELBO):  # the library's loss, with a memory of its second term
    def __init__(self, **options):
        super().__init__(**options)
        self.kl = []  # nats per image, one number a step

    def __call__(self, model: VAE, x: Tensor, y: Tensor | None = None) -> Tensor:
        reconstruction, kl = model.terms(x)  # log p(x | z) (B,), and the KL of each image and latent (B, Z)
        self.kl.append(kl.sum(1).mean().item())
        rate = free_bits(kl, self.lam) if self.lam else kl.sum(1).mean()
        return self.weight * rate - reconstruction.mean()


STEPS = budget(smoke=2, quick=200, full=200)


def train_pixel_vae(loss: Watched, label: str) -> VAE:
    model = pixel_vae()
    fit(model, train, loss=loss, steps=STEPS, lr=8e-3, ema=0.98, evaluate_every=STEPS, label=label)
    return model


plain = Watched()
model = train_pixel_vae(plain, "PixelCNN decoder")

# %%
figures = rate_distortion(model, validation)
report("validation -ELBO with a PixelCNN decoder", sum(figures.values()), claimed=90, tolerance=4, unit="nats")
report("its KL", figures["rate"], claimed=0.01, tolerance=0.1, unit="nats")
for name, nats in (("vae", 89.66), ("gated_pixelcnn", 80.42)):
    value = recorded(f"{name}-digits")["validation"]["nats"]
    report(f"for scale, recorded: {name}", value, claimed=nats, tolerance=0.01, unit="nats")

# %% [markdown]
# About 90 nats after 200 steps (87 to 92 for other seeds). For scale, two recorded models, both larger and trained to their end: the VAE of lesson 10, whose bound with 500 samples is 89.7, and a gated PixelCNN without any latents, 80.4. A short training comes near the one and has a way to go to the other. It looks like a good
# start; only the second number is odd. Now use the code for something: encode eight validation digits, and draw an image from each code. Before you run it: what should come out?

# %%
with torch.no_grad():
    z = model.encode(validation.x).sample(1, seed(0))  # (180, 1, 8)
drawn = model.draw(z[:, 0], rng=seed(3))
show.panels(
    {"validation digits": validation.x[:8], "drawn from their codes": drawn[:8]}, levels=17, rows=2, cols=4,
    title="The images drawn from the codes have nothing to do with the digits",
    alt="Left: eight validation digits. Right: eight images that were drawn from their codes; they have strokes, "
    "but most of them do not show the same digit.",
)  # fmt: skip

# %% [markdown]
# The images are a PixelCNN's, and they are other digits. Let a judge count it, a support vector machine: how often does it read the same digit in the original and in what was drawn from its code? And a test that needs no judge, the **swap test**: what happens to
# $\log p(x \mid z)$ when each image gets the code of *another* image?

# %%
guess("drawn images that show the digit of the original", ...)  # if you like: a number in place of the dots

# %%
judge = SVC(gamma=0.001).fit(train.x.flatten(1), train.y)
originals = judge.predict(validation.x.flatten(1))
right = (originals == validation.y.numpy()).mean()
report("validation digits that the judge reads right", right, claimed=0.99, tolerance=0.01)


@torch.no_grad()
def swap_test(model: VAE) -> tuple[float, float]:
    z = model.encode(validation.x).sample(1, seed(0))
    own, other = (model.log_likelihood(validation.x, code).mean().item() for code in (z, z.roll(1, 0)))
    same = (judge.predict(model.draw(z[:, 0], rng=seed(3)).flatten(1)) == originals).mean()
    return own - other, same


lost, same = swap_test(model)
report("nats lost with the code of another image", lost, claimed=0.0, tolerance=0.3, unit="nats")
report("drawn images that show the digit of the original", same, claimed=0.10, tolerance=0.08)

# %% [markdown]
# One in ten, which is chance, and the code of another image does just as well. The decoder **ignores** $z$ (all but), the encoder says nearly the same for every image, and the bound does not complain. This is **posterior collapse**: $q(z \mid x) = p(z)$ for all $x$, so KL = 0.
#
# Three suspects: the *bound* is too loose (sections 2 and 7), the *training* got stuck (section 5), or the objective gets exactly what it asks for (sections 4 and 6). We go through them in turn.
#
# ## 2 A tighter bound
#
# The ELBO is $\mathbb E \log w$ with the importance weight $w = p(x \mid z)\, p(z) / q(z \mid x)$, $z \sim q(z \mid x)$. The weight is an unbiased estimate of the likelihood, $\mathbb E\, w = \int q\, \frac{p(x, z)}{q}\, dz = p(x)$, and so is the mean of $k$ of them. The logarithm is concave, so by Jensen's inequality the logarithm of any unbiased
# estimate is a lower bound on average, and of a *better* estimate a better one:
#
# $$\mathcal L_k = \mathbb E \log \frac1k \sum_{j=1}^{k} w_j, \qquad \mathcal L_1 = \text{ELBO} \le \mathcal L_k \le \mathcal L_{k+1} \le \log p(x) \tag{11.1}$$
#
# This is the bound of the importance-weighted autoencoder, IWAE. As $k$ grows it tends to $\log p(x)$, if the weights are bounded. Your function computes what is inside the expectation.

# %% [markdown]
# **Exercise 1 · `iwae_bound`** · ●●○ · 8 minutes
#
# Write $\log \frac1k \sum_j w_j$ for weights that are given by their logarithms. It is how every VAE in this course is scored, and the numbers are hostile: at $\log w = -800$, `exp` gives 0 even in float64.
#
# - `log_w`: `(B, k)` in nats, one row of $k$ samples per example, with a gradient. Rows may differ by hundreds of nats.
# - Returns `(B,)` in nats, one value per example, of the same dtype, differentiable. Do not average over the batch.
#
# Example: `iwae_bound(torch.tensor([[0.0, math.log(3)]]))` is `[0.6931]`, since $\frac12 (1 + 3) = 2$; and `torch.tensor([[-800., -800.]])` gives `[-800.]`.
#
# <details><summary>Hint 1</summary>Subtract the largest log-weight of each row before <code>exp</code>, and add it again after the logarithm. <code>torch.logsumexp</code> does both.</details>
# <details><summary>Hint 2</summary>A mean is a sum divided by k. What does dividing by k become in the logarithm?</details>

# %%
@check
def iwae_bound(log_w: Tensor) -> Tensor:
    """log (1/k) sum_j exp(log_w[:, j]): (B, k) -> (B,) nats."""
    ### BEGIN SOLUTION
    return log_w.logsumexp(1) - math.log(log_w.shape[1])
    ### END SOLUTION

# %% [markdown]
# **Check (11.1) where everything is known.** Lesson 10's probabilistic PCA has an exact $\log p(x)$ and an exact posterior. We give it two bad encoders. Both shrink the true posterior mean to 0.6 of it. The bad one also shifts it by 0.25, and has one fixed variance, 0.15; the worse one has variance 1, more than ten times that of the posterior. Every $k$ uses the *same* 256 draws,
# in groups of $k$.

# %%
W = torch.tensor([[2.0, 0.3], [-1.1, 1.4], [0.4, -0.8], [1.5, 0.9], [0.2, 1.2]], dtype=torch.float64)
ppca, prior = PPCA(W, torch.tensor([0.5, -1.0, 0.3, 0.0, 2.0], dtype=torch.float64), sigma2=0.5), StandardNormal(2)
rng = seed(0)
z = torch.randn(200, 2, generator=rng, dtype=torch.float64)
x = z @ W.T + ppca.b + math.sqrt(0.5) * torch.randn(200, 5, generator=rng, dtype=torch.float64)


def log_weights(x: Tensor, mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    z = reparameterize(mu[:, None], logvar[:, None], eps)  # (B, k, 2)
    return ppca.log_likelihood(x[:, None], z) + prior.log_prob(z) - GaussianPosterior(mu, logvar).log_prob(z)

# %%
mean, covariance = ppca.posterior(x)
eps = torch.randn(200, 256, 2, generator=rng, dtype=torch.float64)
encoders = {"bad q": (0.6 * mean + 0.25, 0.15), "worse q": (0.6 * mean, 1.0)}
bounds, tables = {}, {}
for name, (mu, variance) in encoders.items():
    logvar = torch.full_like(mu, math.log(variance))
    tables[name] = log_weights(x, mu, logvar, eps)  # (200, 256)
    elbo = (ppca.expected_log_likelihood(x, mu, logvar) - kl_diag_gaussian(mu, logvar)).mean().item()
    groups = {k: tables[name].reshape(-1, k) for k in (1, 2, 4, 8, 16, 32, 64, 128, 256)}
    bounds[name] = {k: iwae_bound(rows).mean().item() for k, rows in groups.items()}
    some = ", ".join(f"L_{k} {bounds[name][k]:.2f}" for k in (1, 4, 64))
    print(f"{name:8s} exact ELBO {elbo:.2f}; {some}")
log_p = ppca.log_prob(x).mean().item()
report("log p(x) of the data, exact", log_p, claimed=-7.92, tolerance=0.3, unit="nats")
report("L_1 of the bad q", bounds["bad q"][1], claimed=-11.3, tolerance=0.5, unit="nats")
report("L_64 of the bad q", bounds["bad q"][64], claimed=-8.15, tolerance=0.3, unit="nats")
report("largest variance of the exact posterior", ppca.posterior(x)[1].diagonal().max(), claimed=0.092, tolerance=0.001)
behind = {name: log_p - values[256] for name, values in bounds.items()}
report("what the bad q lacks at k 256", behind["bad q"], claimed=0.13, tolerance=0.08, unit="nats")
report("what the worse q lacks at k 256", behind["worse q"], claimed=0.02, tolerance=0.02, unit="nats")

# %%
show.curves(
    {name: ([math.log2(k) for k in values], list(values.values())) for name, values in bounds.items()},
    baselines={"log p(x)": log_p}, xlabel="log₂ k: doublings of the number of samples",
    ylabel="bound (nats per example)",
    title="The bound rises with every doubling, and never crosses log p(x)",
    alt="Bounds against log2 k: from about -11 for a bad and -20 for a worse q at k = 1 they rise at every doubling "
    "towards log p(x) = -7.9, which both come near at k = 256.",
)  # fmt: skip

# %% [markdown]
# Both end near $\log p(x)$, the bad $q$ from 3.3 nats below it and the worse one from 12. And the worse one ends ahead: it wastes most of its draws, but a few of 256 always lie where the posterior is. The bad $q$ stands beside it, so the draws that matter are rare, and their weights are huge. For few samples a $q$ should
# be near; for many it should be *wide*. So a loose bound can be tightened after the fact, by more samples. That also settles the first suspect: a bound that is loose *because $q$ is bad* would be much tighter with $k$ samples.

# %%
with torch.no_grad():
    table = model.log_weights(validation.x, 8, rng=seed(1))  # (180, 8), of the collapsed model
gained = (iwae_bound(table) - table.mean(1)).mean().item()
report("what 8 samples gain for the collapsed model", gained, claimed=0.15, tolerance=0.14, unit="nats")

# %% [markdown]
# Little more than a tenth of a nat: the collapsed model's bound was nearly tight. If a decoder ignores $z$ altogether, the prior *is* the exact posterior, and nothing at all is to be gained; here a trace of $z$ is left. Not the bound, then.
#
# **Why does it rise with $k$?** Let $\bar w$ be the mean of all $k$ weights and $\bar w_{-j}$ the mean of all but the $j$-th. The mean of the $\bar w_{-j}$ over $j$ is $\bar w$ again, because each weight is left out once. So Jensen's inequality holds for these $k$ numbers *themselves*, without any expectation:
#
# $$\log \bar w \;\ge\; \frac1k \sum_{j=1}^{k} \log \bar w_{-j} \tag{11.2}$$
#
# Take the expectation on both sides: on the left is $\mathcal L_k$, on the right each term is $\mathcal L_{k-1}$. It must hold for every single row of every table, whatever the weights are.

# %%
gaps = iwae_bound(tables["worse q"][:, :6]) - leave_one_out(tables["worse q"][:, :6])  # (200,)
report("rows of 200 that violate (11.2)", int((gaps < 0).sum()), claimed=0, tolerance=0, exact=True)
print(f"smallest gap {gaps.min().item():.4f} nats, mean {gaps.mean().item():.2f} nats")

# %% [markdown]
# **When is there nothing to gain?** When all weights are equal. By Bayes' rule $p(x, z) = p(x)\, p(z \mid x)$, so
#
# $$q(z \mid x) = p(z \mid x) \;\Rightarrow\; \log w_j = \log p(x) \;\text{ for every } j \tag{11.3}$$

# %%
posterior = torch.distributions.MultivariateNormal(mean[:, None], covariance)  # correlated, so not a diagonal q
z = posterior.sample((7,)).movedim(0, 1).squeeze(2)  # (200, 7, 2)
log_w = ppca.log_likelihood(x[:, None], z) + prior.log_prob(z) - posterior.log_prob(z)
error = (log_w - ppca.log_prob(x)[:, None]).abs().max().item()
report("largest |log w - log p(x)| with the exact posterior", error, claimed=0.0, tolerance=1e-9, unit="nats")

# %% [markdown]
# ## 3 How to see a collapse
#
# A model has many latents, and they collapse one by one. A latent $j$ is **active** if what the encoder says of it varies over the data, by more than a small threshold (the usual one is 0.01; the prior's variance is 1):
#
# $$A_j = \mathrm{Var}_x\!\left(\mathbb E_{q(z \mid x)}[z_j]\right) > 0.01 \tag{11.4}$$

# %% [markdown]
# **Exercise 2 · `active_units`** · ●○○ · 4 minutes
#
# Count the active latents by (11.4). It is the first number to look at when a VAE is trained.
#
# - `mu`: `(N, Z)`, the mean of $q(z \mid x)$ for each of $N$ examples. `threshold`: of the *variance*, 0.01 where none is given.
# - Returns how many columns have a variance over the $N$ examples above the threshold (divided by $N$ or by $N - 1$, both count).
#
# Example: `active_units(torch.tensor([[3.0, -1.0], [3.0, 1.0]]))` is 1: the first latent says 3 whatever the image is.
#
# <details><summary>Hint 1</summary>The variance is taken over the examples, which are the rows: axis 0.</details>
# <details><summary>Hint 2</summary>Compare a vector of Z variances with the threshold, and sum the truth values.</details>

# %%
@check
def active_units(mu: Tensor, threshold: float = 0.01) -> int:
    """How many columns of mu (N, Z) have a variance above the threshold."""
    ### BEGIN SOLUTION
    return int((mu.var(0) > threshold).sum())
    ### END SOLUTION

# %% [markdown]
# First on means that are made up: a constant offset of 3, a standard deviation of 0.09, two real signals. Then on two models: the collapsed one, and the recorded VAE of lesson 10 with 16 latents, whose decoder draws pixels independently.

# %% tags=["exact"]
made_up = torch.randn(500, 4, generator=seed(0)) * torch.tensor([0.0, 0.09, 0.5, 1.0]) + torch.tensor([3.0, 0, 0, 0])
report("active units among the four made up", active_units(made_up), claimed=2, tolerance=0, exact=True)
factored = load_pretrained("vae-digits")
for name, vae in (("collapsed", model), ("recorded VAE", factored)):
    with torch.no_grad():
        q = vae.encode(validation.x)
    nats = q.kl().mean(0).sort(descending=True).values.tolist()
    print(f"{name}: {vae.latents} latents; nats of each, from the busiest:")
    print("   ", "  ".join(f"≈ {v:.2f}" for v in nats))

# %%
guess("active latents of the recorded VAE, of 16", ...)  # if you like: a number in place of the dots

# %%
with torch.no_grad():
    q = factored.encode(validation.x)
busy = int((q.kl().mean(0) > 0.1).sum())
report("active latents of the recorded VAE, of 16", active_units(q.mean), claimed=10, tolerance=0, exact=True)
report("its latents with more than 0.1 nats", busy, claimed=8, tolerance=0, exact=True)
lost, same = swap_test(factored)
report("nats it loses with the code of another image", lost, claimed=117, tolerance=5, unit="nats")
report("images drawn from its codes that show the digit", same, claimed=0.9, tolerance=0.1)

# %% [markdown]
# This is the other extreme: with the code of another image it loses more than 100 nats, since the code is all that its pixels have in common. Yet half of its 16 latents are collapsed as well. Two of the ten "active" ones carry less than 0.03 nats: 0.01 is a lenient threshold, so look at the KL of each latent too.
#
# Is it a fault that half of them are silent? The next section has a model in which that can be computed.

# %% [markdown]
# ## 4 When collapse is the best there is
#
# Take a VAE without any nonlinearity: decoder $N(Wz + b, \sigma^2 I)$, encoder $N(Vx + c, \mathrm{diag})$. Its true likelihood is that of PPCA, $N(b, WW^\top + \sigma^2 I)$. Choose the columns of $W$ orthogonal: then the exact posterior has a diagonal covariance, the encoder can represent it, and
# the ELBO *equals* the likelihood. So the best ELBO is the best PPCA, and nothing that collapses there can be blamed on the bound. Which columns does it keep?
#
# Along an eigenvector of the data's covariance with eigenvalue $\lambda_j$ the data have variance $\lambda_j$, the model has $v = \|w_j\|^2 + \sigma^2$, and the log-likelihood per example is $-\frac12 (\ln 2\pi v + \lambda_j / v)$. Its derivative vanishes at $v = \lambda_j$ and nowhere else. But $v$ cannot be below $\sigma^2$.
# If $\lambda_j \le \sigma^2$, the best is $v = \sigma^2$, a column of *zeros*: the decoder ignores this latent, and its posterior is the prior. Otherwise the posterior has variance $\sigma^2 / \lambda_j$ and its KL, averaged over the data, is half the logarithm of $\lambda_j / \sigma^2$:
#
# $$\|w_j\|^2 = \max(\lambda_j - \sigma^2,\, 0), \qquad \mathrm{KL}_j = \tfrac12 \ln \max(\lambda_j / \sigma^2,\, 1) \tag{11.5}$$
#
# If there are fewer columns than such directions, the largest eigenvalues get them. If $\sigma^2$ is learned, it becomes the mean of the eigenvalues that no column takes (Tipping and Bishop, 1999). Lucas and colleagues (2019) make this precise: in the linear VAE, collapse is a property of the *global optimum of the likelihood*, and the ELBO adds no bad optimum of its own.
#
# **Train one.** Five-dimensional data whose sample covariance has the eigenvalues 9, 4, 2, ½, ½ exactly, and four latents. By (11.5) the columns must end with squared lengths 8.5, 3.5, 1.5 and 0, and $\sigma^2$ at ½. Nothing in the code below knows this.

# %%
eigenvalues = torch.tensor([9.0, 4.0, 2.0, 0.5, 0.5])
noise = torch.randn(500, 5, generator=seed(0))
noise = noise - noise.mean(0)
white = noise @ torch.linalg.inv(torch.linalg.cholesky(noise.T @ noise / 500)).T  # covariance I, exactly
rotation = torch.linalg.qr(torch.randn(5, 5, generator=seed(1))).Q
flat = (white * eigenvalues.sqrt()) @ rotation.T
linear_data = TensorDataset(flat.reshape(500, 1, 1, 5), torch.zeros(500))

# %%
class LinearEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.logvar = nn.Linear(5, 4), nn.Parameter(torch.zeros(4))  # one variance for all x

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.mean(x.flatten(1)), self.logvar.expand(len(x), 4)], 1)


class LinearDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.logvar = nn.Linear(4, 5), nn.Parameter(torch.zeros(()))  # ln sigma^2, shared

    def forward(self, z: Tensor) -> Tensor:
        m = self.mean(z)
        return torch.stack([m, self.logvar.expand_as(m)], -1).reshape(len(z), 1, 1, 5, 2)

# %%
seed(0)
linear = VAE(LinearEncoder(), LinearDecoder(), (1, 1, 5), StandardNormal(4), head=Gaussian())
linear_steps = budget(smoke=2, quick=600, full=600)
fit(linear, linear_data, loss=NegativeELBO(), steps=linear_steps, batch_size=500, lr=4e-2, ema=0.99,
    evaluate_every=linear_steps, label="linear VAE")  # fmt: skip
loadings = linear.decoder.mean.weight.detach()  # (5, 4)
lengths = (loadings**2).sum(0).sort(descending=True).values
sigma2 = linear.decoder.logvar.exp().item()
print("squared lengths of the columns:", "  ".join(f"≈ {v:.2f}" for v in lengths.tolist()))

# %% tags=["exact"]
for j, optimum in enumerate((8.5, 3.5, 1.5, 0.0)):
    tolerance = 0.25 if j == 0 else 0.12
    report(f"squared length of column {j + 1}", lengths[j].item(), claimed=optimum, tolerance=tolerance)
report("learned variance of the noise", sigma2, claimed=0.5, tolerance=0.03)
with torch.no_grad():
    nats = linear.encode(linear_data.tensors[0]).kl().mean(0).sort(descending=True).values
for j, value in enumerate((9, 4, 2, 0.5)):
    print(f"KL of latent {j + 1}: ≈ {nats[j].item():.3f} nats, by (11.5) {0.5 * math.log(value / 0.5):.3f}")
report("KL of the silent latent", nats[3].item(), claimed=0.0, tolerance=0.02, unit="nats")

# %%
with torch.no_grad():
    draws = [linear.elbo(linear_data.tensors[0]).bound.mean().item() for _ in range(200)]
    elbo = sum(draws) / len(draws)
best = PPCA.fit(flat.double(), 4).log_prob(flat.double()).mean().item()
report("best log-likelihood of any such model, exact", best, claimed=-8.540, tolerance=0.001, unit="nats")
report("ELBO of the linear VAE", elbo, claimed=-8.545, tolerance=0.03, unit="nats")

# %% [markdown]
# The bound is tight, the likelihood is the best possible, and one latent of four is silent. It should be: a fourth column would have to explain variance that the noise explains already. **A silent latent is not a symptom by itself.** It says: what this latent could explain, something else explains for less.
#
# We arranged it so: $\sigma^2$ is learned, and the two smallest eigenvalues are equal, so that the noise fits both directions. With 0.6 and 0.4 in their place the noise would fit the smaller one, and the fourth column would earn its keep with $0.6 - 0.4$:

# %%
untied = (white * torch.tensor([9.0, 4.0, 2.0, 0.6, 0.4]).sqrt()) @ rotation.T
fourth = (PPCA.fit(untied.double(), 4).W ** 2).sum(0).min()
report("squared length of the shortest column if the tie is broken", fourth, claimed=0.2, tolerance=0.001)

# %% [markdown]
# In the linear model "something else" is the noise $\sigma^2$. In the model of section 1 it is the PixelCNN, which models everything: information that the decoder finds in the earlier pixels is free, and through $z$ it costs KL. Is collapse the optimum there too? Nothing above proves it, and the course's own records speak against it. Given the class, a
# gated PixelCNN scores better than without, by more than the class costs as a code, $\ln 10$:

# %%
given = recorded("gated_pixelcnn-digits")["validation"]["nats"]
given -= recorded("conditional_gated_pixelcnn-digits")["validation"]["nats"]
report("what a recorded gated PixelCNN gains by knowing the class", given, claimed=4.2, tolerance=0.05, unit="nats")
report("what the class costs", math.log(10), claimed=2.303, tolerance=0.001, unit="nats")

# %% [markdown]
# A code that carried only the class would cost $\ln 10 = 2.3$ nats of KL and save 4.2 nats of reconstruction (on validation images, with the true label), so the best model uses its code. Collapse is not the optimum here; it is where training *starts*. Early on the decoder learns faster from the earlier pixels than from $z$, the KL term pushes the code toward the prior, and a code that carries nothing gives the decoder no reason to listen. That is our second suspect, and we turn to it next.
#
# ## 5 Cures, and what they cost
#
# If you want a code, ask for it. Three ways:
#
# 1. **Annealing** (Bowman and colleagues, 2016): multiply the KL by a weight that rises from 0 to 1 during training, so that $z$ is in use before it has to be paid for. It changes the path, not the goal.
# 2. **Free bits** (Kingma and colleagues, 2016): every latent may carry $\lambda$ nats at no cost. It changes the goal.
# 3. **A weaker decoder** (Chen and colleagues, 2017; Gulrajani and colleagues, 2017): let the decoder see few earlier pixels, or none, so that what is global has to come through $z$. It changes the model.
#
# The penalty with free bits uses the KL of latent $j$, averaged over the batch, $\overline{\mathrm{KL}}_j$:
#
# $$P = \sum_{j=1}^{Z} \max\left(\lambda,\; \overline{\mathrm{KL}}_j\right), \qquad \frac{\partial P}{\partial\, \overline{\mathrm{KL}}_j} = \begin{cases} 0 & \overline{\mathrm{KL}}_j < \lambda \\ 1 & \overline{\mathrm{KL}}_j > \lambda \end{cases} \tag{11.6}$$
#
# Below $\lambda$ the gradient is zero, so nothing pushes a latent to collapse.

# %% [markdown]
# **Exercise 3 · `free_bits`** · ●●○ · 6 minutes
#
# Write the penalty $P$ of (11.6). The order of mean, maximum and sum is the whole point.
#
# - `kl`: `(B, Z)`, the KL of each image and latent in nats. `lam`: $\lambda$ in nats, for each latent.
# - Returns a scalar tensor: the mean over the batch for each latent, then the maximum with `lam`, then the sum over latents.
#
# Example: `free_bits(torch.tensor([[0.0, 2.0], [0.2, 4.0]]), 0.5)` has the means 0.1 and 3, so it is $0.5 + 3 = 3.5$.
#
# <details><summary>Hint 1</summary>The batch is axis 0. After the mean there are Z numbers left.</details>
# <details><summary>Hint 2</summary><code>tensor.clamp(min=lam)</code> is the maximum, and its gradient is that of (11.6).</details>

# %%
@check
def free_bits(kl: Tensor, lam: float) -> Tensor:
    """sum_j max(lam, mean over the batch of KL_j): (B, Z) -> scalar, nats."""
    ### BEGIN SOLUTION
    return kl.mean(0).clamp(min=lam).sum()
    ### END SOLUTION

# %%
kl = torch.tensor([[0.0, 2.0, 0.4], [0.2, 4.0, 0.9]], requires_grad=True)
free_bits(kl, 0.5).backward()
print("dP/dKL, per image and latent:", kl.grad.tolist())
below, above = kl.grad[:, 0].sum(), kl.grad[:, 1].sum()
report("gradient of the first latent, which is below lambda", below, claimed=0, tolerance=0, exact=True)
report("gradient of the second, which is above", above, claimed=1, tolerance=0, exact=True)

# %% [markdown]
# Now the model of section 1 again, the same start and the same 200 steps: once with annealing over the first half, once with free bits of $\lambda = 1$ nat for each of 8 latents. `Watched` uses *your* `free_bits`.

# %%
runs = {"plain": (model, plain)}
for name, options in (("annealed", {"warmup": 0.5}), ("free bits", {"lam": 1.0})):
    loss = Watched(**options)
    runs[name] = train_pixel_vae(loss, name), loss

# %%
show.curves(
    {name: (range(1, STEPS + 1), loss.kl) for name, (_, loss) in runs.items()}, ylabel="KL (nats per image)",
    title="In 200 steps, annealing only delays the collapse; free bits prevent it", ylim=(0, 16),
    alt="KL during training: the plain run falls to 0 within 20 steps; the annealed one first leaves the picture at "
    "the top and falls to 0 by step 50; the one with free bits ends near 7 nats.",
)  # fmt: skip

# %%
found = {}
for name, (trained, _) in runs.items():
    figures, (lost, same) = rate_distortion(trained, validation), swap_test(trained)
    found[name] = [figures["rate"], sum(figures.values()), lost, same]
    total = found[name][1]
    print(f"{name:10s} KL ≈ {figures['rate']:.2f}  -ELBO ≈ {total:.2f}  swap ≈ {lost:.2f}  same digit ≈ {same:.2f}")
report("KL after annealing", found["annealed"][0], claimed=0.03, tolerance=0.05, unit="nats")
report("KL with free bits", found["free bits"][0], claimed=6.9, tolerance=1.0, unit="nats")
report("swap test with free bits", found["free bits"][2], claimed=6, tolerance=4, unit="nats")
worse = found["free bits"][1] - found["plain"][1]
report("-ELBO with free bits minus -ELBO without", worse, claimed=4, tolerance=3, unit="nats")
with torch.no_grad():
    q = runs["free bits"][0].encode(validation.x)
print("with free bits, nats of each latent:", "  ".join(f"≈ {v:.2f}" for v in q.kl().mean(0).tolist()))
report("active latents with free bits, of 8", active_units(q.mean), claimed=8, tolerance=0, exact=True)

# %% [markdown]
# Read the curves as a diagnosis. *Plain*: the KL rises to about 2 nats in the first steps and is gone after fifteen, although the bound improves for another two hundred. *Annealed*: while the weight is a few per cent, $z$ carries far more nats than it needs; before the weight reaches a half, the decoder has learned to do without. *Free bits*: 7 of the 8 free nats are in use, and with another image's code the model loses several nats. That measures *use*, not benefit: a wrong code also misleads.
#
# **Do 200 steps decide?** Section 4 says that a code could save more than it costs. A recorded study (`python studies/collapse_steps.py`) trained the same three runs for 200 and for 600 steps, with three seeds each.

# %%
longer = recorded_study("collapse_steps-digits")["runs"]


def at(loss: str, steps: int, key: str) -> list[float]:
    return [run[key] for run in longer if (run["loss"], run["steps"]) == (loss, steps)]


show.table(
    ["three seeds", "KL", "-ELBO", "swap", "same digit"],
    [
        [f"{loss}, {steps} steps", *(" / ".join(f"{v:.{d}f}" for v in at(loss, steps, key))
                                     for key, d in (("rate", 2), ("nats", 1), ("swap", 1), ("same", 2)))]
        for steps in (200, 600) for loss in runs
    ],
)  # fmt: skip
differences = torch.tensor(at("annealed", 600, "nats")) - torch.tensor(at("plain", 600, "nats"))
report("smallest KL after annealing, 600 steps", min(at("annealed", 600, "rate")), claimed=0.93, tolerance=0.01)
report("seeds in which annealing has the better bound, 600 steps", int((differences < 0).sum()), claimed=2, tolerance=0)
report("-ELBO, annealed minus plain, 600 steps", differences.mean(), claimed=-1.27, tolerance=0.01, unit="nats")

# %% [markdown]
# With 200 steps, annealing ends in an empty code. With 600 steps it ends with a code of 1 to 2 nats in all three seeds, which the decoder uses (another image's code costs 5 to 9 nats), and with a bound that is better in two seeds and 0.2 nats worse in the third. So the early collapse was a matter of *training*: the code came too late for a decoder that had already learned to do without. This is what section 4 predicts, a code of about the size of the class. The plain run stays empty.
#
# Free bits always fill the code, and the bound is worse by 2 to 6 nats: the model pays 7 nats of KL and saves less in the reconstruction. Others get a fuller code *and* a better bound from a full decoder: He et al. (2019) train the encoder more often than the decoder, because it lags behind; the δ-VAE (Razavi et al., 2019) commits to a rate. Giving up the autoregressive decoder is expensive: the recorded VAE with independent pixels has a tight bound of 89.3 nats (section 8), and a PixelCNN alone, trained to its end, has 80.4.
#
# Here is what came through: eight digits, and draws from their codes.

# %%
healthy = runs["free bits"][0]
with torch.no_grad():
    z = healthy.encode(validation.x[:8]).sample(2, seed(0))  # (8, 2, 8)
rows = [healthy.draw(z[:, i], rng=seed(3 + i)) for i in (0, 1)]
show.grid(
    torch.cat([validation.x[:8], *rows]), levels=17, rows=["digits", "first draw", "second draw"], cols=8,
    title="After 200 steps with free bits, the code hints at the digit",
    alt="Top: eight validation digits. Below: two draws from the code of each; some have the digit or its shape, "
    "most do not.",
)  # fmt: skip
report("same digit with free bits", found["free bits"][3], claimed=0.21, tolerance=0.08)

# %% [markdown]
# About one digit in five, twice chance: seven nats are in use, but 200 steps are few. After 600 steps it is one digit in four to one in two.
#
# ## 6 Rate and distortion
#
# Call the KL the **rate** $R$ and $-\mathbb E_q \log p(x \mid z)$ the **distortion** $D$, both averaged over the data. Then $-\text{ELBO} = R + D$, and two models with the same bound can divide it in any way. How much information do the codes hold? Lesson 10 split the rate, $R = I_q(x; z) + \mathrm{KL}(q(z)\,\|\,p(z))$, so it is at least the mutual information between image and code. On the other
# side, $D$ is a cross-entropy and at least $H(x \mid z) = H(x) - I_q(x; z)$. Together:
#
# $$H(x) - D \;\le\; I_q(x; z) \;\le\; \mathbb E_x \mathrm{KL}(q(z \mid x) \,\|\, p(z)) = R \tag{11.7}$$
#
# The ends give $R + D \ge H(x)$: no division of the bound gets below the entropy of the data. A rate of 0 means *no* information, whatever the network looks like. All of it holds for any $q$, $p(z)$ and $p(x \mid z)$: check it on a thousand random discrete models of 6 images and 4 codes.

# %%
g = seed(0)
p_x, q, p_z, p_xz = (torch.randn(1000, *s, generator=g, dtype=torch.float64).mul(2).softmax(-1)
                     for s in ((6,), (6, 4), (4,), (4, 6)))  # fmt: skip
joint = p_x[:, :, None] * q  # (1000, 6, 4)
q_z = joint.sum(1, keepdim=True)
information = (joint * (q / q_z).log()).sum((1, 2))
rate = (joint * (q / p_z[:, None]).log()).sum((1, 2))
distortion = -(joint * p_xz.transpose(1, 2).log()).sum((1, 2))
entropy = -(p_x * p_x.log()).sum(1)
broken = ((entropy - distortion > information + 1e-12) | (information > rate + 1e-12)).sum()
report("random models that violate (11.7), of 1,000", broken, claimed=0, tolerance=0, exact=True)

# %% [markdown]
# **The curve.** Train with the loss $D + \beta R$. A small $\beta$ makes the code cheap, a large one expensive, and the optima trace a curve. A line of constant loss has slope $-\beta$ in the plane of $R$ and $D$, so at its optimum the curve has exactly this slope. In the linear VAE with a fixed $\sigma^2$ the curve can be computed. Along direction $j$,
# minimize over decoder $w$, encoder mean $vx$ and encoder variance $s$:
#
# $$D_j + \beta R_j = \frac{\lambda_j (1 - wv)^2 + w^2 s}{2\sigma^2} + \frac{\beta}{2}\left(\lambda_j v^2 + s - 1 - \ln s\right) + \text{const.}$$
#
# The derivatives in $v$ and $s$ give $v = w / (w^2 + \beta\sigma^2)$ and $s = \beta\sigma^2 / (w^2 + \beta\sigma^2)$; put into the one in $w$, they leave $w^2 = \lambda_j - \beta\sigma^2$ if that is positive, and $w = 0$ if not. So with the squared error $d_j = \lambda_j (1 - wv)^2 + w^2 s$,
#
# $$d_j = \min(\lambda_j,\, \beta\sigma^2), \qquad R_j = \tfrac12 \ln \max\!\left(\frac{\lambda_j}{\beta\sigma^2},\, 1\right) \tag{11.8}$$
#
# This is Shannon's rate-distortion function of a Gaussian source, "reverse water-filling": $\beta\sigma^2$ is the water level, directions under water get nothing. Raising $\beta$ drowns one latent after the other. A numerical minimization from a start that knows nothing of it must find the same:

# %%
spectrum, floor = torch.tensor([9.0, 4.0, 2.0, 0.5], dtype=torch.float64), 0.5  # the lambda_j, and sigma^2
beta = torch.tensor([[0.7], [3.0], [10.0]], dtype=torch.float64)
w, v, log_s = (torch.full((3, 4), a, dtype=torch.float64, requires_grad=True) for a in (1.0, 0.2, -0.5))
optimizer = torch.optim.Adam([w, v, log_s], lr=0.02)
for _ in range(1500):
    error = spectrum * (1 - w * v) ** 2 + w**2 * log_s.exp()
    rate = 0.5 * (spectrum * v**2 + log_s.exp() - 1 - log_s)
    optimizer.zero_grad()
    (error / (2 * floor) + beta * rate).sum().backward()
    optimizer.step()

# %% tags=["exact"]
water = beta * floor
print("latents that are left at beta = 0.7, 3, 10:", (rate > 1e-3).sum(1).tolist())
off_d = (error - torch.minimum(spectrum, water)).abs().max()
off_r = (rate - 0.5 * (spectrum / water).clamp(min=1).log()).abs().max()
off = torch.maximum(off_d, off_r)
report("largest difference from (11.8)", off.detach(), claimed=0.0, tolerance=0.001)

# %% [markdown]
# **On digits** there is no formula, so ten values of $\beta$ were run, three seeds each, with a small VAE of 8 latents and independent pixels: `python studies/beta_sweep.py`, four minutes on one thread. First one of them live, $\beta = 6$, with the same settings and another seed.

# %%
study = recorded_study("beta_sweep-digits")
seed(7)
live = MLPVAE((1, 8, 8), 17, **study["config"])
settings = {**study["training"], "steps": budget(smoke=2, quick=1500, full=1500)}
fit(live, train, loss=NegativeELBO(beta=6.0, warmup=0.3), seed=7, label="beta 6", **settings)
figures = rate_distortion(live, validation)
report("rate at beta 6, live", figures["rate"], claimed=1.15, tolerance=0.2, unit="nats")
report("distortion at beta 6, live", figures["distortion"], claimed=102.0, tolerance=1.5, unit="nats")

# %% [markdown]
# Now the recorded curve, with a slider over the ten values. Look for three things: the dotted line of slope $-\beta$, which should touch the *training* curve (that is what was minimized); the bars of the latents, as they drown; and what is left of the digits.

# %%
lesson11.beta_sweep(study, validation.x, levels=17, beta=6.0)

# %%
sweep = Sweep(study, validation.x, 17)
for low, high, slope in zip(sweep.betas, sweep.betas[1:], sweep.chords(), strict=False):
    print(f"between beta = {low:4g} and {high:4g} the training curve has slope {slope:6.2f}")
report("slope between beta 4 and 6", sweep.chords()[6], claimed=-5.22, tolerance=0.01)
total = dict(zip(sweep.betas, sweep.rate["validation"] + sweep.distortion["validation"], strict=True))
report("validation R + D at beta 1", total[1.0], claimed=94.2, tolerance=0.1, unit="nats")
report("validation R + D at beta 1.5", total[1.5], claimed=93.8, tolerance=0.1, unit="nats")
report("rate at beta 12", sweep.rate["validation"][-1], claimed=0.0, tolerance=0.01, unit="nats")
at8 = sweep.betas.index(8.0)
report("rate at beta 8", sweep.rate["validation"][at8], claimed=0.1, tolerance=0.05, unit="nats")
report("distortion at beta 8", sweep.distortion["validation"][at8], claimed=107, tolerance=0.5, unit="nats")

# %% [markdown]
# The slopes lie where they should, between the two values of $-\beta$ or within 0.1 of that, although networks, steps and seeds are finite. At $\beta = 12$ all latents are under water: the rate is 0, and the model is one histogram per pixel (108 nats, the marginals of lesson 04).
#
# The two curves part: on new images the distortion hardly falls below 82 nats, however many nats the code spends. So the best bound *on validation data* is not at $\beta = 1$ but at 1.5: a little more pressure on the code regularizes. The optimum of the objective is at $\beta = 1$ only where training and validation data agree, and $\beta \ne 1$ is, strictly, another
# objective (Higgins and colleagues, 2017, call it $\beta$-VAE and use it to get latents that mean something).

# %% [markdown]
# ## 7 What a tighter bound does to the gradient
#
# Section 2 tightened the bound by more samples. Should one *train* with large $k$ then? First, how fast does the gap close? Let $r = \frac1k \sum_j w_j / p(x)$, which has mean 1. So $\log p(x) - \mathcal L_k = -\mathbb E \log r = \mathbb E\,[r - 1 - \log r]$, and $r - 1 - \log r \approx \frac12 (r - 1)^2$ near 1. The variance of a mean of $k$ is the variance of one divided by $k$:
#
# $$\log p(x) - \mathcal L_k \;\approx\; \frac{1}{2k} \mathrm{Var}\!\left(\frac{w}{p(x)}\right) \qquad \text{for large } k, \text{ if the variance is finite} \tag{11.9}$$
#
# With one latent the variance is an integral over a line: $w / p(x) = p(z \mid x) / q(z \mid x)$, so it is $\int p(z \mid x)^2 / q(z \mid x)\, dz - 1$.

# %%
narrow = PPCA(W[:, :1], ppca.b, 0.5)  # one latent
x1 = x[:1]
mean1, std1 = (narrow.posterior(x1)[i].squeeze() ** power for i, power in ((0, 1), (1, 0.5)))
p_post = torch.distributions.Normal(mean1, std1)
q_bad = torch.distributions.Normal(mean1 + 0.5 * std1, 1.3 * std1)  # wider: the variance of the weights is finite
line = torch.linspace(-6, 6, 20_001, dtype=torch.float64)
chi2 = torch.trapezoid((2 * p_post.log_prob(line) - q_bad.log_prob(line)).exp(), line).item() - 1
print(f"variance of w / p(x): {chi2:.4f}")
seed(0)
for k in (1, 4, 16, 64):
    z = q_bad.sample((20_000, k))
    r = (p_post.log_prob(z) - q_bad.log_prob(z)).exp().mean(1)
    gap = (r - 1 - r.log()).mean().item()
    print(f"k = {k:3d}: gap {gap:.5f} nats, by (11.9) {chi2 / (2 * k):.5f}")
report("gap at k 64 over its prediction", gap / (chi2 / (2 * k)), claimed=1.0, tolerance=0.08)

# %% [markdown]
# From $k = 16$ on the prediction fits: four times the samples, a quarter of the gap. Now the gradient. With $\nabla w_j = w_j \nabla \log w_j$ and the weights $\hat w_j = w_j / \sum_i w_i$, which sum to one,
#
# $$\nabla \log \frac1k \sum_j w_j = \frac{\sum_j \nabla w_j}{\sum_i w_i} = \sum_{j=1}^{k} \hat w_j\, \nabla \log w_j \tag{11.10}$$
#
# A draw that explains $x$ badly has no say: the decoder learns from the best of $k$ draws. Check it with autograd on a table of log-weights:

# %%
log_w = tables["bad q"][:, :5].clone().requires_grad_()
[gradient] = torch.autograd.grad(iwae_bound(log_w).sum(), log_w)
error = (gradient - log_w.detach().softmax(1)).abs().max()
report("largest difference from (11.10)", error, claimed=0.0, tolerance=1e-12)

# %% [markdown]
# For the *decoder's* parameters $\theta$ this is good news. As $k$ grows, the gradient of the bound tends to that of $\log p(x)$, which is of order 1, and its noise shrinks like $1/\sqrt k$. For the *encoder's* parameters $\phi$ it is not. $\log p(x)$ does not depend on them: they only move the gap, so by (11.9) the mean of their gradient
# shrinks like $1/k$, while its noise, that of a mean of $k$ terms, shrinks like $1/\sqrt k$. With the signal-to-noise ratio $\mathrm{SNR} = |\mathbb E\, g| / \mathrm{std}(g)$ of a gradient $g$ that is estimated from $k$ draws,
#
# $$\mathrm{SNR}_k(\theta) \propto \sqrt{k}, \qquad \mathrm{SNR}_k(\phi) \propto \frac{1}{\sqrt{k}} \tag{11.11}$$
#
# (Rainforth and colleagues, 2018, theorem 1). Measure it: many independent gradients at one $x$, with respect to a shift of the encoder's mean and a shift of the decoder's $b$.

# %%
def snr(k: int, repeats: int) -> tuple[float, float]:
    encoder = torch.full((repeats, 2), 0.15, dtype=torch.float64, requires_grad=True)  # the posterior mean, shifted
    decoder = torch.zeros(repeats, 5, dtype=torch.float64, requires_grad=True)  # a change of b
    mean, covariance = ppca.posterior(x1)
    logvar = (covariance.diagonal().log() + 0.3).expand(repeats, 2)  # and wider than the posterior
    eps = torch.randn(repeats, k, 2, generator=seed(k), dtype=torch.float64)
    bound = iwae_bound(log_weights(x1 - decoder, mean + encoder, logvar, eps))
    pair = torch.autograd.grad(bound.sum(), (encoder, decoder))
    return tuple((g.mean(0).abs() / g.std(0)).mean().item() for g in pair)


# %%
ks = (1, 2, 4, 8, 16, 32, 64)
ratios = [snr(k, budget(smoke=500, quick=20_000, full=20_000)) for k in ks]
slopes = [math.log2(ratios[-1][i] / ratios[2][i]) / 4 for i in (0, 1)]  # per doubling, from k = 4 to 64
report("exponent of k in the encoder's SNR", slopes[0], claimed=-0.48, tolerance=0.08)
report("exponent of k in the decoder's SNR", slopes[1], claimed=0.51, tolerance=0.04)

# %%
show.curves(
    {name: ([math.log2(k) for k in ks], [math.log2(r[i]) for r in ratios])
     for i, name in enumerate(("encoder", "decoder"))},
    xlabel="log₂ k: doublings of the number of samples", ylabel="log₂ of the signal-to-noise ratio",
    title="More samples: a clearer gradient for the decoder, a less clear one for the encoder",
    alt="Both on logarithmic axes: the decoder's signal-to-noise ratio rises by a half for each doubling of k, the "
    "encoder's falls by about a half.",
)  # fmt: skip

# %% [markdown]
# Half a unit per doubling, up and down. The limit $k \to \infty$ is a perfect bound whose encoder learns nothing. Averaging the gradient over $M$ independent bounds, which a batch does, helps both by $\sqrt M$; that is one reason why moderate $k$ works in practice.
#
# ## 8 Use the library: the recorded models
#
# How far is the recorded VAE's ELBO from its likelihood? `log_weights` draws, your function bounds.

# %%
most = budget(smoke=10, quick=500, full=500)
with torch.no_grad():
    table = factored.log_weights(validation.x, most, rng=seed(1)).double()  # (180, 500)
for k in (1, 5, 50, 500):
    k = min(k, most)
    rows = table[:, : most // k * k].reshape(-1, k)  # all draws, in groups of k
    print(f"k = {k:3d}: ≈ {-iwae_bound(rows).mean().item():.2f} nats")
report("-ELBO of the recorded VAE", -table.mean().item(), claimed=92.4, tolerance=0.3, unit="nats")
report("its IWAE-500", -iwae_bound(table).mean().item(), claimed=89.3, tolerance=0.2, unit="nats")

# %% [markdown]
# Three nats were the bound's, not the model's. So a VAE is *scored* with large $k$, and its value is marked with "≤". Does it also help to *train* with $k = 5$? The recorded models `vae` and `iwae` differ in steps, learning rate and dropout, so they cannot say. A study (`python studies/equal_vaes.py`) trained both with equal settings, three seeds each:

# %%
equal = recorded_study("equal_vaes-digits")["runs"]


def figures_of(kind: str, split: str, key: str) -> Tensor:
    return torch.tensor([run[key] for run in equal if (run["kind"], run["split"]) == (kind, split)])


for split, claims_of in (("validation", (0.68, 1.78)), ("test", (0.60, 1.95))):
    one, five = "VAE", "trained as IWAE, k = 5"
    gain, loss = (figures_of(one, split, key) - figures_of(five, split, key) for key in ("nats", "elbo"))
    report(f"IWAE-500, {split}: gain of training with k 5", gain.mean(), claimed=claims_of[0], tolerance=0.01)
    smallest = {"validation": 0.37, "test": 0.34}[split]
    report(f"smallest gain of a seed, {split}", gain.min(), claimed=smallest, tolerance=0.01)
    report(f"-ELBO, {split}: loss by training with k 5", -loss.mean(), claimed=claims_of[1], tolerance=0.01)

# %% [markdown]
# With equal settings, training with $k = 5$ gains 0.6 to 0.7 nats of the tight bound, in every seed and on both splits. Its ELBO is *worse* by nearly 2 nats: the encoder was trained to be used with five draws, and proposes less well with one. So choose the bound that you will use, and never compare models by bounds of different $k$. Where the recorded models stand among all others of the course so far:

# %%
show.likelihood_ladder(recorded_on("digits", lesson=11), highlight=["vae", "iwae"],
                          title="The VAE's bound lies above the PixelCNN's NLL; the truth lies lower")  # fmt: skip

# %% [markdown]
# ## 9 Break it
#
# **Two mistakes in one line.** The first: forget $-\log k$. The curve looks wonderful and improves with every sample. The second: average the logarithms. Nothing improves at all.

# %%
mistakes = {"right": iwae_bound, "no -log k": lambda t: t.logsumexp(1), "mean of logs": lambda t: t.mean(1)}
curves = {name: [f(tables["bad q"].reshape(-1, k)).mean().item() for k in groups] for name, f in mistakes.items()}
show.curves(
    {name: ([math.log2(k) for k in groups], values) for name, values in curves.items()}, baselines={"log p(x)": log_p},
    xlabel="log₂ k: doublings of the number of samples", ylabel="“bound” (nats per example)",
    title="A bound that crosses the likelihood is none",
    alt="Against log2 k: the right bound rises to log p(x) = -7.9; without -log k it crosses log p(x) between k = 2 "
    "and 4 and rises on; the mean of logs stays at the ELBO of about -11.3.",
)  # fmt: skip
excess, still = curves["no -log k"][-1] - log_p, curves["mean of logs"][-1] - curves["mean of logs"][0]
report("excess over log p(x) at k 256 without -log k", excess, claimed=5.43, tolerance=0.15, unit="nats")
report("change of the mean of logs from k 1 to 256", still, claimed=0, tolerance=1e-9, unit="nats")

# %% [markdown]
# How do you detect them without knowing $\log p(x)$? By constant weights: a table of equal numbers $c$ must give $c$ for every $k$, and the first mistake gives $c + \log k$. And by one row of two different weights: the bound must be strictly above their mean, which the second mistake is not. On a trained model: a bound that still rises by
# $\ln 2 = 0.69$ nats with each doubling at $k = 100$ and more is under suspicion of the first (a very bad $q$ can do that too, for a while); one that does not move although the weights differ is the second.

# %%
constant = torch.full((3, 64), -91.7)
differ = torch.tensor([[0.0, 2.0]])
for name, f in mistakes.items():
    off, gain = (f(constant) + 91.7).abs().max().item(), (f(differ) - differ.mean(1)).item()
    print(f"{name:13s} constant weights: off by {off:.2f} nats    unequal weights: gains {gain:.2f} nats")

# %% [markdown]
# **A third, which no bound shows:** the maximum of free bits *after* the sum over latents. The penalty then is $\max(Z\lambda, \mathrm{KL})$, and one busy latent may pay for all. Two posteriors with the same total, one even and one not: the right penalty tells them apart, the wrong one does not.

# %%
even, uneven = torch.full((1, 8), 1.2), torch.tensor([[9.6, *[0.0] * 7]])
for name, table in (("even", even), ("one latent has all", uneven)):
    wrong = table.mean(0).sum().clamp(min=8.0)
    print(f"{name:18s} right {free_bits(table, 1.0).item():5.2f}   max after the sum {wrong.item():5.2f}")

# %% [markdown]
# What the article says about VAEs stands on [its own page](../docs/article.md).
#
# ## 10 Check yourself

# %% [markdown]
# 1. A VAE has KL = 0.01 nats and the best bound of all your models. Is it broken?
#
# <details><summary>Answer</summary>As a model of the likelihood, no: the decoder explains the data alone, and the bound is tight since the posterior is the prior. As a code, yes. By (11.7) its latents hold at most 0.01 nats of information about the image.</details>
#
# 2. Your figure at k = 5,000 is still rising by 0.3 nats per doubling. What do you report?
#
# <details><summary>Answer</summary>The figure with its k, marked as a bound: log p(x) is higher, by an unknown amount. By (11.9) the gain of a doubling would have to halve each time once the variance is in its regime; it does not yet, so q is bad for some images. Improve q, or look at which images have one dominant weight.</details>
#
# 3. A linear VAE on data with the eigenvalues 5, 3, 1 and a *fixed* noise of variance 2. How many of three latents are active, and does annealing change that?
#
# <details><summary>Answer</summary>Two: 5 and 3 exceed 2, and 1 does not (11.5). Annealing changes the path and not the optimum, so no.</details>
#
# 4. Why does a larger k help the decoder and harm the encoder?
#
# <details><summary>Answer</summary>As k grows, the bound approaches log p(x), which depends on the decoder only. What the encoder can still improve is the gap, and that vanishes like 1/k; the noise of its gradient only like one over the square root of k.</details>
#
# 5. Somebody shows samples of a VAE with β = 8 and says that high β gives better samples because the KL is small. What do you ask for?
#
# <details><summary>Answer</summary>The rate and the distortion. A small KL says that little passes through the code (in section 6 it is 0.1 nats at β = 8), not that the samples are good; the distortion there is 107 nats, nearly that of one histogram per pixel.</details>

# %% [markdown]
# ## Take-aways
#
# - The log of a mean of $k$ weights is a bound that rises with $k$ and reaches $\log p(x)$; use it to *score*. Its gap shrinks like $1/k$, and with it the signal of the encoder.
# - Posterior collapse is KL = 0: count active latents, look at the KL of each, and swap the codes. The bound alone never shows it.
# - In the linear model it is the optimum: a latent is used only where it explains more than the noise does. With a strong decoder it is where training goes first, even if a code would lower the bound in the end.
# - $R$ and $D$ say what a bound hides. Free bits and a small $\beta$ buy rate with likelihood; a weaker decoder makes the code worth its price.
#
# ## Where next
#
# - Burda, Grosse, Salakhutdinov, *Importance Weighted Autoencoders*, ICLR 2016, arXiv 1509.00519: the bound, and active units.
# - Rainforth, Kosiorek, Le, Maddison, Igl, Wood, Teh, *Tighter Variational Bounds are Not Necessarily Better*, ICML 2018, arXiv 1802.04537.
# - Bowman, Vilnis, Vinyals, Dai, Jozefowicz, Bengio, *Generating Sentences from a Continuous Space*, CoNLL 2016, arXiv 1511.06349: collapse with a strong decoder, and annealing.
# - Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling, *Improving Variational Inference with Inverse Autoregressive Flow*, NIPS 2016, arXiv 1606.04934: free bits.
# - He, Spokoyny, Neubig, Berg-Kirkpatrick, *Lagging Inference Networks and Posterior Collapse in Variational Autoencoders*, ICLR 2019, arXiv 1901.05534; Razavi, van den Oord, Poole, Vinyals, *Preventing Posterior Collapse with delta-VAEs*, ICLR 2019, arXiv 1901.03416.
# - Chen, Kingma, Salimans, Duan, Dhariwal, Schulman, Sutskever, Abbeel, *Variational Lossy Autoencoder*, ICLR 2017, arXiv 1611.02731; Gulrajani, Kumar, Ahmed, Ali Taiga, Visin, Vazquez, Courville, *PixelVAE: A Latent Variable Model for Natural Images*, ICLR 2017, arXiv 1611.05013: what the latents should be left to explain.
# - Alemi, Poole, Fischer, Dillon, Saurous, Murphy, *Fixing a Broken ELBO*, ICML 2018, arXiv 1711.00464; Higgins, Matthey, Pal, Burgess, Glorot, Botvinick, Mohamed, Lerchner, *beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework*, ICLR 2017.
# - Lucas, Tucker, Grosse, Norouzi, *Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse*, NeurIPS 2019, arXiv 1911.02469; Tipping, Bishop, *Probabilistic Principal Component Analysis*, Journal of the Royal Statistical Society B 61, 1999.
# - Another answer to collapse is a code that cannot collapse, because its rate is fixed: [lesson 12](12_vqvae.ipynb). In the library, read [`bounds.py`](../garm_course/latent/bounds.py).

# %%
claims()
