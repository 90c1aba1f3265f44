# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 14 · Stabilizing GANs
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/14_stable_gans.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F14_stable_gans.ipynb)
#
# **Which changes to the game make it converge, what does each of them do, and which claims about them survive five seeds?**
#
# | | |
# |---|---|
# | Time | 85 minutes; the cells run in about half a minute |
# | Before this | the game, its losses and its failures, [lesson 13](13_gan_theory.ipynb) |
# | Afterwards you can | *compute* a Wasserstein distance on a line, *implement* a gradient penalty, power iteration and the hinge loss, *derive* why R1 makes the smallest GAN converge, *compare* methods over seeds with intervals, *diagnose* a critic that is too steep or too flat |
# | Papers | Arjovsky, Chintala, Bottou, *Wasserstein GAN*, ICML 2017, arXiv [1701.07875](https://arxiv.org/abs/1701.07875) · Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, *Improved Training of Wasserstein GANs*, NIPS 2017, arXiv [1704.00028](https://arxiv.org/abs/1704.00028) · Mescheder, Geiger, Nowozin, *Which Training Methods for GANs do actually Converge?*, ICML 2018, arXiv [1801.04406](https://arxiv.org/abs/1801.04406) · Miyato, Kataoka, Koyama, Yoshida, *Spectral Normalization for Generative Adversarial Networks*, ICLR 2018, arXiv [1802.05957](https://arxiv.org/abs/1802.05957) |

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
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course import (
    budget, check, claims, guess, load, load_pretrained, recorded, recorded_study, report, seed, show,
)  # fmt: skip
from garm_course.adversarial import DCGAN, MLPGAN, GANGame, clip_weights, js_divergence, r1_penalty, total_variation
from garm_course.evaluation import class_shares, frechet_distance
from garm_course.evaluation.features import features
from garm_course.lessons import lesson13
from garm_course.training import fit_game
from garm_course.transforms import unscale

# %% [markdown]
# ## 1 The question, in pictures
#
# Lesson 13 ended with two faults of the game: the divergence that it measures is flat where supports are apart (13.4), and gradient steps rotate around the equilibrium (13.9). Here is the rotation in the smallest GAN there is, the **Dirac-GAN** of Mescheder and colleagues (2018). All data are the number 0. The generator draws one number, $\theta$, always the same. The discriminator
# has one weight $\psi$ and the logit $\psi x$. Both start near the solution $(0, 0)$, and take turns:

# %%
guess("distance from the solution after 300 steps", ...)  # if you like: a number in place of the dots

# %%
def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def dirac_game(
    gamma: float = 0.0, saturating: bool = True, steps: int = 300, lr: float = 0.1
) -> list[tuple[float, float]]:
    """Alternating steps of the Dirac-GAN from (1, ½); `gamma` is the weight of R1, which section 3 explains."""
    theta, psi = 1.0, 0.5
    path = [(theta, psi)]
    for _ in range(steps):
        psi -= lr * (theta * sigmoid(psi * theta) + gamma * psi)  # of -log σ(0) - log(1 - σ(ψθ)) + γ/2 ψ²
        s = psi * theta
        theta += lr * psi * (sigmoid(s) if saturating else sigmoid(-s))  # of log(1 - σ(ψθ)), or of -log σ(ψθ)
        path.append((theta, psi))
    return path


plain = dirac_game()
show.curves(
    {"theta": [(k, w[0]) for k, w in enumerate(plain)][::3], "psi": [(k, w[1]) for k, w in enumerate(plain)][::3]},
    ylabel="value",
    ylim=(-2, 2),
    title="The two players go round the solution and never arrive",
    alt="theta and psi over 300 steps: two waves of constant height, shifted against each other.",
)
report("distance from the solution at the start", math.hypot(*plain[0]), claimed=1.118, tolerance=0.001)
report("distance from the solution after 300 steps", math.hypot(*plain[-1]), claimed=1.13, tolerance=0.1)
crawling = dirac_game(saturating=False)
report("with the non-saturating loss", math.hypot(*crawling[-1]), claimed=0.479, tolerance=0.001)

# %% [markdown]
# No noise, no network, no data to speak of, and no convergence. (With the non-saturating loss it crawls: in small steps $\theta^2 + \psi^2$ changes at the rate $-2\,\theta\psi \tanh(\theta\psi / 2)$, a brake of fourth order, which fades as the players come near.) Three kinds of remedies are in use: another distance (section 2), a flatter critic (section 3), other steps (section 6). We take them apart one by one, and then count what they do.
#
# ## 2 A distance with a slope
#
# The **Wasserstein-1** distance is the least work of moving one distribution onto the other: mass times way. On a line the least work is to move in order, the smallest number to the smallest. For two samples of $N$ numbers, and for distribution functions $F_p$ and $F_g$,
#
# $$W_1(p, g) = \frac1N \sum_{i=1}^{N} \big|a_{(i)} - b_{(i)}\big| = \int \big|F_p(x) - F_g(x)\big|\, dx \tag{14.1}$$
#
# where $a_{(i)}$ is the $i$-th smallest. The second form is the area between the two staircases $F_p$ and $F_g$, cut into columns and not into rows.

# %% [markdown]
# **Exercise 1 · `wasserstein1`** · ●○○ · 4 minutes
#
# Compute the first form of (14.1).
#
# - `a`, `b`: `(N,)` numbers in any order.
# - Returns a scalar tensor, differentiable.
#
# Example: `wasserstein1(torch.tensor([0., 1.]), torch.tensor([3., 2.]))` is 2: 0 goes to 2, and 1 to 3.
#
# <details><summary>Hint</summary><code>torch.sort</code> returns the sorted values and where they were; take the values.</details>

# %%
@check
def wasserstein1(a: Tensor, b: Tensor) -> Tensor:
    """mean |sorted a - sorted b|, a scalar."""
    raise NotImplementedError("Replace this line with your answer.")

# %%
a = torch.randn(400, dtype=torch.float64, generator=seed(1))
b = 0.5 * torch.randn(400, dtype=torch.float64, generator=seed(2)) + 1.5
points = torch.cat([a, b]).sort().values
below_a, below_b = ((s[None] <= points[:-1, None]).double().mean(1) for s in (a, b))  # F_p and F_g between the points
area = ((below_a - below_b).abs() * points.diff()).sum()
report("rows minus columns of (14.1)", (wasserstein1(a, b) - area).abs(), claimed=0, tolerance=1e-12)

# %% [markdown]
# Now the case of (13.4), two points that share nothing: $p$ is all at 0, $g$ all at $\theta$. The way is $|\theta|$, whatever JS says. Its slope is $\pm 1$ everywhere but at $\theta = 0$: it says which way is better, and does not fade.

# %%
theta = torch.tensor([3.0], requires_grad=True)
[slope] = torch.autograd.grad(wasserstein1(torch.zeros(1), theta), theta)
report("slope of W1 at theta 3", slope.item(), claimed=1, tolerance=1e-6)
grid = torch.linspace(-15, 25, 4001, dtype=torch.float64)
width = grid[1] - grid[0]


def gaussian(center: float) -> Tensor:
    t = torch.exp(-0.5 * (grid - center) ** 2)
    return t / t.sum()


shifts = [0.25 * k for k in range(41)]
w1 = [((gaussian(0).cumsum(0) - gaussian(d).cumsum(0)).abs().sum() * width).item() for d in shifts]
js = [js_divergence(gaussian(0), gaussian(d)).item() for d in shifts]
show.curves({"Wasserstein-1": (shifts, w1), "Jensen-Shannon": (shifts, js)}, ylim=(0, 10),
               xlabel="distance of two Gaussians, in standard deviations", ylabel="distance, or nats",
               title="W1 keeps its slope where JS is flat",
               alt="Against the distance of two Gaussians from 0 to 10: W1 is the straight line from 0 to 10; JS rises "
               "to 0.69 and stays there.")  # fmt: skip
report("W1 of two Gaussians at distance 6", w1[24], claimed=6, tolerance=1e-6)

# %% [markdown]
# **Where is the critic?** Sorting does not work for images. But (14.1) has another side. Take a function $f$ that nowhere rises or falls by more than 1 per unit, $|f'| \le 1$. Integrate by parts: $\mathbb E_p f - \mathbb E_g f = \int f' (F_g - F_p) \le \int |F_g - F_p| = W_1$, with equality for $f' = \mathrm{sgn}(F_g - F_p)$. In any dimension (Kantorovich and Rubinstein),
# $W_1(p, g)$ is the largest $\mathbb E_p f - \mathbb E_g f$ over all $f$ with slopes of at most 1. So: a critic without a sigmoid, whose loss is $\mathbb E_g f - \mathbb E_p f$, and who is *kept flat*. The generator descends $-\mathbb E_g f$. That is the Wasserstein GAN. Check the equality with the samples from above:

# %%
rises = torch.sign(below_b - below_a)  # the best slope between the points
f = torch.cat([torch.zeros(1, dtype=torch.float64), (rises * points.diff()).cumsum(0)])
at_a, at_b = (f[torch.searchsorted(points, s)].mean() for s in (a, b))
report("best critic's difference minus W1", (at_a - at_b - area).abs(), claimed=0, tolerance=1e-9)

# %% [markdown]
# ## 3 Keeping the critic flat
#
# **The gradient penalty** (Gulrajani and colleagues, 2017) asks for a slope of 1 between data and fakes. Why 1, and not at most 1? The best critic has slope 1 wherever mass travels (on the line $f' = \mathrm{sgn}(F_g - F_p)$). Here the pairs are drawn at random and not by the best transport, so this is a heuristic. Draw $\epsilon$ uniformly from $[0, 1]$ for each example, and
#
# $$\mathrm{GP} = \mathbb E \big(|\nabla_{\hat x} f(\hat x)| - 1\big)^2, \qquad \hat x = \epsilon\, x + (1 - \epsilon)\, G(z) \tag{14.2}$$
#
# The critic then descends $\mathbb E_g f - \mathbb E_p f + \lambda\, \mathrm{GP}$, with $\lambda = 10$ in the paper and here. The gradient is with respect to the *image*, one for each example. And the penalty must teach the critic, so it has to be differentiated once more, in the weights. For a linear critic $f(x) = w \cdot x$ both can be done by hand: $\nabla f = w$ everywhere, so $\mathrm{GP} = (|w| - 1)^2$, and its gradient in $w$ is $2\,(|w| - 1)\, w / |w|$.

# %% [markdown]
# **Exercise 2 · `gradient_penalty`** · ●●● · 12 minutes
#
# Write (14.2) for any critic.
#
# - `critic`: `(B, ...)` to scores `(B,)`. `real`, `fake`: `(B, ...)`. `eps`: `(B,)` in [0, 1].
# - Returns a scalar tensor that has a gradient in the critic's weights. The call leaves nothing in their `grad`.
#
# Example: for the critic `x.sum(1)` of points in the plane the slope is √2 everywhere, so the penalty is $(\sqrt 2 - 1)^2 = 0.1716$.
#
# <details><summary>Hint 1</summary>Reshape eps to (B, 1, ..., 1), build x̂, cut its history, and call <code>requires_grad_()</code>.</details>
# <details><summary>Hint 2</summary><code>torch.autograd.grad(critic(x).sum(), x, create_graph=True)</code> is a tuple with the gradients of all scores, each with respect to its own example.</details>
# <details><summary>Hint 3</summary>Flatten all but the first axis before the norm: one number for each example.</details>

# %%
@check
def gradient_penalty(critic: Callable, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    """mean (|gradient of the critic at eps real + (1 - eps) fake| - 1)^2, a scalar."""
    raise NotImplementedError("Replace this line with your answer.")

# %%
w = torch.tensor([0.6, -1.1, 0.4], dtype=torch.float64, requires_grad=True)
x, y = (torch.randn(8, 3, dtype=torch.float64, generator=seed(s)) for s in (3, 4))
penalty = gradient_penalty(lambda t: t @ w, x, y, torch.rand(8, dtype=torch.float64, generator=seed(5)))
[teaches] = torch.autograd.grad(penalty, w)
report(
    "penalty of a linear critic minus (|w| - 1)²",
    (penalty - (w.norm() - 1) ** 2).abs().item(),
    claimed=0,
    tolerance=1e-12,
)
by_hand = 2 * (w.norm() - 1) * w / w.norm()
report("its gradient minus the one by hand", (teaches - by_hand).abs().max().item(), claimed=0, tolerance=1e-12)

# %% [markdown]
# **Clipping** (the first Wasserstein GAN): after every step push each weight of the critic into $[-c, c]$. For one linear unit of $d$ inputs, Cauchy and Schwarz give
#
# $$|f(x) - f(y)| \le |w|\, |x - y| \le c \sqrt d\; |x - y| \tag{14.3}$$
#
# A bound, but a crude one: a layer with $d$ inputs and $m$ outputs stretches by at most $c\sqrt{dm}$, and layers multiply. Small $c$ leaves no slope at all after a few layers, large $c$ leaves a bound that is useless. Section 9 has the figures.

# %%
clipped = nn.Linear(64, 1, bias=False)
nn.init.normal_(clipped.weight, std=3.0, generator=seed(6))
clip_weights(clipped, 0.1)
report(
    "slope of a clipped unit over c times the root of d",
    clipped.weight.norm().item() / (0.1 * 8),
    claimed=0.98,
    tolerance=0.03,
)

# %% [markdown]
# **R1** (Mescheder and colleagues, 2018) penalizes the slope *at the data* only, and pulls it to 0 (here $D$ is the logit):
#
# $$R_1 = \frac{\gamma}{2}\, \mathbb E_{x \sim p} |\nabla_x D(x)|^2 \tag{14.4}$$
#
# It does not aim at a distance. At the equilibrium the fakes are the data and the critic has nothing to say, so it should be *flat* there, which now means slope 0 and not slope at most 1; section 5 shows that this is what stops the rotation. For $D = \frac12 x^\top A x$ with symmetric $A$, the gradient is $A x$:

# %%
A = torch.randn(3, 3, dtype=torch.float64, generator=seed(7))
A = A + A.T
found = r1_penalty(lambda t: 0.5 * ((t @ A) * t).sum(1), x, gamma=0.3)
report(
    "R1 of a quadratic form minus γ/2 mean |Ax|²",
    (found - 0.15 * (x @ A).square().sum(1).mean()).abs().item(),
    claimed=0,
    tolerance=1e-12,
)

# %% [markdown]
# **Spectral normalization** (Miyato and colleagues, 2018) divides each weight matrix by its largest singular value $\sigma_1$, so that no linear layer stretches (ReLU and LeakyReLU do not either). Computing all singular values at each step would be dear; the largest one comes from **power iteration**. Write $W = \sum_i \sigma_i\, u_i v_i^\top$. One round of
#
# $$v \leftarrow \frac{W^\top u}{|W^\top u|}, \qquad u \leftarrow \frac{W v}{|W v|}, \qquad \sigma \approx u^\top W v \tag{14.5}$$
#
# multiplies the part of $u$ along $u_i$ by $\sigma_i^2$ (and scales). After $n$ rounds the other directions have shrunk by $(\sigma_i / \sigma_1)^{2n}$ against the first, if $\sigma_1$ is larger than the others and the start has a part along $u_1$. Since weights move little from step to step, one round for each step, from the last $u$, is enough in practice.

# %% [markdown]
# **Exercise 3 · `spectral_norm`** · ●●○ · 8 minutes
#
# Run (14.5) $n$ times from a given $u$.
#
# - `W`: `(M, N)`. `u`: `(M,)`, where to start. `n`: rounds, at least 1.
# - Returns the scalar $u^\top W v$ after the last round.
#
# Example: `spectral_norm(torch.tensor([[3., 0.], [0., 2.]]), torch.tensor([1., 1.]), 1)` is 2.732, with v = (0.832, 0.555) and u = (0.914, 0.406); after 30 rounds it is 3.
#
# <details><summary>Hint</summary><code>F.normalize(t, dim=0)</code> divides a vector by its length.</details>

# %%
@check
def spectral_norm(W: Tensor, u: Tensor, n: int) -> Tensor:
    """uᵀ W v after n rounds of power iteration, a scalar."""
    raise NotImplementedError("Replace this line with your answer.")

# %%
W = torch.randn(20, 30, dtype=torch.float64, generator=seed(8))
u = torch.randn(20, dtype=torch.float64, generator=seed(9))
sigmas = torch.linalg.svdvals(W)
for rounds in (1, 10, 100):
    print(f"{rounds:4d} round{'s' * (rounds > 1)}: {spectral_norm(W, u, rounds).item():.6f} of {sigmas[0].item():.6f}")
report("error after 500 rounds", (spectral_norm(W, u, 500) - sigmas[0]).abs().item(), claimed=0, tolerance=1e-8)

# %% [markdown]
# **A caution.** For a convolution the usual program reshapes the kernel `(out, in, 3, 3)` to a matrix `(out, in · 9)` and normalizes *that*. But the matrix of the convolution, which takes a whole image to a whole image, is another one. Build it by convolving every unit image, and compare:

# %%
kernel = torch.randn(8, 4, 3, 3, dtype=torch.float64, generator=seed(10))
units = torch.eye(4 * 8 * 8, dtype=torch.float64).reshape(-1, 4, 8, 8)
operator = F.conv2d(units, kernel, padding=1).flatten(1).T  # (8 · 64, 4 · 64)
reshaped, real_norm = (torch.linalg.svdvals(m)[0].item() for m in (kernel.flatten(1), operator))
report("largest singular value of the reshaped kernel", reshaped, claimed=8.355, tolerance=0.001)
report("of the convolution itself, on 8 x 8 images", real_norm, claimed=14.666, tolerance=0.001)

# %% [markdown]
# So a "normalized" convolution may still stretch: spectral normalization bounds a stand-in. The convolution is bounded all the same. It first copies each pixel into the nine patches that hold it, which stretches by at most $\sqrt 9 = 3$, and then applies the reshaped matrix to each patch.
#
# ## 4 The hinge loss
#
# Spectral normalization is mostly used with this loss. The critic wants data above $+1$ and fakes below $-1$, and does not care beyond:
#
# $$L_D = \mathbb E_p \max(0,\, 1 - D) + \mathbb E_g \max(0,\, 1 + D), \qquad D^* = \mathrm{sgn}(p - g), \qquad L_D^* = 2 \sum \min(p, g) = 2\,(1 - \mathrm{TV}) \tag{14.6}$$
#
# Pointwise again: between $-1$ and $1$ the loss at $x$ is $p\,(1 - D) + g\,(1 + D)$, a straight line in $D$ with slope $g - p$, so the best is an end (anything between where $p = g$), and its value there is $2 \min(p, g)$. Beyond $1$ only $g\,(1 + D)$ is left and below $-1$ only $p\,(1 - D)$, and both grow outwards. TV is the total variation distance, $\frac12 \sum |p - g|$; with $\min(p, g) = \frac12 (p + g) - \frac12 |p - g|$ the sum is $2\,(1 - \mathrm{TV})$. The generator descends $-\mathbb E_g D$.

# %% [markdown]
# **Exercise 4 · `hinge_d_loss`** · ●○○ · 4 minutes
#
# Write $L_D$ of (14.6).
#
# - `real_scores` `(B,)`, `fake_scores` `(B',)`: any real numbers.
# - Returns a scalar tensor with a gradient.
#
# Example: `hinge_d_loss(torch.tensor([0.5, 3.0]), torch.tensor([-2.0, 0.0]))` is 0.75, which is $(0.5 + 0)/2 + (0 + 1)/2$.
#
# <details><summary>Hint</summary><code>F.relu(t)</code> is max(0, t).</details>

# %%
@check
def hinge_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """mean max(0, 1 - real) + mean max(0, 1 + fake), a scalar."""
    raise NotImplementedError("Replace this line with your answer.")

# %%
p, g = (torch.randn(7, dtype=torch.float64, generator=seed(s)).softmax(0) for s in (11, 12))
D = torch.sign(p - g)
best = (p * F.relu(1 - D) + g * F.relu(1 + D)).sum()
report("error of (14.6)", (best - 2 * (1 - total_variation(p, g))).abs().item(), claimed=0, tolerance=1e-12)
others = D + torch.randn(10_000, 7, dtype=torch.float64, generator=seed(13))
losses = (p * F.relu(1 - others) + g * F.relu(1 + others)).sum(1)
report("critics of 10,000 with a smaller loss", int((losses < best - 1e-12).sum()), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# ## 5 Why R1 converges
#
# Back to the Dirac-GAN. The discriminator ascends $\log(1 - \sigma(\psi\theta)) - \frac\gamma2 \psi^2$ (the gradient of $\psi x$ in $x$ is $\psi$), and the generator descends $\log(1 - \sigma(\psi\theta))$. In small steps they follow the field $\dot\theta = \sigma(\psi\theta)\,\psi$, $\dot\psi = -\sigma(\psi\theta)\,\theta - \gamma\psi$. With $h(s) = -\log(1 - \sigma(s))$ the slope is $h' = \sigma(s)$, which near the solution is $h' = \frac12$. The Jacobian of the field at $(0, 0)$ and the eigenvalues of that are
#
# $$J = \begin{pmatrix} 0 & h' \\ -h' & -\gamma \end{pmatrix}, \qquad \lambda = -\frac\gamma2 \pm \sqrt{\frac{\gamma^2}{4} - h'^2} \tag{14.7}$$
#
# Without the penalty $\lambda = \pm i h'$: the linear part only turns, no matter how small the steps are. (That leaves the rest open: the non-saturating game has the same $J$ and crawls inwards. Here $\theta\dot\theta + \psi\dot\psi = \sigma\theta\psi - \sigma\theta\psi = 0$, so the path is a circle.) With the penalty and $\gamma < 2h' = 1$ the real part is $-\gamma/2$, and the path is a spiral *inwards*. From $\gamma = 1$ on both eigenvalues are real and negative, and no rotation is left. The critic's own slope is what keeps the wheel turning, and R1 is a brake on it. Check with autograd at $\gamma = 0.3$:

# %%
def field(w: Tensor, gamma: float) -> Tensor:
    theta, psi = w.detach().requires_grad_() if not w.requires_grad else w
    value = torch.log(1 - torch.sigmoid(psi * theta))
    down, up = torch.autograd.grad(value, (theta, psi), create_graph=True)
    return torch.stack([-down, up - gamma * psi])


for gamma in (0.0, 0.3):
    J = torch.autograd.functional.jacobian(lambda w, gamma=gamma: field(w, gamma), torch.zeros(2, dtype=torch.float64))
    values = torch.linalg.eigvals(J)
    value = values[values.imag.argmax()].item()
    print(f"gamma {gamma}: eigenvalues {round(value.real, 3) + 0.0:.3f} ± {value.imag:.3f}i")
exact = -0.15 + 1j * math.sqrt(0.25 - 0.0225)
report("error of (14.7)", (values - exact).abs().min().item(), claimed=0, tolerance=1e-12)
report("imaginary part", values.imag.max().item(), claimed=0.477, tolerance=0.001)

# %%
paths = {f"gamma {gamma:g}": dirac_game(gamma) for gamma in (0.0, 0.1, 0.3, 1.0)}
show.curves(
    {name: [(k, math.hypot(*w)) for k, w in enumerate(path)][::3] for name, path in paths.items()},
    ylim=(0, 1.4),
    ylabel="distance from the solution",
    title="R1 turns the circle into a way inwards",
    alt="Distance from the solution over 300 steps: about 1.1 without R1; with gamma 0.1, 0.3 and 1 it falls, "
    "to 0.26 for 0.1 and near 0 for the others.",
)
report("distance after 300 steps with gamma 0.3", math.hypot(*paths["gamma 0.3"][-1]), claimed=0.012, tolerance=0.01)

# %% [markdown]
# Turn the brake yourself. Where is the approach fastest, and what happens for $\gamma$ near 2?

# %%
lesson13.orbit(dirac_game, gamma=0.2)

# %% [markdown]
# ## 6 Other steps
#
# **Average the generator.** If the players go round the solution, the *mean* of whole turns lies near it. Keep a second copy of the generator's weights that follows slowly, and draw from that one:
#
# $$\bar\theta \leftarrow \rho\, \bar\theta + (1 - \rho)\, \theta \tag{14.8}$$
#
# The copy is a weighted mean of all weights so far, and a weight $k$ steps ago counts $\rho^k (1 - \rho)$: with $\rho = 0.995$ half of it lies in the last 138 steps. The training itself does not see the copy.

# %%
rho, average, averages = 0.98, plain[0], [plain[0]]
for w in plain[1:]:
    average = tuple(rho * old + (1 - rho) * new for old, new in zip(average, w, strict=True))
    averages.append(average)
weights = [(1 - rho) * rho ** (300 - k) for k in range(1, 301)]
direct = rho**300 * plain[0][0] + sum(c * w[0] for c, w in zip(weights, plain[1:], strict=True))
report("recursion minus weighted sum", abs(direct - average[0]), claimed=0, tolerance=1e-12)
print(f"steps until half of the weight is forgotten at rho 0.995: {math.log(2) / -math.log(0.995):.0f}")
rises = [k for k in range(1, 300) if plain[k - 1][0] < 0 <= plain[k][0]]  # theta passes 0 upwards
report("steps of a turn", rises[1] - rises[0], claimed=131, tolerance=2)
report(
    "mean distance of the average, last 100 steps",
    sum(math.hypot(*w) for w in averages[-100:]) / 100,
    claimed=0.44,
    tolerance=0.05,
)
report(
    "mean distance of the players themselves",
    sum(math.hypot(*w) for w in plain[-100:]) / 100,
    claimed=1.1,
    tolerance=0.1,
)

# %% [markdown]
# The average goes round as well, on a smaller circle: 0.42 in place of 1.1. A turn takes about 130 steps, and $\rho = 0.98$ remembers about 50. A larger $\rho$ makes the circle smaller, but then 300 steps are too few to forget the start (question 4). Here both players are averaged, to measure a distance; in practice only the generator is.
#
# **Two learning rates** (Heusel and colleagues, 2017): let the critic learn faster than the generator, so that it is nearer to its best for the current generator. Lesson 13 has shown the other extreme, a fast generator that loses its modes in ten of ten seeds.
#
# ## 7 What each of them does, over five seeds
#
# `python studies/stable_gans.py` trained nine variants, five seeds each, with equal networks and equally many generator steps: 3,000 on the 25-mode grid, 2,500 on `digits`. "Plain" is the non-saturating loss, both learning rates 0.001 and falling to 0. The others change only what they are called after: clipping at $c = 0.05$, the penalty (14.2) with weight 10, R1 with $\gamma = 0.1$, rates of 0.0005 and 0.002, averages with $\rho = 0.995$. The Wasserstein ones take three critic steps for each generator step, as their theory wants a good critic; that costs about twice the time. Three figures: the modes reached (of 25, counted as in lesson 13), the share of samples
# within three standard deviations of a mode, and on digits the Fréchet distance of 180 samples to the 180 validation images. It is $|\mu_1 - \mu_2|^2 + \mathrm{tr}\big(C_1 + C_2 - 2\,(C_1 C_2)^{1/2}\big)$ for the means and covariances of two sets of images in the features of a network, here the course's own classifier (lower is better; FID is the same in the features of a network for ImageNet, so the figures compare only within this data set).
#
# With five seeds a mean is uncertain. For $n$ independent seeds with mean $\bar m$ whose figures are roughly normal, the interval that holds the true mean in 95 of 100 such studies is
#
# $$\bar m \pm t_{0.975,\, n-1}\, \frac{s}{\sqrt n}, \qquad t_{0.975,\, 4} = 2.776 \tag{14.9}$$
#
# with the standard deviation $s$ of the seeds. (Counts of modes near 25 are not normal: 24.0 ± 2.2 does not mean that more than 25 are possible, and 25.0 ± 0.0 not that all is certain.) In the figure dots are runs, diamonds are means, and bars are these intervals. Before you run the cell: which would you bet on?

# %%
study = recorded_study("stable_gans")
methods = list(study["methods"])


def figures(problem: str, key: str) -> dict[str, list[float]]:
    return {m: [r[key] for r in study["runs"] if (r["problem"], r["method"]) == (problem, m)] for m in methods}


modes, share, frechet = figures("grid", "modes"), figures("grid", "share"), figures("digits", "frechet")
seconds = figures("digits", "cpu_seconds")
print(f"{'':20s} {'modes of 25':>14s} {'share near one':>18s} {'Fréchet, digits':>18s} {'seconds, digits':>15s}")
for m in methods:
    cells = [show.interval(f[m]) for f in (modes, share, frechet)]
    print(f"{m:20s} {cells[0][0]:7.1f} ± {cells[0][1]:4.1f} {cells[1][0]:11.3f} ± {cells[1][1]:.3f}"
          f" {cells[2][0]:11.0f} ± {cells[2][1]:4.0f} {sum(seconds[m]) / 5:13.0f}")  # fmt: skip

# %%
show.runs(
    {
        "share of samples near a mode, 25-mode grid (higher is better)": share,
        "Fréchet distance, digits (lower is better)": frechet,
    },
    title="What is best on digits is not what is best on the grid",
    alt="Nine methods, five runs each. Near a mode on the grid: 0.11 to 0.14 for plain, averaged, R1 and two learning "
    "rates, 0.05 and less for the others. Fréchet distance on digits: 19 for the gradient penalty, 53 for clipping, 60 "
    "to 65 for R1, above 100 for the others, 257 for the hinge loss with spectral normalization.",
)

# %%
def seeds(values: dict, method: str, test: Callable[[float], bool]) -> int:
    return sum(test(v) for v in values[method])


report(
    "gradient penalty, seeds of five with a Fréchet distance of at most 25",
    seeds(frechet, "gradient penalty", lambda v: v <= 25),
    claimed=5,
    tolerance=0,
    exact=True,
)
report("plain, seeds of five below 100", seeds(frechet, "plain", lambda v: v < 100), claimed=0, tolerance=0, exact=True)
report("R1, seeds of five below 100", seeds(frechet, "R1", lambda v: v < 100), claimed=5, tolerance=0, exact=True)
report(
    "spectral, seeds of five that reach at most 23 of 25 modes",
    seeds(modes, "spectral, hinge", lambda v: v <= 23),
    claimed=5,
    tolerance=0,
    exact=True,
)
report(
    "runs of 90 in which a loss was not finite",
    sum("diverged" in r for r in study["runs"]),
    claimed=0,
    tolerance=0,
    exact=True,
)
mean = {m: show.interval(v) for m, v in frechet.items()}
report("Fréchet distance of the gradient penalty, mean", mean["gradient penalty"][0], claimed=18.8, tolerance=0.1)
report("clipped weights, mean", mean["clipped weights"][0], claimed=53, tolerance=0.5)
report("R1 and averaged, mean", mean["R1 and averaged"][0], claimed=60.4, tolerance=0.1)
report("spectral, fewest modes reached", min(modes["spectral, hinge"]), claimed=6, tolerance=0, exact=True)

# %% [markdown]
# What this study says, and what it does not:
#
# - On digits the gradient penalty is far ahead, in five of five seeds, at three times the price. With 180 images a perfect memory of the training set scores 13.6 (recorded, with a standard error of 6.2), so 19 is about as good as can be seen here. Clipping is second, 53, at twice the price of plain. At the price of plain itself R1 is ahead with 65, or 60 with averaging; the two are not to be told apart. But the Wasserstein methods had three critic steps and the others one, so how much of their gain comes from the steps the study does not say.
# - On the grid the two Wasserstein methods, the best ones on digits, come last: one or two samples in a hundred lie near a mode. R1 loses nothing there. Which of plain, R1, two rates and averaging is best on the grid, five seeds cannot say. (A critic with slopes of at most 1 is a poor magnifier of modes that are 0.05 wide. That is a guess; the study does not test it.)
# - The hinge loss with spectral normalization has the worst Fréchet distance and reaches the fewest modes *here* (12 of 25, from 6 to 23): with these learning rates, these networks, and no tuning. In its paper, with large convolutions and other rates, it is among the best. Nothing was tuned for any of the nine; a study that tunes only its own method proves little.
# - Averaging alone hardly changes the figures. Here the learning rate falls to 0 in the end, which may do the same job; the study has no run without that.
# - More steps help as well: the recorded model of section 8 is "R1 and averaged" with the same network and 4,000 steps in place of 2,500. It goes from 60 to 19, level with the gradient penalty, in less processor time: at equal cost the two tie.
#
# One of them live, the gradient penalty with 800 steps:

# %%
train, validation = load("digits", "train"), load("digits", "validation")
classifier = load_pretrained("classifier-digits")
real = features(classifier, validation.x)
seed(0)
live = MLPGAN((1, 8, 8), 17, latents=32, hidden=(256, 256))
history = fit_game(
    GANGame(live, loss="wasserstein", penalty=10.0, critic_steps=3),
    train,
    decay=True,
    label="gradient penalty",
    steps=budget(smoke=2, quick=800, full=2500),
    watch_every=20,
)
drawn = unscale(live.sample(180, rng=seed(0)), 17)
report(
    "Fréchet distance of the live model", frechet_distance(real, features(classifier, drawn)), claimed=35, tolerance=20
)

# %%
show.curves(
    {"minus the critic's loss": [(k, -v) for k, v in history.terms["critic"]]},
    ylabel="E f(data) - E f(fakes)",
    ylim=(0, 3.3),
    title="An estimate of a distance: once the critic has learned, it falls",
    alt="The difference of the critic's mean scores of data and fakes over 800 steps: it rises to about 3 at "
    "first, then falls below 1.",
)

# %% [markdown]
# With a good flat critic, the difference of mean scores estimates $W_1$, so this curve says something about the samples. (Its rise at the start is the critic's, which learns first.) The cross-entropy of a nearly best discriminator estimates a divergence too (13.3), but one that stays at $\log 2$ as long as the supports are apart. The generator's loss estimates nothing.
#
# ## 8 Use the library: recorded models
#
# The same class as above, trained with `garm train gan --data digits` (R1, averaged, 4,000 steps, 15 seconds), three seeds; and a convolutional one, the **DCGAN** of Radford, Metz and Chintala (2016), on printed digits of 28 x 28, `garm train conditional_dcgan --data glyphs`. It is *conditional*: the generator reads the class, and the critic's score is $w \cdot \varphi(x) + e_y \cdot \varphi(x)$, a **projection** on a
# vector for each class (Miyato and Koyama, 2018). For MNIST, hand `load("mnist", "train")` to the same class; that takes a GPU, or patience.

# %% tags=["exact"]
for name in ("gan-digits", "conditional_dcgan-glyphs"):
    entry = recorded(name)
    own, memory = entry["validation"], entry["baselines"]["training images"]
    print(  # precision: samples that lie near data; recall: data that lie near samples
        f"{name}: Fréchet {own['frechet']:.1f} (training images {memory['frechet']:.1f}), "
        f"precision {own['precision']:.2f} ({memory['precision']:.2f}), recall {own['recall']:.2f} "
        f"({memory['recall']:.2f}), rarest class {own['least_class']:.3f}, {sum(entry['cpu_seconds']) / 3:.0f} s"
    )
entry = recorded("gan-digits")["validation"]
report("recorded GAN on digits, Fréchet distance, mean of three seeds", entry["frechet"], claimed=18.9, tolerance=0.1)
report("its rarest class", entry["least_class"], claimed=0.070, tolerance=0.005)
share_real = class_shares(classifier, validation.x).min().item()
print(f"rarest class of the validation images, read by the same classifier: ≈ {share_real:.3f}")

# %%
gan, dcgan = load_pretrained("gan-digits"), load_pretrained("conditional_dcgan-glyphs")
show.panels(
    {"drawn": unscale(gan.sample(16, rng=seed(0)), 17), "real": validation.x[:16]},
    levels=17,
    title="Sharp, most of them legible",
    alt="16 samples of the recorded GAN beside 16 real digits: most can be read, some are between two digits.",
)
show.grid(
    unscale(dcgan.sample(30, torch.arange(30) % 10, rng=seed(0)), 2),
    levels=2,
    rows=3,
    cols=list(range(10)),
    title="One column for each class",
    alt="Thirty samples of the conditional DCGAN, three of each digit 0 to 9: "
    "printed digits with ragged strokes; nearly all show their class.",
)

# %% [markdown]
# On `glyphs` diversity can be *counted*. The data are 8,910 prototypes with one pixel in a hundred flipped, so assign each sample to its nearest prototype: how many different ones do 500 samples show, and how far are they from it?

# %%
guess("different prototypes among 500 samples", ...)  # if you like: a number in place of the dots

# %%
glyphs = load("glyphs", "validation", n=500)
drawn = unscale(dcgan.sample(500, glyphs.y, rng=seed(0)), 2)
index, off = glyphs.nearest_prototype(drawn)
right = (glyphs.prototype_factors["digit"][index] == glyphs.y).double().mean().item()
report("different prototypes among 500 samples", len(index.unique()), claimed=440, tolerance=15)
report("among 500 images of the data", len(glyphs.prototype.unique()), claimed=489, tolerance=0, exact=True)
report("samples whose nearest prototype has the class that was asked for", right, claimed=0.92, tolerance=0.02)
report("pixels off the nearest prototype, mean", off.double().mean().item(), claimed=54, tolerance=4)
report("the same for data", glyphs.nearest_prototype(glyphs.x)[1].double().mean().item(), claimed=7.98, tolerance=0.01)

# %% [markdown]
# No collapse: by this count nine tenths of the diversity of the data. But a sample is off by 54 pixels where an image is off by 8. (With so many wrong pixels the nearest prototype is partly chance, and chance spreads the samples, so the count is generous.) The faults are in the strokes, and the eye forgives more of them than the count.
#
# **Batch normalization and a penalty do not go together.** In a critic with batch normalization each score depends on all images of the batch. Then "the gradient of the score of *this* image" is not what (14.2) and (14.4) are about. The library refuses:

# %%
try:
    normalized = DCGAN((1, 28, 28), 2, channels=4, critic_batch_norm=True)
    fit_game(GANGame(normalized, r1=0.1), load("glyphs", "train", n=64), steps=1)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ## 9 Break it
#
# **One norm for the whole batch.** `slope.norm()` in place of `slope.flatten(1).norm(dim=1)`. A critic of slope exactly 1 deserves no penalty. With a batch of 64 its gradients together have the length $\sqrt{64} = 8$:

# %%
unit = F.normalize(torch.randn(12, dtype=torch.float64, generator=seed(14)), dim=0)
x = torch.randn(64, 12, dtype=torch.float64, generator=seed(15)).requires_grad_()
[slope] = torch.autograd.grad((x @ unit).sum(), x)
report("penalty with one norm for the batch", ((slope.norm() - 1) ** 2).item(), claimed=49, tolerance=1e-9)
report(
    "penalty with a norm for each example", (slope.norm(dim=1) - 1).square().mean().item(), claimed=0, tolerance=1e-12
)

# %% [markdown]
# The penalty then asks for slopes of $1/8$, and of $1/\sqrt B$ in general: the critic's strength depends on the batch size. *How to detect it:* evaluate the penalty at a critic whose slope you know, at two batch sizes.
#
# **`create_graph` forgotten.** The value is right, the curve of the penalty looks alive, and it teaches nothing:

# %%
critic = nn.Linear(12, 1, dtype=torch.float64)
[slope] = torch.autograd.grad(critic(x).sum(), x)  # no create_graph
dead = (slope.norm(dim=1) - 1).square().mean()
print("has a gradient in the weights:", dead.requires_grad)
living = gradient_penalty(lambda t: critic(t)[:, 0], x, x, torch.rand(64, dtype=torch.float64))
report("values with and without differ by", (dead - living).abs().item(), claimed=0, tolerance=1e-12)

# %% [markdown]
# **Clipping in a deep critic.** Four hidden layers of 128 and an output, that is five matrices of weights, clipped to $c$. How steep is it with all weights at their limits? Take random signs (equal signs give far more, up to the bound), and measure the slope:

# %%
def steepness(c: float) -> float:
    seed(16)
    sizes = (64, 128, 128, 128, 128, 1)
    layers = [nn.Linear(i, o) for i, o in pairwise(sizes)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(c * torch.sign(layer.weight))
    net = nn.Sequential(*[m for layer in layers for m in (layer, nn.LeakyReLU(0.2))][:-1])
    x = torch.randn(200, 64, requires_grad=True)
    [slope] = torch.autograd.grad(net(x).sum(), x)
    return slope.norm(dim=1).mean().item()


slopes = {c: steepness(c) for c in (0.01, 0.05, 0.1, 0.2)}
for c, s in slopes.items():
    print(f"c = {c:4.2f}: mean slope ≈ {s:.2g}")
report(
    "log10 of the slope at c 0.2 over that at c 0.01",
    math.log10(slopes[0.2] / slopes[0.01]),
    claimed=6.5,
    tolerance=0.3,
)

# %% [markdown]
# Five layers multiply five factors, so a change of $c$ by 20 changes the slope by more than a million. A factor of 10 in the slope is a factor of 1.6 in $c$. So $c$ has to be found anew for each depth and width.
#
# ## 10 What the article says
#
# The course grew out of a Chinese article, 生成式AIGC：AI技术的前沿探索 (*Generative AIGC: exploring the frontier of AI*), and checks its claims, lesson by lesson.
#
# | the article | verdict | what this lesson says |
# |---|---|---|
# | generative models are costly and of unstable quality | imprecise | instability is a property of the *game*: even the Dirac-GAN circles (section 1). Likelihood models and VAEs descend one loss. And it can be measured: section 7 counts it over seeds |
# | adversarial training makes the generator approach the data | imprecise | with alternating gradient steps it need not (14.7); with R1 it does in the Dirac-GAN, near the solution and for small steps, and for networks under the assumptions of Mescheder et al. (2018) |
# | mode collapse comes from the data | wrong | the same data, nine ways of training, and between 6 and 25 of 25 modes (section 7) |
#
# ## 11 Check yourself

# %% [markdown]
# 1. Why is the slope of W1 with respect to θ equal to ±1 for two single points, and what is it for JS?
#
# <details><summary>Answer</summary>The only way to move the mass is by |θ|, whose derivative is the sign of θ. JS is log 2 for every θ ≠ 0, so its derivative is 0 (13.4).</details>
#
# 2. The critic of a Wasserstein GAN has loss -5 and its penalty is 0.001. Is the distance 5?
#
# <details><summary>Answer</summary>It is an estimate from below if the critic's slope is at most 1 everywhere. The penalty looks at points between data and fakes only, and asks for a slope of 1, not of at most 1. And the critic may not be the best one.</details>
#
# 3. In (14.7), what happens for γ > 2 h'?
#
# <details><summary>Answer</summary>The root is real, and both eigenvalues are real and negative: no rotation is left. But the slower one, -γ/2 + sqrt(γ²/4 - h'²), tends to 0 as γ grows: too strong a brake makes the approach slow. It is fastest near γ = 2 h' = 1.</details>
#
# 4. You average the generator with ρ = 0.9999 and train for 2,000 steps. What do you see?
#
# <details><summary>Answer</summary>A weight of 0.9999 to the power of 2,000, that is 82 %, still lies on the untrained start. Choose ρ such that 1/(1 - ρ) is much smaller than the number of steps, or let it grow in the beginning, as the library does.</details>
#
# 5. Someone shows one run of method A that beats one run of method B by 20 in Fréchet distance on digits. What do you say, with section 7 in mind?
#
# <details><summary>Answer</summary>The seeds of "plain" alone lie between 108 and 165. Ask for several seeds of both, an interval of the difference, and whether both were tuned equally.</details>

# %% [markdown]
# ## Take-aways
#
# - $W_1$ has a slope where JS is flat; a critic of slope at most 1 measures it. A penalty, clipping or spectral normalization keep the slope, each in its own way, none exactly.
# - Rotation is in the Jacobian: $\pm i h'$ without, $-\gamma/2$ in the real part with R1 (for $\gamma$ up to $2h'$). Averaging takes the mean of a circle.
# - Over five seeds the gradient penalty is best on digits and poor on narrow modes. Nothing is best on both; one run proves nothing.
# - Diversity and quality are two figures. Count prototypes where you can.
#
# ## Where next
#
# - Mescheder, Geiger, Nowozin, *Which Training Methods for GANs do actually Converge?*, ICML 2018, arXiv 1801.04406: the Dirac-GAN, R1, and proofs.
# - Arjovsky, Chintala, Bottou, *Wasserstein GAN*, ICML 2017 (there *Wasserstein Generative Adversarial Networks*), arXiv 1701.07875; Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, *Improved Training of Wasserstein GANs*, NIPS 2017, arXiv 1704.00028.
# - Miyato, Kataoka, Koyama, Yoshida, *Spectral Normalization for Generative Adversarial Networks*, ICLR 2018, arXiv 1802.05957; Miyato, Koyama, *cGANs with Projection Discriminator*, ICLR 2018, arXiv 1802.05637; Lim, Ye, *Geometric GAN*, 2017, arXiv 1705.02894: the hinge loss.
# - Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium*, NIPS 2017, arXiv 1706.08500: two learning rates, and the Fréchet distance.
# - Radford, Metz, Chintala, *Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks*, ICLR 2016, arXiv 1511.06434.
# - Lucic, Kurach, Michalski, Gelly, Bousquet, *Are GANs Created Equal? A Large-Scale Study*, NeurIPS 2018, arXiv 1711.10337: what is left of the differences when all are tuned equally.
# - In the library, read [`lipschitz.py`](../garm_course/adversarial/lipschitz.py), [`gan.py`](../garm_course/adversarial/gan.py) and [`samples.py`](../garm_course/evaluation/samples.py).

# %%
claims()
