# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · Latent variables, the ELBO, the VAE
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/10_vae.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F10_vae.ipynb)
#
# **How do you train a model whose likelihood is an integral that nobody can compute?**
#
# | | |
# |---|---|
# | Time | 90 minutes; the cells run in about half a minute |
# | Before this | likelihood, KL divergence and dequantization from [lesson 01](01_likelihood.ipynb); categorical pixels and the PixelCNN of [lesson 04](04_pixelcnn.ipynb); PyTorch modules and gradients |
# | Afterwards you can | *derive* the ELBO and say what its gap is, *implement* its terms and a gradient through a random draw, *choose* a likelihood for the pixels and see the weight that a squared error hides, *diagnose* a decoder that ignores its code, *compare* a bound with a likelihood |
# | Papers | Kingma, Welling, *Auto-Encoding Variational Bayes*, ICLR 2014, arXiv [1312.6114](https://arxiv.org/abs/1312.6114) · Rezende, Mohamed, Wierstra, *Stochastic Backpropagation and Approximate Inference in Deep Generative Models*, ICML 2014, arXiv [1401.4082](https://arxiv.org/abs/1401.4082) |

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
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence
from torch.utils.data import TensorDataset

from garm_course import (
    budget, check, claims, fit, guess, load, load_pretrained, recorded, recorded_on, recorded_study, report, seed, show,
)  # fmt: skip
from garm_course.distributions import Gaussian
from garm_course.evaluation import evaluate, rate_distortion
from garm_course.latent import MLPVAE, PPCA, VAE, NegativeELBO, StandardNormal
from garm_course.lessons import lesson10
from garm_course.transforms import dequantize

# %% [markdown]
# ## 1 The question, in pictures
#
# An autoregressive model writes an image pixel by pixel. A person who writes a digit decides something else first: which digit, how large, how slanted. Then all pixels follow at once. Look for what these images have in common that no single pixel shows.

# %%
train, validation = load("digits", "train"), load("digits", "validation")
show.grid(
    validation.x, levels=17, title="A few decisions explain 64 pixels",
    alt="The first 16 validation digits, 8 by 8 pixels, in different sizes, slants and widths of stroke.",
)  # fmt: skip

# %% [markdown]
# A **latent variable** $z$ stands for such decisions. It is not in the data, so the model has to come with a distribution for it: a **prior** $p(z)$, here a standard normal in $Z$ dimensions. A **decoder** turns $z$ into a distribution of the image, $p(x \mid z)$. Together they define
#
# $$p(x) = \int p(z)\, p(x \mid z)\, dz$$
#
# Drawing is easy: draw $z$, then $x$. *Scoring* is hard: every $z$ might have been the cause. To see what can be done about the integral, take a decoder for which it can be solved: a linear one with Gaussian noise,
# $x = Wz + b + \sigma\varepsilon$. Then $x$ is a sum of Gaussians and so a Gaussian itself, with mean $b$ and the covariance of $Wz$ plus that of the noise. This is **probabilistic PCA** (Tipping and Bishop 1999), and its density is known exactly:
#
# $$p(x) = N(x;\; b,\; WW^\top + \sigma^2 I) \tag{10.1}$$

# %% [markdown]
# **Exercise 1 · `ppca_log_marginal`** · ●●○ · 10 minutes
#
# Write the logarithm of (10.1). It is the yardstick of this lesson and the next: whatever a VAE estimates, this model knows.
#
# - `W`: `(D, Z)`, for any D and Z. `b`: `(D,)`. `sigma2`: the *variance* σ² of the noise, a float above 0. `x`: `(B, D)`.
# - Returns `(B,)`, one value per example in nats, differentiable: $-\frac12 (x-b)^\top C^{-1} (x-b) - \frac12 \log\det C - \frac D2 \log 2\pi$ with $C = WW^\top + \sigma^2 I$.
#
# Example: `W = torch.tensor([[2.], [1.]])`, `b = torch.tensor([0., 1.])`, `sigma2 = 1.0`: $C$ is `[[5, 2], [2, 2]]` with determinant 6, and `x = torch.tensor([[2., 2.], [0., 1.]])` gives `[-3.1504, -2.7338]`. (The second x is b itself: −½ log 6 − log 2π.)
#
# <details><summary>Hint 1</summary>z and the noise are independent, so their covariances add: WWᵀ from Wz, and σ² on the diagonal. Both are (D, D).</details>
# <details><summary>Hint 2</summary><code>torch.distributions.MultivariateNormal(b, C).log_prob(x)</code> does the rest. By hand: <code>torch.linalg.solve(C, (x - b).T)</code> and <code>torch.logdet(C)</code>; <code>det(C).log()</code> is −inf for hundreds of pixels.</details>

# %%
@check
def ppca_log_marginal(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    """log N(x; b, W W^T + sigma2 I): (B,) nats."""
    ### BEGIN SOLUTION
    C = W @ W.T + sigma2 * torch.eye(len(b), dtype=W.dtype)
    diff = x - b
    square = (diff * torch.linalg.solve(C, diff.T).T).sum(1)
    return -0.5 * (square + torch.logdet(C) + len(b) * math.log(2 * math.pi))
    ### END SOLUTION

# %% [markdown]
# Fit such a model with 30 latents to the digits (as real numbers: a level 0 to 16 plus uniform noise, lesson 01; its maximum-likelihood solution is an eigenvalue problem), and **try the naive thing** on an image: the integral is an expectation over the prior, so average $p(x \mid z)$ over draws from it.
# Look at how many draws the average needs.

# %%
rng = seed(0)
real = dequantize(train.x, torch.rand(train.x.shape, generator=rng), 17).flatten(1).double() * 17
ppca = PPCA.fit(real, latents=30)
x = real[:200]
exact = ppca_log_marginal(ppca.W, ppca.b, ppca.sigma2, x)
draws = 2 ** torch.arange(1, 15)
z = torch.randn(int(draws[-1]), 30, dtype=torch.float64, generator=rng)
log_p = torch.stack([ppca.log_likelihood(x, row) for row in z], 1)  # (200, draws): log p(x | z)
naive = [(log_p[:, :n].logsumexp(1) - math.log(n)).mean().item() for n in draws.tolist()]
report("exact log p(x), mean of 200 images", exact.mean().item(), claimed=-142.4, tolerance=0.3, unit="nats")
report("naive estimate with 16,384 draws", naive[-1], claimed=-254, tolerance=5, unit="nats")

# %%
show.curves(
    {"average over draws from the prior": list(zip(draws.log2().tolist(), naive, strict=True))},
    baselines={"exact, (10.1)": exact.mean().item()}, title="Sixteen thousand draws, and still a hundred nats below",
    xlabel="binary logarithm of the number of draws", ylabel="log p(x), nats per image",
    alt="The naive estimate rises from about -660 nats with 2 draws to about -254 with 16,384; exact is -142.",
)  # fmt: skip

# %% [markdown]
# The average is unbiased for $p(x)$, and yet useless: nearly all draws explain the image badly. One in about $10^{17}$ explains it well (e to the KL divergence from the posterior to the prior, 40 nats here; section 2 shows why), and until that one comes the estimate is far too low: here by 112 nats. (What you see is the mean of *logarithms* of averages. The logarithm is concave, so it is too low on average, although the averages are right.) The remedy: do not guess the cause blindly. **Look at the image, and draw causes that might have made it.**
#
# ## 2 A bound, step by step
#
# Let $q(z)$ be any distribution of causes, chosen after a look at $x$ (we write $q(z \mid x)$ when that matters). Bayes' rule says $p(x) = p(x, z) / p(z \mid x)$ for *every* $z$ (it is not a function of $z$ at all). Take the logarithm, and expand the fraction by $q(z)$:
#
# $$\log p(x) = \log \frac{p(x,z)}{q(z)} + \log \frac{q(z)}{p(z \mid x)}$$
#
# This holds for every $z$, so also on average over $z \sim q$; the average of the second term is a KL divergence by definition:
#
# $$\log p(x) = \underbrace{\mathbb E_q \log \frac{p(x,z)}{q(z)}}_{\mathrm{ELBO}(q)} + \mathrm{KL}\big(q(z)\,\|\,p(z \mid x)\big) \tag{10.2}$$
#
# A KL divergence is at least 0. So the first term, the **evidence lower bound**, is at most $\log p(x)$, and the gap is exactly how far $q$ is from the true posterior. Split $p(x,z) = p(z)\,p(x \mid z)$ to see what it is made of:
#
# $$\mathrm{ELBO}(q) = \underbrace{\mathbb E_q \log p(x \mid z)}_{\text{reconstruction}} - \underbrace{\mathrm{KL}\big(q(z)\,\|\,p(z)\big)}_{\text{cost of the code}} \tag{10.3}$$
#
# The cost of the code is also called the **rate**. Neither term contains the integral over all causes, nor the posterior that nobody knows. In PPCA all of them are known. There the posterior is a Gaussian as well; compare four choices of $q$:

# %%
eye = torch.eye(30, dtype=torch.float64)
mean, cov = ppca.posterior(x)
prior, posterior = MultivariateNormal(torch.zeros(30).double(), eye), MultivariateNormal(mean, cov)


def elbo_of(q: MultivariateNormal) -> Tensor:
    """(10.3) in closed form: E_q |x - Wz - b|² is the square at the mean plus the trace of W cov W^T."""
    spread = torch.einsum("dz,bzy,dy->b", ppca.W, q.covariance_matrix.expand(len(x), 30, 30), ppca.W)
    return ppca.log_likelihood(x, q.mean) - 0.5 * spread / ppca.sigma2 - kl_divergence(q, prior)


choices = {
    "the prior": MultivariateNormal(torch.zeros_like(mean), eye),
    "right mean, too wide": MultivariateNormal(mean, 4 * cov),
    "the posterior of another image": MultivariateNormal(mean.roll(1, 0), cov),
    "the posterior": posterior,
}
for name, q in choices.items():
    gap = kl_divergence(q, posterior)
    low, total = elbo_of(q).mean(), (elbo_of(q) + gap).mean()
    print(f"q is {name:32s} ELBO == {low:9.1f}, gap == {gap.mean():8.2f}, sum == {total:.4f}")

# %%
q = choices["right mean, too wide"]
error = (elbo_of(q) + kl_divergence(q, posterior) - exact).abs().max().item()
report("largest error of (10.2) over 200 images", error, claimed=0, tolerance=1e-8, unit="nats")
cost = kl_divergence(posterior, prior).mean().item()
report("KL of the posterior from the prior", cost, claimed=39.7, tolerance=0.5, unit="nats")
report("gap of the posterior", kl_divergence(posterior, posterior).abs().max().item(), claimed=0, tolerance=1e-9)

# %% [markdown]
# Every row has the same sum, the exact $\log p(x)$. A poor guess of the posterior pays with a low bound. So there are two reasons to **maximize the ELBO**: in $q$ it brings $q$ near the posterior; in the model's weights it raises $\log p(x)$, or makes the gap smaller.
#
# ## 3 The cost of the code
#
# One distribution $q$ for every image would be a lot of work. A **variational autoencoder** (VAE) has a network for it, the **encoder**, which reads $x$ and puts out the parameters of $q(z \mid x) = N(\mu, \mathrm{diag}\, \sigma^2)$: means $\mu$ and logarithms of variances $\ell = \log \sigma^2$, which may be any real numbers. Then the KL term is an integral that can be done: per dimension,
# $\mathbb E_q[\log q - \log p] = \mathbb E_q\big[-\tfrac12 \ell - \tfrac{(z-\mu)^2}{2\sigma^2} + \tfrac12 z^2\big] = -\tfrac12 \ell - \tfrac12 + \tfrac12 (\mu^2 + \sigma^2)$, so
#
# $$\mathrm{KL}\big(N(\mu, \sigma^2)\,\|\,N(0, I)\big) = \frac12 \sum_{j=1}^{Z} \big(\mu_j^2 + e^{\ell_j} - 1 - \ell_j\big) \tag{10.4}$$

# %% [markdown]
# **Exercise 2 · `kl_diag_gaussian`** · ●○○ · 6 minutes
#
# Write (10.4). It is the half of every VAE's loss that pulls codes to the prior.
#
# - `mu`, `logvar`: `(B, Z)`, with `logvar` = log σ² (not log σ, not σ²).
# - Returns `(B,)`, one value per example in nats, **summed** over the Z dimensions, differentiable. It is 0 where `mu` and `logvar` are 0, and right for every variance, even where $e^{\mathtt{logvar}}$ is too small for a floating-point number. (That rules out `kl_divergence` of `torch.distributions`, which takes the logarithm of the variance.)
#
# Example: `mu = torch.tensor([[1., -2.], [0., 0.]])`, `logvar = torch.tensor([[0., math.log(4)], [0., 0.]])` gives `[3.3069, 0]`: ½(1 + 1 − 1 − 0) + ½(4 + 4 − 1 − log 4), and 0 at the prior.
#
# <details><summary>Hint 1</summary>σ² is <code>logvar.exp()</code>, and its logarithm is <code>logvar</code> itself; no square root appears.</details>
# <details><summary>Hint 2</summary>Four terms in a bracket, one sum over the last axis, a half in front. At the prior it must be 0: if yours is not, a term is missing.</details>

# %%
@check
def kl_diag_gaussian(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, e^logvar) || N(0, I)): (B,) nats, summed over dimensions."""
    ### BEGIN SOLUTION
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
    ### END SOLUTION

# %%
mu, logvar = torch.tensor([[0.7, -1.2, 0.1]]), torch.tensor([[0.4, -2.0, -0.3]])
z = mu + (0.5 * logvar).exp() * torch.randn(200_000, 3, generator=rng)
q, p = torch.distributions.Normal(mu, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
ratio = (q.log_prob(z) - p.log_prob(z)).sum(1)
away = (ratio.mean() - kl_diag_gaussian(mu, logvar)).abs() / (ratio.std() / len(z) ** 0.5)
closed = kl_diag_gaussian(mu, logvar).item()
print(f"closed form {closed:.4f}, average of draws within 4 standard errors:", bool(away < 4))

# %% [markdown]
# ## 4 A gradient through a random draw
#
# The other half, $\mathbb E_q \log p(x \mid z)$, has no closed form once the decoder is a network. An average over draws will do: one draw per image is enough, since gradient descent averages over many steps. But the encoder's parameters decide *where* the draw falls, and a draw has no derivative. There are two ways out.
#
# **Pathwise.** Draw noise $\varepsilon \sim N(0, I)$ that depends on nothing, and move it to where $q$ is. This *reparameterization* makes $z$ a differentiable function of $\mu$ and $\ell$:
#
# $$z = \mu + e^{\ell/2}\, \varepsilon, \qquad \frac{\partial z}{\partial \mu} = 1, \qquad \frac{\partial z}{\partial \ell} = \tfrac12\, \sigma \varepsilon \tag{10.5}$$

# %% [markdown]
# **Exercise 3 · `reparameterize`** · ●○○ · 5 minutes
#
# Write (10.5). The noise is an argument, so that the answer can be checked to the digit.
#
# - `mu`, `logvar`, `eps`: tensors of one shape, which may be any; `logvar` = log σ².
# - Returns `z`, of the same shape, with gradients to `mu` and to `logvar`.
#
# Example: `mu = torch.tensor([[1., -2.]])`, `logvar = torch.tensor([[0., math.log(4)]])`, `eps = torch.tensor([[0.5, -1.5]])` gives `[[1.5, -5.]]`: the standard deviations are 1 and 2.
#
# <details><summary>Hint 1</summary>The standard deviation is the root of the variance, and a root halves the exponent.</details>
# <details><summary>Hint 2</summary>Nothing is detached, and nothing is drawn: use <code>eps</code>.</details>

# %%
@check
def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """A draw from N(mu, e^logvar) that is differentiable in both."""
    ### BEGIN SOLUTION
    return mu + torch.exp(0.5 * logvar) * eps
    ### END SOLUTION

# %%
mu, logvar, eps = (torch.randn(5, dtype=torch.float64, generator=rng) for _ in range(3))
mu.requires_grad_(), logvar.requires_grad_()
d_mu, d_logvar = torch.autograd.grad(reparameterize(mu, logvar, eps).sum(), (mu, logvar))
error = (d_logvar - 0.5 * (0.5 * logvar).exp() * eps).abs().max().item()
report("largest error of the slopes in (10.5)", max(error, (d_mu - 1).abs().max().item()), claimed=0, tolerance=1e-12)

# %% [markdown]
# **Score function.** Or differentiate the density in place of the draw: $\nabla_\mu \mathbb E_q f(z) = \int f(z)\, \nabla_\mu q(z)\, dz = \mathbb E_q\big[f(z)\, \nabla_\mu \log q(z)\big]$, which for a Gaussian is $\mathbb E_q\big[f(z)\, (z - \mu) / \sigma^2\big]$. It needs no derivative of $f$, so it also works for choices that cannot be moved smoothly. The price is variance. Take $f(z) = z^2$ in one dimension with $\sigma = 1$, so that the true gradient is $2\mu$. With $z = \mu + \varepsilon$:
#
# - pathwise: $2z$, with variance 4;
# - score: $z^2 \varepsilon$. Its second moment is $\mathbb E[(\mu + \varepsilon)^4 \varepsilon^2] = \mu^4 + 6\mu^2 \cdot 3 + 15$ (the moments of $\varepsilon$ are $1, 3, 15$ for the powers $2, 4, 6$, and odd powers vanish). Less the square of the mean, $4\mu^2$, the variance is $\mu^4 + 14 \mu^2 + 15$.
#
# $$\frac{\mathrm{Var}_{\text{score}}}{\mathrm{Var}_{\text{path}}} = \frac{\mu^4 + 14\mu^2 + 15}{4} \qquad (4.64 \text{ at } \mu = \tfrac12, \;\; 7.5 \text{ at } \mu = 1) \tag{10.6}$$

# %%
eps = torch.randn(1_000_000, dtype=torch.float64, generator=rng)
for mu, claimed in ((0.5, 4.64), (1.0, 7.5)):
    path, score = 2 * (mu + eps), (mu + eps) ** 2 * eps
    print(f"mu == {mu}: both means near {2 * mu:.1f}:", all(abs(m.mean() - 2 * mu) < 0.05 for m in (path, score)))
    report(f"ratio of variances at {mu}", (score.var() / path.var()).item(), claimed=claimed, tolerance=0.12)

# %% [markdown]
# Both are right on average. In one dimension the score's variance is a nuisance; it grows with the dimension, because *all* of $f$ multiplies the noise of *each* coordinate. For $f(z) = \sum_j z_j^2$ and the gradient of the first mean:

# %%
guess("ratio of variances with 64 latents", ...)  # if you like: a number in place of the dots

# %%
for size in (1, 16, 64):
    z = 0.5 + torch.randn(100_000, size, dtype=torch.float64, generator=rng)
    ratio = ((z**2).sum(1) * (z[:, 0] - 0.5)).var() / (2 * z[:, 0]).var()
    print(f"{size:3d} latents: the score's variance is {ratio:.1f} times that of the path")
report("ratio of variances with 64 latents", ratio.item(), claimed=1730, tolerance=80)

# %% [markdown]
# That is why VAEs use the path. (A baseline subtracted from $f$ helps the score, and discrete latents may need it.)
#
# ## 5 What a pixel may be
#
# The reconstruction term needs a likelihood of pixels, and this is a choice that changes everything. Begin with binary pixels, where it is a Bernoulli whose logits the decoder puts out.

# %% [markdown]
# **Exercise 4 · `elbo`** · ●●○ · 8 minutes
#
# Put (10.3) together for binary images and one draw of $z$: the decoder has turned that draw into `logits`.
#
# - `x`: `(B, D)`, floats 0. and 1. `logits`: `(B, D)`. `mu`, `logvar`: `(B, Z)`, what the encoder put out.
# - Returns `(B,)`, one value per example: the ELBO itself, in nats, **summed** over pixels and over latents, differentiable, and right for logits of ±1000. It is what training *raises*, and for binary pixels at most 0.
#
# Example: `x = torch.tensor([[1., 0., 1.]])`, `logits = torch.tensor([[2., -1., 0.]])`, with `mu` and `logvar` of the example before: the pixels give −0.1269 − 0.3133 − 0.6931 = −1.1333, the KL is 3.3069, so the result is `[-4.4402]`.
#
# <details><summary>Hint 1</summary>log p(x | z) is minus the cross-entropy: <code>F.binary_cross_entropy_with_logits(logits, x, reduction="none")</code>, summed over pixels. It takes raw logits and does not overflow.</details>
# <details><summary>Hint 2</summary>Subtract your <code>kl_diag_gaussian(mu, logvar)</code>. Both terms are sums: a mean over pixels beside a sum over latents is a different objective, as section 9 shows.</details>

# %%
@check
def elbo(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """log p(x | z) - KL(q || p) at one draw of z: (B,) nats."""
    ### BEGIN SOLUTION
    reconstruction = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return reconstruction - kl_diag_gaussian(mu, logvar)
    ### END SOLUTION

# %% [markdown]
# **Real numbers: a Gaussian, and what a squared error hides.** With $p(x \mid z) = N(x; \hat x, \sigma^2 I)$ and $D$ pixels,
#
# $$-\log N(x; \hat x, \sigma^2 I) = \frac{\|x - \hat x\|^2}{2\sigma^2} + \frac D2 \log 2\pi\sigma^2 \tag{10.7}$$
#
# So "squared error + KL" is an ELBO for *one* value of the variance only: the summed squared error means $2\sigma^2 = 1$, that is $\sigma^2 = \frac12$. And `mse_loss`, a *mean* over pixels, means $2\sigma^2 = D$, that is $\sigma^2 = D/2$: 32 for these digits, in units in which a pixel is at most 1.
# The decoder is told that every pixel has noise many times larger than its whole range. Now let $s^2$ be the variance that the residuals really have. The loss is $\|x - \hat x\|^2 / D + \mathrm{KL}$; times $D / 2s^2$ (a factor changes no minimum) the squares are those of a Gaussian with the right variance, and the KL term has the factor in front:
#
# $$\frac{\|x - \hat x\|^2}{2 s^2} + \beta\, \mathrm{KL}, \qquad \beta = \frac{D}{2 s^2} \tag{10.8}$$
#
# This is a VAE whose KL term is weighted by $\beta$, a **$\beta$-VAE**, with a weight that nobody chose. Check both with numbers; for $s^2$ take the noise $\sigma^2$ that PPCA found, in units in which white to black is 17:

# %%
a, b_hat = torch.rand(64, dtype=torch.float64, generator=rng), torch.rand(64, dtype=torch.float64, generator=rng)
params = lambda var: torch.stack([b_hat, torch.full_like(b_hat, math.log(var))], -1)  # noqa: E731
for name, var, value in (("sum", 0.5, ((a - b_hat) ** 2).sum()), ("mean", 32.0, ((a - b_hat) ** 2).mean())):
    nats = -Gaussian().log_prob(params(var), a).sum() - 32 * math.log(2 * math.pi * var)
    report(f"squared error ({name}) against (10.7)", (nats - value).abs().item(), claimed=0, tolerance=1e-12)
hidden = 64 / (2 * ppca.sigma2 / 17**2)
report("beta that a mean squared error hides here", hidden, claimed=6120, tolerance=100)

# %% [markdown]
# With the noise of our PPCA, the KL term weighs 6,120 times too much. Section 9 trains such a model.
#
# **Four likelihoods on the same digits.** A level 0 to 16 may be seen as a class (categorical, lesson 04), a count (Poisson, lesson 01), a real number (Gaussian, with a variance that the decoder learns for each pixel), or be cut to black and white (Bernoulli). Train each for 500 steps with hidden layers of equal number, width and dropout (the numbers are not those of finished models). They are scored by a bound with $k = 100$ draws, minus the logarithm of the average of $p(x, z)/q(z \mid x)$ over the draws, which is tighter than the ELBO; lesson 11 proves it. In training, `warmup=0.5` lets the weight of the KL term grow from 0 to 1 over the first half; why that helps is in lesson 11, too.
# The Gaussian sees $x + u$ with uniform $u$; its mean log-density is at most the log-probability of the level (lesson 01), so three of the figures compare. The Bernoulli's is about other data, and does not.

# %%
steps = budget(smoke=2, quick=500, full=500)
settings = {"steps": steps, "batch_size": 64, "lr": 3e-3, "evaluate_every": max(steps // 4, 1)}


class Noisy(torch.utils.data.Dataset):
    """Digits as real numbers in [0, 17): a density needs them. Fresh uniform noise at each access, fixed in `plain`."""

    def __init__(self, data, fixed=False):
        self.data, self.noise = data, torch.rand(data.x.shape, generator=seed(1)) if fixed else None
        self.plain = self if fixed else Noisy(data, fixed=True)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return self.data.x[i] + (torch.rand(1, 8, 8) if self.noise is None else self.noise[i]), self.data.y[i]


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """As in `MLPVAE`: two hidden layers of 128 units, with dropout."""
    hidden = [layer for n in (inputs, 128) for layer in (nn.Linear(n, 128), nn.ReLU(), nn.Dropout(0.1))]
    return nn.Sequential(*hidden, nn.Linear(128, outputs))


class RealEncoder(nn.Module):
    """Reads real numbers; the encoder of `MLPVAE` reads levels. 32 outputs: 16 means, 16 log-variances."""

    def __init__(self):
        super().__init__()
        self.net = perceptron(64, 32)

    def forward(self, x):
        return self.net(x.flatten(1) / 17)

# %%
small = {"latents": 16, "hidden": (128, 128), "dropout": 0.1}
to_moments = nn.Sequential(perceptron(16, 128), nn.Unflatten(1, (1, 8, 8, 2)))
seed(0)
models = {
    "categorical": (MLPVAE((1, 8, 8), 17, **small), train, validation),
    "Gaussian": (
        VAE(RealEncoder(), to_moments, (1, 8, 8), StandardNormal(16), head=Gaussian()),
        Noisy(train), Noisy(validation, fixed=True),
    ),
    "Poisson": (MLPVAE((1, 8, 8), 17, head="poisson", **small), train, validation),
    "Bernoulli, other data": (
        MLPVAE((1, 8, 8), 2, **small), *(TensorDataset((d.x > 7).long(), d.y) for d in (train, validation)),
    ),
}  # fmt: skip
scores = {}
for name, (model, data, held_out) in models.items():
    fit(model, data, validation=held_out, loss=NegativeELBO(warmup=0.5), label=name, **settings)
    scores[name] = evaluate(model, held_out, k=100).nats
    print(f"{name:22s} at most ≈ {scores[name]:5.1f} nats per image")

# %%
for name, claimed, tolerance in (("categorical", 97, 3), ("Gaussian", 140, 6), ("Poisson", 133, 5)):
    report(f"bound with a {name} decoder", scores[name], claimed=claimed, tolerance=tolerance, unit="nats")

# %% [markdown]
# The categorical wins by more than 25 nats: it can say "0 or 16, and seldom between", which is what most of these pixels are. The Gaussian has one hump per pixel, the Poisson one hump whose width follows from its place (a mean of 8 must come with a standard deviation of 2.8), and it gives counts above 16 a share. A likelihood is an *assumption about noise*; only the categorical assumes next to nothing.
#
# And your functions: `elbo`, fed with what the Bernoulli model's networks put out, must be what the library computes for the same draw.

# %%
model, _, held_out = models["Bernoulli, other data"]
some = held_out.tensors[0][:50]
with torch.no_grad():
    q = model.encode(some)
    z = q.sample(1, seed(5))[:, 0]
    mine = elbo(some.flatten(1).float(), model.decode(z).flatten(1), q.mean, q.logvar)
    library = model.elbo(some, rng=seed(5)).bound
report("your ELBO less the library's", (mine - library).abs().max().item(), claimed=0, tolerance=1e-3, unit="nats")

# %% [markdown]
# ## 6 Use the library
#
# `MLPVAE` has everything of this lesson: levels in (as a thermometer, lesson 04), a categorical out, (10.3) with one draw, trained by the same `fit`. Two latents are too few for a good score, but can be looked at. Look at where the curve stands against the baselines (*class marginals*: a histogram of each pixel for each class, mixed). Both VAE figures are upper bounds on an NLL: the curve by one draw, the recorded line by 500.

# %%
seed(0)
vae = MLPVAE(train.shape, train.levels, latents=2, hidden=(192, 192), dropout=0.1)
history = fit(
    vae, train, validation=validation, loss=NegativeELBO(warmup=0.5), batch_size=64, lr=3e-3, label="VAE, 2 latents",
    steps=budget(smoke=2, quick=1000, full=1000), evaluate_every=budget(smoke=1, quick=50, full=50),
)  # fmt: skip

# %%
deep = recorded("vae-digits")
elbo_2, iwae_2 = evaluate(vae, validation), evaluate(vae, validation, k=500)
parts = rate_distortion(vae, validation)
show.curves(
    {"negative ELBO, 2 latents": history.validation[budget(smoke=0, quick=2, full=2) :]},
    baselines={
        "class marginals": deep["baselines"]["class marginals"]["nats"],
        "VAE, 16 latents (500 draws)": deep["validation"]["nats"],
    },
    title="Two numbers say as much as a class, and more", xlabel="step", ylabel="nats per validation image",
    alt="Negative ELBO on validation images over training; it ends between the class marginals at 99.9 and the "
    "recorded VAE with 16 latents at 89.7.",
)  # fmt: skip
report("negative ELBO, 2 latents", elbo_2.nats, claimed=97.5, tolerance=2, unit="nats")
report("of which the code", parts["rate"], claimed=3.8, tolerance=0.6, unit="nats")
report("tighter bound with 500 draws (lesson 11)", iwae_2.nats, claimed=96.2, tolerance=2, unit="nats")

# %% [markdown]
# ## 7 See it
#
# **The map.** Walk over the plane of $z$ in 14 steps of equal probability, and decode. Look for the digits, and for what lies between two of them.

# %%
lesson10.manifold(
    vae, title="The plane of two latents, decoded: digits grow into each other",
    alt="14 by 14 decoded digits over quantiles of the prior, -1.8 to 1.8: regions of most digits, mixtures between.",
)  # fmt: skip

# %% [markdown]
# **The other way.** Encode the validation images, which the model has never seen, and show each posterior mean as its digit. The model never saw a class. In gray, draws from the posteriors of the training images.

# %%
with torch.no_grad():
    means = vae.encode(validation.x).mean
    cloud = vae.encode(train.x).sample(1, seed(0))[:, 0]
lesson10.latent_cloud(
    means, validation.y, drawn=cloud, title="Digits find their places without having been told their names",
    alt="Posterior means of 180 validation images in the plane of two latents, each shown as its digit: digits "
    "cluster, and overlap near the center; gray draws from posteriors of training images leave gaps within the circle "
    "of 3 standard deviations.",
)  # fmt: skip

# %% [markdown]
# **Between two images.** Take two validation digits of different classes, and walk from one posterior mean to the other. (A straight line in both cases. With many latents it passes nearer to the center than draws from the prior fall, and some people walk along an arc.)

# %%
deep_vae = load_pretrained("vae-digits")
first, last = (int((validation.y == k).nonzero()[0]) for k in (0, 4))
walks = []
for model in (vae, deep_vae):
    with torch.no_grad():
        ends = model.encode(validation.x[[first, last]]).mean
    z = torch.stack([torch.lerp(ends[0], ends[1], w) for w in torch.linspace(0, 1, 8)])
    walks.append(model.draw(z, mean=True).round().long())
show.grid(
    torch.cat(walks), levels=17, rows=["2 latents", "16 latents"], cols=8, title="From a 0 to a 4",
    alt="Two rows of eight decoded images from a 0 to a 4, with 2 and with 16 latents: both pass shapes that look "
    "like a 6 on the way.",
)  # fmt: skip

# %% [markdown]
# **Draws.** And what are samples like? Expected images on the left, draws of pixels in the middle: the likelihood treats pixels as independent *given z*, so a draw has the noise of every pixel of its own.

# %%
show.panels(
    {
        "expected image E[x | z]": deep_vae.sample(16, rng=seed(0), mean=True).round().long(),
        "draws from p(x | z)": deep_vae.sample(16, rng=seed(0)),
        "real": validation.x,
    },
    levels=17, title="Blurred as means, noisy as draws",
    alt="Sixteen samples of the VAE with 16 latents as expected images and as draws of pixels, beside real digits; "
    "expected images are smooth, draws are speckled.",
)  # fmt: skip

# %% [markdown]
# **Does the prior know where the codes are?** One draws $z$ from the prior, but the decoder was trained on $z$ from the posteriors. Averaged over the data these make the **aggregated posterior** $q(z) = \mathbb E_x\, q(z \mid x)$. Expand the KL term by it:
#
# $$\mathbb E_x\, \mathrm{KL}\big(q(z \mid x)\,\|\,p(z)\big) = \underbrace{\mathbb E_x\, \mathrm{KL}\big(q(z \mid x)\,\|\,q(z)\big)}_{I_q(x; z)} + \mathrm{KL}\big(q(z)\,\|\,p(z)\big) \tag{10.9}$$
#
# since $\log \frac{q(z|x)}{p(z)} = \log \frac{q(z|x)}{q(z)} + \log \frac{q(z)}{p(z)}$, and in the last term the average over $x$ and $z$ is one over $q(z)$. So the cost of the code pays for two things: what the code says about the image, and how badly the codes as a whole fit the prior. Check it on a table, where every sum is exact, then measure it on the model: $q(z)$ is a mixture of 1,257 Gaussians.

# %%
table = torch.rand(5, 7, dtype=torch.float64, generator=rng)  # q(z | x): five images, seven codes
table, p_z = table / table.sum(1, keepdim=True), torch.full((7,), 1 / 7, dtype=torch.float64)
kl = lambda a, b: (a * (a / b).log()).sum(-1)  # noqa: E731
q_z = table.mean(0)
error = (kl(table, p_z).mean() - kl(table, q_z).mean() - kl(q_z, p_z)).abs().item()
report("error of (10.9) on a table", error, claimed=0, tolerance=1e-12)

# %%
with torch.no_grad():
    posterior = vae.encode(train.x)
    z = posterior.sample(1, seed(0))[:, 0].double()  # one draw for each image: a draw from q(z)
    mu, logvar = posterior.mean.double(), posterior.logvar.double()


def own(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mu) ** 2 * (-logvar).exp()).sum(-1)


log_q = own(z[:, None], mu[None], logvar[None]).logsumexp(1) - math.log(len(z))
log_p = StandardNormal(2).log_prob(z)
information = (own(z, mu, logvar) - log_q).mean().item()
mismatch = (log_q - log_p).mean().item()
report("what the code says about the image", information, claimed=3.7, tolerance=0.5, unit="nats")
report("mismatch of codes and prior", mismatch, claimed=0.38, tolerance=0.2, unit="nats")
report("rate on the training images", posterior.kl().sum(1).mean().item(), claimed=4.1, tolerance=0.5, unit="nats")

# %% [markdown]
# Most of the rate is information. (The two sum to the rate, up to the noise of one draw an image. It is that of the *training* images; section 6 printed that of the validation images.) The mismatch is small but not zero: there are places that the prior draws and no image fills (the white spots in the cloud), and there samples are poor. A better prior would close it; lesson 12 learns one.
#
# **Walk yourself.** Move the two sliders over the map. Where the aggregated posterior is far below the prior, look at the image that is decoded.

# %% tags=["exact"]
lesson10.latent_map(vae, train.x, train.y, start=(0.0, -0.5))

# %% [markdown]
# ## 8 Other priors, and conditions
#
# **A Poisson prior.** Nothing forces the latents to be Gaussian. Counts of spikes, say, are Poisson. The KL term has a closed form again: with $\log \frac{q}{p} = k \log\frac ab - a + b$ and $\mathbb E k = a$,
#
# $$\mathrm{KL}\big(\mathrm{Poisson}(a)\,\|\,\mathrm{Poisson}(b)\big) = a \log\frac ab - a + b \tag{10.10}$$
#
# The gradient is the problem: a count cannot be moved smoothly. Vafaii, Galor and Yates (2024) write a count as the number of arrivals before time 1, with exponential gaps, and let an arrival at time $t$ count as $\mathrm{sigmoid}((1 - t)/\tau)$ in training. The *bound* is then evaluated with true counts, as it must be.

# %%
a, b_rate = torch.tensor(2.3, dtype=torch.float64), 0.8
counts = torch.poisson(a.expand(400_000), generator=rng)
log_ratio = counts * torch.log(a / b_rate) - a + b_rate
closed = a * torch.log(a / b_rate) - a + b_rate
away = (log_ratio.mean() - closed).abs() / (log_ratio.std() / len(counts) ** 0.5)
print(f"closed form {closed.item():.4f}, average of draws within 4 standard errors:", bool(away < 4))
equal = recorded_study("equal_vaes-digits")["runs"]
for split, claimed in (("validation", 5.05), ("test", 4.34)):
    of_split = [run for run in equal if run["split"] == split]
    bounds = [[run["nats"] for run in of_split if run["kind"] == kind] for kind in ("VAE", "Poisson latents")]
    loss = (sum(bounds[1]) - sum(bounds[0])) / 3
    report(f"what Poisson latents cost, {split}", loss, claimed=claimed, tolerance=0.01)

# %% [markdown]
# With equal settings and three seeds each (`python studies/equal_vaes.py`), counts cost 4 to 5 nats on these digits. A Poisson with a mean of 3 may be a blunter code than a Gaussian that can be as narrow as it likes, or the relaxed gradient may be biased; we have not separated the two.
#
# **A condition.** Give encoder and decoder the class as well, and the model is of $p(x \mid y)$: ask for a digit, and vary the rest. The prior need not know the class; $z$ is then what the class does *not* say.

# %%
conditional = load_pretrained("conditional_vae-digits")
asked = conditional.sample(30, torch.arange(30) % 10, rng=seed(0), mean=True).round().long()
show.grid(
    asked, levels=17, rows=3, cols=list(range(10)), title="One column for each class",
    alt="Thirty samples of the conditional VAE as expected images: three of each digit 0 to 9, in its own column.",
)  # fmt: skip

# %% [markdown]
# **The ladder.** Bounds are marked: the NLL of a VAE is *at most* its figure.

# %%
show.likelihood_ladder(
    recorded_on("digits", lesson=10), highlight=["vae", "conditional_vae", "poisson_vae"],
    title="The VAE's bound stands beside FVSBN, 9 nats above the Gated PixelCNN",
)  # fmt: skip
pixelcnn = recorded("gated_pixelcnn-digits")["validation"]["nats"]
distance = deep["validation"]["nats"] - pixelcnn
report("the VAE's bound less the PixelCNN's NLL", distance, claimed=9.2, tolerance=0.1, unit="nats")

# %% [markdown]
# How much of the 9.2 nats is the gap of the bound, and how much the model? Nobody can say exactly, but more draws close the gap: lesson 11 finds that the first 50 gain 3 nats over the ELBO, and 500 only 0.4 more. So most of the 9.2 nats are probably the model's.
#
# ## 9 Break it
#
# Now train the loss of many tutorials: `mse_loss` (a mean over pixels) plus the KL divergence (a sum). Equation (10.8) says what will happen. Compare it with the same loss and a *sum* of squares over $2\sigma^2$, with $s^2 = 0.03$ (pixels as numbers in 0..1; the cell prints what the model then leaves of a pixel); there $\beta = 1$, where by (10.8) the mean of squares amounts to $\beta = D / 2 s^2$.

# %%
guess("latents that the other model uses, of 16", ...)  # if you like: a number in place of the dots

# %%
def mse_plus_kl(weight: float):
    def loss(model, x, y):
        posterior = model.encode(x)
        z = posterior.sample(1)[:, 0]
        expected = model.head.mean(model.decode(z)) / 16  # the categorical's mean serves as the decoder's x^
        return weight * F.mse_loss(expected, x / 16) + posterior.kl().sum(1).mean()

    return loss


broken, mended = (MLPVAE(train.shape, 17, latents=16, hidden=(128, 128)) for _ in range(2))
kl_of = {}
for name, model, weight in (("mean of squares", broken, 1.0), ("sum of squares / 2 sigma²", mended, 64 / (2 * 0.03))):
    fit(model, train, loss=mse_plus_kl(weight), label=name, **settings)
    with torch.no_grad():
        kl_of[name] = model.encode(validation.x).kl().mean(0)
    print(f"{name:28s} KL of each latent:", " ".join(f"≈ {k:.2f}" for k in kl_of[name].sort(descending=True).values))
report("KL with a mean of squares", kl_of["mean of squares"].sum().item(), claimed=0, tolerance=0.02, unit="nats")
report("beta that hides in the mean of squares", 64 / (2 * 0.03), claimed=1066.7, tolerance=0.1)
busy = int((kl_of["sum of squares / 2 sigma²"] > 0.1).sum())
report("latents that the other model uses, of 16", busy, claimed=5, tolerance=1)
left = ((mended.reconstruct(validation.x) - validation.x) / 16).square().mean().item()
report("what it leaves of a pixel, mean square", left, claimed=0.039, tolerance=0.01)

# %%
eight = validation.x[:8]
show.panels(
    {
        "validation": eight,
        "mean of squares + KL": broken.reconstruct(eight).round().long(),
        "sum / 2 sigma² + KL": mended.reconstruct(eight).round().long(),
    },
    levels=17, rows=2, cols=4, title="The same image for every input: the code is empty",
    alt="Eight validation digits; their reconstructions by the model trained with a mean of squares are all one gray "
    "blob, those by the model with the sum resemble most of the digits.",
)  # fmt: skip

# %% [markdown]
# **How to detect it.** No value of the loss gives it away, since nobody knows what it should be. The KL of *every* latent is 0, and all reconstructions are the same image. (The mended model leaves most of its sixteen latents unused, too; they cost nothing and say nothing. That is a partial collapse, and may be right.) This is **posterior collapse**; lesson 11 shows that it also has honest causes.
#
# ## 10 What the article says
#
# The course grew out of a Chinese article, 生成式AIGC：AI技术的前沿探索 (*Generative AIGC: exploring the frontier of AI*), and checks its claims, lesson by lesson. This lesson holds some of them against its numbers.
#
# | the article | verdict | what this lesson says |
# |---|---|---|
# | a VAE maps data to a low-dimensional code and decodes | imprecise | the encoder puts out a *distribution*; one draws from the prior and not from codes of data; and $z$ need not be smaller than $x$ |
# | a VAE "learns the probability distribution" and so avoids mode collapse | imprecise | it raises a lower bound. Forward KL punishes what it leaves out; its own faults are blur, an empty code (section 9) and places that the prior draws and no image fills (10.9) |
# | the diagram of the VAE: encoder, latent space, decoder | wrong | it has no prior, no draw, no path from the latent space to the decoder, and no loss |
# | the VAE's principle of training is the "latent distribution" | wrong | the principle is maximizing the ELBO (10.3) |
# | an autoregressive model has a prior model and a conditional generative model | wrong | that describes *this* lesson: $p(z)$ and $p(x \mid z)$. A PixelCNN has neither |
# | the prior of an autoregressive model is Gaussian or Poisson | wrong | a Gaussian is the usual prior of a VAE; a Poisson is a likelihood of counts, or an unusual prior (10.10) |
# | add a KL loss to the likelihood of an autoregressive model | wrong | minimizing the NLL minimizes a KL already (lesson 01). The separate KL term belongs to the ELBO |
# | $p(x \mid y)$ is the prior and $q(y \mid x)$ the conditional generative model | wrong | $p(y)$ is a prior, $p(x \mid y)$ a class-conditional likelihood, $q(y \mid x)$ a classifier |
# | $L_{KL} = \frac1N \sum_i \mathrm{KL}(p(x_i \mid y_i) \,\|\, q(x_i \mid y_i))$ | wrong | a KL divergence takes two distributions and not their values at one point; and with both of them learned, it is zero without any data |
#
# ## 11 Check yourself

# %% [markdown]
# 1. The ELBO of model A is higher than that of model B. Is A's likelihood higher?
#
# <details><summary>Answer</summary>Not necessarily. ELBO = log p(x) − gap (10.2): B may have the higher likelihood and a poor encoder. Compare tight bounds (lesson 11), or exact likelihoods where there are any.</details>
#
# 2. Why is one draw of z for each image enough in training, but not for a report?
#
# <details><summary>Answer</summary>The gradient of one draw is unbiased, and gradient descent averages over thousands of steps. A reported figure is an average over a few hundred images once; and a tighter bound needs many draws of each.</details>
#
# 3. A colleague scales the images to [0, 255] in place of [0, 1] and keeps "sum of squares + KL". What changes?
#
# <details><summary>Answer</summary>The squares grow by 65,025, so the KL term weighs 65,025 times less: the assumed variance ½ is now in squared gray levels. The code holds much more, and samples from the prior get worse.</details>
#
# 4. Could you use the score function for a decoder that is not differentiable?
#
# <details><summary>Answer</summary>Yes: it needs values of f only. You would pay with variance, as (10.6) says, and use many draws or a baseline.</details>
#
# 5. In (10.9) the mismatch of the 2-latent model is small. Why may it be larger with 16 latents?
#
# <details><summary>Answer</summary>A mixture of 1,257 narrow Gaussians fills a plane, but not 16 dimensions: most of the prior's mass lies far from all of them.</details>

# %% [markdown]
# ## Take-aways
#
# - log p(x) = ELBO + KL(q ‖ posterior): the ELBO is a bound whose gap is the encoder's error.
# - Reconstruction and KL are both *sums* in nats; any other scale is a hidden β.
# - A draw becomes differentiable by moving fixed noise. The score function is right as well, and far noisier.
# - The likelihood of a pixel is an assumption about noise, and the prior an assumption about codes. Both can be measured.
#
# ## Where next
#
# - Kingma, Welling, *Auto-Encoding Variational Bayes*, ICLR 2014, arXiv 1312.6114: sections 2 and 3 are this lesson; appendix B is (10.4).
# - Rezende, Mohamed, Wierstra, *Stochastic Backpropagation and Approximate Inference in Deep Generative Models*, ICML 2014, arXiv 1401.4082: the same idea, found independently.
# - Tipping, Bishop, *Probabilistic Principal Component Analysis*, Journal of the Royal Statistical Society B 61, 1999: the yardstick.
# - Vafaii, Galor, Yates, *Poisson Variational Autoencoder*, NeurIPS 2024, arXiv 2405.14473: counts as latents.
# - Lesson 11 makes the bound tighter and explains empty codes; lesson 12 makes codes of whole numbers. In the library, read [`vae.py`](../garm_course/latent/vae.py).

# %%
claims()
