# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · WaveNet and sound
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/08_wavenet.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F08_wavenet.ipynb)
#
# **A plucked string is a few coin flips and one equation. How close does a network come to the entropy of the flips if nobody tells it the equation?**
#
# | | |
# |---|---|
# | Time | 85 minutes; the cells run in under a minute |
# | Before this | the chain rule, [lesson 02](02_chain_rule.ipynb); gates, [lesson 04](04_pixelcnn.ipynb); ring buffers, [lesson 06](06_sampling.ipynb) |
# | Afterwards you can | *encode* sound in 256 levels, *compute* the reach of a stack of dilated convolutions, *build* WaveNet's stack, *measure* pitch and decay of what it plays, *diagnose* a network that hears the future |
# | Papers | van den Oord et al., *WaveNet: A Generative Model for Raw Audio*, 2016, arXiv [1609.03499](https://arxiv.org/abs/1609.03499) · Paine et al., *Fast Wavenet Generation Algorithm*, 2016, arXiv [1611.09482](https://arxiv.org/abs/1611.09482) · Karplus, Strong, *Digital Synthesis of Plucked-String and Drum Timbres*, Computer Music Journal 7(2), 1983 |

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
import itertools
import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course import budget, check, claims, fit, guess, load, load_pretrained, recorded, report, seed, show
from garm_course.autoregressive import WaveNet
from garm_course.datasets.plucked import pluck
from garm_course.evaluation import causality, harmonic_decay, pitch, real_time_factor, semitones
from garm_course.lessons import lesson08
from garm_course.transforms import mu_law_decode

# %% [markdown]
# ## 1 The question, in sound
#
# Press play under the picture.
# You hear three notes of a plucked string, an eighth of a second each, 8,000 samples a second.
# In the picture, look for how the noise at the start of each note turns into a regular wave, and for which frequencies survive.

# %%
train, test = (
    load("plucked", split, notes=("A3", "D4", "G4"), length=1000, n=n) for split, n in (("train", 2000), ("test", 150))
)
RATE, PERIODS = train.rate, {"A3": 36, "D4": 27, "G4": 20}
first = {note: train.waveform[int((train.y == k).nonzero()[0])] for k, note in enumerate(train.notes)}
show.audio(
    first,
    rate=RATE,
    title="Noise goes in, a tone comes out",
    alt="Three notes, A3, D4 and G4. Left: each starts with a period of noise between two values and becomes a smooth "
    "wave that repeats and fades. Right: a ladder of harmonics, of which the high ones are gone after 50 ms.",
)

# %% [markdown]
# No string was recorded.
# Karplus and Strong found in 1983 that a delay line is enough: fill $p$ samples with random signs (the pluck), and compute each later sample from two samples one **period** $p$ earlier,
#
# $$y_t = \pm a \quad (t < p), \qquad y_t = \frac{g}{2}\,(y_{t-p} + y_{t-p-1}) \quad (t \ge p),$$
#
# with $y_{-1} = 0$, loudness $a$ (0.4 or 0.8, a coin flip), damping $g = 0.98$, and $p$ = 36, 27 or 20 samples for A3, D4 and G4.
# The mean of two neighbors smooths the wave a little in every period, so high frequencies die first.
#
# How much is there to predict?
# Only coin flips: one for the loudness and $p$ for the signs.
# Everything after the pluck follows from them, so a note of known name has the entropy $\ln 2 + p \ln 2$ nats, *however long it is*.
# No model can beat this floor.

# %%
guess("entropy of a note, given which note it is", ...)  # if you like: a number in place of the dots

# %%
worst = 0.0
for length in (200, 1000, 4000):
    longer = load("plucked", "test", notes=("A3", "D4", "G4"), length=length, n=30)
    exact = -longer.log_prob(longer.x, longer.y)
    flips = (1 + torch.tensor([36, 27, 20])[longer.y]) * math.log(2)
    worst = max(worst, (exact - flips).abs().max().item())
report("nats per note at 200, 1,000 and 4,000 samples: off by", worst, claimed=0, tolerance=1e-5, unit="nats")
floor = sum(1 + p for p in PERIODS.values()) / 3 * math.log(2)
report("entropy of a note, given which note it is", floor, claimed=19.87, tolerance=0.01, unit="nats")

# %% [markdown]
# **Try the naive thing.**
# A table that knows how often each level follows each other level (a *bigram* model) is the simplest sequence model.
# Count, smooth, measure on test notes, and listen.

# %%
counts = torch.ones(256, 256).index_put_((train.x[:, :-1].flatten(), train.x[:, 1:].flatten()), torch.ones(()), True)
table = (counts / counts.sum(1, keepdim=True)).double().log()
bigram = -(table[test.x[:, :-1], test.x[:, 1:]].sum(1).mean().item() - math.log(4))  # the first sample: one of four
report("bigram", bigram, claimed=3866, tolerance=2, unit="nats")
x = test.x[:1, :1]
rng = seed(0)
for _ in range(999):
    x = torch.cat([x, torch.multinomial(table[x[:, -1]].exp(), 1, generator=rng)], 1)
show.audio(
    {"drawn from the bigram table": mu_law_decode(x)[0]},
    rate=RATE,
    title="One sample of memory makes noise",
    alt="A sound drawn from the bigram table: a wave without any period, and a spectrum without harmonics. You hear "
    "crackling noise.",
)

# %% [markdown]
# The table improves on the uniform distribution ($1000 \ln 256 = 5{,}545$ nats), but it needs almost 200 times the entropy: one sample of memory cannot hold a period of 20.
#
# ## 2 Uneven levels suit quiet sound
#
# The network will choose among 256 levels.
# Evenly spaced levels waste bits: they are as coarse for a whisper as for a shout, while our ears judge errors relative to loudness.
# Digital telephony uses **mu-law**: bend the amplitude $x \in [-1, 1]$ by a logarithm, then round:
#
# $$f(x) = \operatorname{sgn}(x)\,\frac{\ln(1 + \mu |x|)}{\ln(1 + \mu)}, \qquad q = \operatorname{round}\Big(\frac{\mu}{2}\,\big(f(x) + 1\big)\Big), \qquad \mu = 255 \tag{8.1}$$

# %% [markdown]
# **Exercise 1 · `mu_law_encode`** · ●○○ · 6 minutes
#
# Write (8.1): turn amplitudes into levels.
#
# - `x`: float tensor of any shape, values in $[-1, 1]$.
# - Returns a `LongTensor` of the same shape, values 0 to 255.
#
# Example: `mu_law_encode(torch.tensor([-1.0, 0.0, 0.01, 1.0]))` is `[0, 128, 157, 255]`. Silence falls exactly between two levels; `torch.round` takes the even one, 128.
#
# <details><summary>Hint 1</summary><code>x.sign()</code> carries the sign, and <code>torch.log1p(z)</code> is ln(1 + z).</details>
# <details><summary>Hint 2</summary>f lies between -1 and 1. What must you add and multiply, so that the ends become 0 and 255?</details>


# %%
@check
def mu_law_encode(x: Tensor) -> Tensor:
    """Amplitudes in [-1, 1] -> levels 0..255."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# Compare it with even levels on a quiet and on a loud sine.
# The *signal-to-noise ratio* is the power of the wave over the power of the error, in decibels (10 dB is a factor of ten).

# %%
sine = torch.sin(2 * math.pi * 220 * torch.arange(8000, dtype=torch.float64) / 8000)
for loudness, linear_db, mu_db in ((0.01, 9.3, 33.7), (0.5, 43.2, 38.4)):
    wave = loudness * sine
    coded = {"even": (127.5 * (wave + 1)).round() / 127.5 - 1, "mu-law": mu_law_decode(mu_law_encode(wave)).double()}
    for name, claimed in (("even", linear_db), ("mu-law", mu_db)):
        ratio = 10 * (wave.square().mean() / (wave - coded[name]).square().mean()).log10()
        report(f"{name} levels, sine of {loudness}", ratio, claimed=claimed, tolerance=0.1, unit="dB")

# %% [markdown]
# Mu-law is far better for the quiet sine and somewhat *worse* for the loud one: it moves precision from loud to quiet.
#
# The string computes with real numbers, but the network sees rounded ones.
# A listener who knows the equation, the period and the damping, but sees only the levels of the two samples that enter it, cannot say exactly which level comes next.
# We call this predictor *the physicist* (the library's [`OnePeriod`](../garm_course/datasets/plucked.py), which takes each level as uniform over the amplitudes that it stands for):

# %%
physicist = lesson08.physicist(test)  # (N, 1000): nats of every sample
report("the physicist with one period of memory", physicist.sum(1).mean(), claimed=512, tolerance=1, unit="nats")

# %% [markdown]
# So two things can be learned: the equation (worth thousands of nats), and that samples from earlier periods reveal what rounding hid (worth the rest, from about 510 down to 20).
#
# ## 3 How far back must a network see?
#
# To use the equation for A3 a network must see 37 earlier samples ($p + 1$); D4 needs 28 and G4 needs 21.
# A convolution over time with $k$ taps sees only $k$ samples.
# WaveNet spreads the taps: in a convolution with **dilation** $d$, the taps lie $d$ samples apart.
# A stack of such layers with dilations $d_1, \dots, d_L$ has the **reach**
#
# $$R = 1 + (k - 1) \sum_{l=1}^{L} d_l \tag{8.2}$$
#
# because one output sees the input at its own time, and each layer looks $(k - 1)\,d_l$ samples further back.
# (In section 5 the input is shifted by one sample; $R$ then counts the samples *before* the predicted one.)
# With $k = 2$ and dilations $1, 2, 4, \dots$, every layer doubles the reach.
# Move the slider until all three strings are reached:

# %%
lesson08.reach_tree(5)

# %% [markdown]
# **Exercise 2 · `receptive_field`** · ●○○ · 3 minutes
#
# Write (8.2): compute the reach.
#
# - `k`: taps of every layer. `dilations`: the dilation of each layer, a tuple or list that may be empty.
# - Returns an integer.
#
# Example: `receptive_field(3, (1, 2, 4))` is 15.
#
# <details><summary>Hint</summary>What is the answer without any layer? What does one more layer add?</details>


# %%
@check
def receptive_field(k: int, dilations: tuple[int, ...]) -> int:
    """Inputs that one output of the stack depends on."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# WaveNet repeats dilations 1 to 512.
# Guess how much sound one such cycle sees at 16,000 samples a second.

# %%
guess("reach of one cycle at 16 kHz", ...)  # in milliseconds

# %%
cycle = tuple(2**i for i in range(10))
report("reach of one cycle at 16 kHz", receptive_field(2, cycle) / 16, claimed=64, tolerance=0, unit="ms", exact=True)
short_dilations, long_dilations = (1, 2, 4, 1, 2, 4), (1, 2, 4, 8, 16, 32)
report("reach of the short network", receptive_field(2, short_dilations), claimed=15, tolerance=0, exact=True)
report("reach of the long network", receptive_field(2, long_dilations), claimed=64, tolerance=0, exact=True)

# %% [markdown]
# In section 7 we train both networks: they have equally many parameters, but only the second one reaches a period.
#
# ## 4 A convolution that never hears the future
#
# In lesson 04 a mask kept the future out.
# Over time it is easier: put all the zeros in front,
#
# $$y_t = \sum_{j=0}^{k-1} w_j\, x_{t - (k-1-j)\,d}, \qquad x_s = 0 \text{ for } s < 0 \qquad\Rightarrow\qquad \frac{\partial y_t}{\partial x_s} = 0 \text{ for } s > t \tag{8.3}$$

# %% [markdown]
# **Exercise 3 · `causal_conv1d`** · ●●○ · 8 minutes
#
# Write (8.3) for many channels.
#
# - `x`: `(B, C_in, T)`. `w`: `(C_out, C_in, k)`, where `w[..., -1]` meets the newest input, as in `F.conv1d`. `dilation`: $d$.
# - Returns `(B, C_out, T)`, as long as the input.
#
# Example: `causal_conv1d(torch.tensor([[[1., 2., 3.]]]), torch.tensor([[[10., 1.]]]), 2)` is `[[[1., 2., 13.]]]`: only the third output has an input two samples back.
#
# <details><summary>Hint 1</summary><code>F.pad(x, (left, right))</code> puts zeros at the ends of the last axis. How far back does the oldest tap lie?</details>
# <details><summary>Hint 2</summary><code>F.conv1d(..., dilation=dilation)</code> does the rest. Check the length of what comes out.</details>


# %%
@check
def causal_conv1d(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    """(B, C_in, T) and (C_out, C_in, k) -> (B, C_out, T)."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# Test the claim of (8.3) with gradients, on a stack of the six convolutions that will reach 64 samples:

# %%
seed(0)
h = start = torch.randn(1, 4, 100, dtype=torch.float64).requires_grad_()
for d in long_dilations:
    h = causal_conv1d(h, torch.randn(4, 4, 2, dtype=torch.float64), d)
[slope] = torch.autograd.grad(h[..., 80].sum(), start)
heard = (slope[0] != 0).any(0).nonzero()[:, 0]
report("inputs that output 80 depends on", len(heard), claimed=64, tolerance=0, exact=True)
report("the latest of them", int(heard.max()), claimed=80, tolerance=0, exact=True)

# %% [markdown]
# ## 5 Build the stack
#
# Now the heart of WaveNet.
# Let $h$ be the features `(B, C, T)`.
# Each layer $l$ computes one causal convolution, feeds it through the gate of lesson 04, and uses the result $z$ twice: once for the output (**skip**) and once for the next layer (**residual**).
#
# $$\begin{aligned} (a, b) &= W_l *_{d_l} h + \beta_l \\ z &= \tanh(a) \odot \sigma(b) \\ s &\leftarrow s + S_l\, z \\ h &\leftarrow h + R_l\, z \end{aligned} \tag{8.4}$$
#
# Here $s$ starts at 0, $*_d$ is your causal convolution with weights $W_l$, $a$ and $b$ are the first and the second half of its $2C$ channels, $\sigma(b) = 1/(1 + e^{-b})$, and $\odot$ multiplies element by element.
# The matrices $S_l$ (skip) and $R_l$ (residual) act on the channels at each time.
# The bias $\beta_l$ is where the *note* comes in: each note has its own bias in every gate.
# Residual connections let gradients pass through many layers; skip connections let the output read every time scale directly.

# %% [markdown]
# **Exercise 4 · `residual_stack`** · ●●● · 25 minutes
#
# Write (8.4). The network that we train below runs on it.
#
# - `h`: `(B, C, T)`.
# - `layers`: a list of tuples `(dilation, w, bias, residual, skip)` with `w` `(2C, C, k)`, `bias` `(B, 2C)`, `residual` `(C, C)` and `skip` `(S, C)`.
# - Returns $s$, `(B, S, T)`: the sum of the skip outputs of all layers. `h` itself stays as it is.
#
# Example: with one layer, `residual_stack(torch.tensor([[[1., 2.]]]), [(1, torch.tensor([[[0., 1.]], [[0., 0.]]]), torch.zeros(1, 2), torch.ones(1, 1), torch.ones(1, 1))])` is `[[[0.381, 0.482]]]`, that is, half of tanh 1 and tanh 2, because $\sigma(0) = \tfrac12$.
#
# <details><summary>Hint 1</summary>One loop over the layers, two running values: the stream h and the sum s.</details>
# <details><summary>Hint 2</summary><code>u.chunk(2, 1)</code> gives the two halves. <code>bias</code> needs an axis for time: <code>bias[..., None]</code>.</details>
# <details><summary>Hint 3</summary>A matrix (S, C) times features (B, C, T) is <code>skip @ z</code>: torch repeats the matrix for every example. Write <code>h = h + ...</code>, not <code>h += ...</code>, which would change the caller's tensor.</details>


# %%
@check
def residual_stack(h: Tensor, layers: list[tuple[int, Tensor, Tensor, Tensor, Tensor]]) -> Tensor:
    """Features (B, C, T) through gated layers -> the sum of their skip outputs, (B, S, T)."""
    raise NotImplementedError("Replace this line with your answer.")


# %% [markdown]
# The library's [`WaveNet`](../garm_course/autoregressive/wavenet.py) adds what you know from earlier lessons: an embedding of the sample *before* each one, and a head of 256 logits.
# We keep its parameters and replace its forward pass by your stack:


# %%
class MyWaveNet(WaveNet):
    """The library's parameters; the forward pass runs on residual_stack."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = F.embedding(self.shifted(x), self.inputs()).mT  # (B, C, T): the sample before each
        residuals = [linear.weight for linear in self.residuals]
        skips = self.skips[0].weight.split(self.channels, 1)
        layers = [
            (gate.dilation[0], gate.weight.unflatten(1, (-1, self.channels)).mT, gate.bias + note, residual, skip)
            for gate, note, residual, skip in zip(
                self.gates, self.class_biases(y), [*residuals, residuals[0]], skips, strict=True
            )  # nobody reads h after the last layer, so its residual matrix may be any
        ]
        return self.read_out((residual_stack(h, layers) + self.skips[0].bias[:, None]).mT)


seed(0)
mine = MyWaveNet((1000,), 256, 3, dilations=long_dilations).double()
library = WaveNet((1000,), 256, 3, dilations=long_dilations).double()
library.load_state_dict(mine.state_dict())
with torch.no_grad():
    difference = (mine(test.x[:4], test.y[:4]) - library(test.x[:4], test.y[:4])).abs().max()
report("largest difference from the library's forward pass", difference, claimed=0, tolerance=1e-10)
result = causality(mine, (80,), y=1)
report("the audit of lesson 02 finds a leak", int(not result), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# ## 6 Ring buffers draw without computing anything twice
#
# Drawing a sound takes a pass of the network for every sample, unless the layers remember.
# A layer with two taps needs only its newest input and its input from $d$ samples ago.
# It keeps the last $d$ inputs in a ring buffer (lesson 06, Paine et al.), so a new sample costs one column of features per layer.
# The **real-time factor** compares computing with playing:
#
# $$\mathrm{RTF} = \frac{\text{seconds to make the sound}}{\text{seconds of sound}}, \qquad \text{real time if } \mathrm{RTF} < 1 \tag{8.5}$$


# %%
def processor_seconds(run) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


one = torch.tensor([2])
network = MyWaveNet((1000,), 256, 3, dilations=long_dilations)  # untrained: the cost is the same
cached = processor_seconds(lambda: network.sample(1, one, rng=seed(0)))
passes = budget(smoke=2, quick=20, full=100)
with torch.no_grad():
    naive = 1000 / passes * processor_seconds(lambda: [network(test.x[:1], one) for _ in range(passes)])
for name, taken in (("ring buffers", cached), ("a pass for every sample", naive)):
    print(f"{name}: RTF ≈ {real_time_factor(taken, 1000, rate=RATE):.1f}")
report("naive over cached is at least 4", int(naive / cached >= 4), claimed=1, tolerance=0, exact=True)
same = [draw(2, torch.tensor([0, 2]), length=60, rng=seed(3)) for draw in (mine.sample, mine.sample_naive)]
report("samples that differ, cached and naive", (same[0] != same[1]).sum(), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# The number belongs to this machine, to one sound at a time, and to a network of six narrow layers.
# It also flatters the ring buffers: the naive loop recomputes all 1,000 samples for each new one, although the 64 in reach would do.
# WaveNet for speech has dozens of wider layers, and at first it was far from real time.
# Deep Voice (2017) got there with a smaller WaveNet and hand-optimized code, Parallel WaveNet (2018) with a distilled model that makes all samples at once.
# The last line of the cell is the strict test of lesson 06: the library's ring buffers and a loop over your stack draw the same sounds from the same random numbers.
#
# ## 7 A reach of one period is worth hundreds of nats
#
# Nothing after the pluck is random, so the entropy of section 1 does not grow with the length of a note:
#
# $$H(x \mid \text{note}) = \sum_t H(x_t \mid x_{<t}, \text{note}) = \ln 2 + p \ln 2 \tag{8.6}$$
#
# What does a short memory cost?
# In each step, the best that a model can do is the true conditional given the last $r$ samples, so
#
# $$\mathbb E\Big[-\ln q(x)\Big] \;\ge\; \sum_t H(x_t \mid x_{t-r}, \dots, x_{t-1}) \;\ge\; \sum_t H(x_t \mid x_{<t}) = H(x) \tag{8.7}$$
#
# The second step holds because conditioning on more never raises an entropy.
# The excess over $H(x)$ is a KL divergence, and it grows with every sample that the last $r$ samples leave in doubt, while $H(x)$ does not.
# For a toy string with $p = 10$ we can enumerate all $2^{10}$ plucks and compute every conditional entropy exactly:

# %%
signs = torch.tensor(list(itertools.product([-1, 1], repeat=10)))
toy = mu_law_encode(pluck(signs, 0.8, 0.98, 200))  # (1024, 200), all equally likely


def entropy(rows: Tensor) -> float:
    share = torch.unique(rows, dim=0, return_counts=True)[1].double() / len(rows)
    return -(share * share.log()).sum().item()


def memory_floor(r: int) -> float:
    """The sum over t of H(x_t | the last r samples), from the differences of joint entropies."""
    windows = [toy[:, max(0, t - r) : t + 1] for t in range(200)]
    return sum(entropy(w) - (entropy(w[:, :-1]) if w.shape[1] > 1 else 0.0) for w in windows)


for r, claimed in ((0, 755.4), (1, 319.6), (2, 87.5), (4, 50.4), (9, 13.86), (11, 6.93)):
    report(f"floor with {r} samples of memory", memory_floor(r), claimed=claimed, tolerance=0.1, unit="nats")

# %% [markdown]
# With 11 samples ($p + 1$) only the ten coin flips remain, $10 \ln 2 = 6.93$ nats.
# With nine the floor doubles, and with fewer it rises further.
# But look at how little the *information* limit asks for: with four samples, 50 nats would do.
# Such a model would have to recognize, from four rounded samples, which of 1,024 sounds is playing.
# A network finds the equation more easily, and the equation needs a whole period.
#
# **Now train two networks** on the same notes, in the same order, with the same number of parameters and steps.
# Only the dilations differ: 1, 2, 4, 1, 2, 4 against 1, 2, 4, 8, 16, 32.
# How many nats per note will the long reach save?

# %%
guess("reach 64 is better on the same notes by", ...)


# %%
def trained(dilations: tuple[int, ...], label: str) -> MyWaveNet:
    seed(0)
    model = MyWaveNet((1000,), 256, 3, dilations=dilations)
    steps = budget(smoke=2, quick=800, full=8000)
    fit(model, train, steps=steps, batch_size=1, lr=1e-2, ema=0.98, label=label)
    return model


@torch.no_grad()
def nats(model: WaveNet, data: object = test) -> Tensor:
    """(N, T): what every sample of every note costs."""
    parts = [model.head.log_probs(model(x, y)).gather(-1, x[..., None])[..., 0]
             for x, y in zip(data.x.split(30), data.y.split(30), strict=True)]  # fmt: skip
    return -torch.cat(parts)


short, long = trained(short_dilations, "reach 15"), trained(long_dilations, "reach 64")

# %%
costs = {"reach 15": nats(short), "reach 64": nats(long)}
for name, claimed in (("reach 15", 2740), ("reach 64", 2480)):
    report(name, costs[name].sum(1).mean(), claimed=claimed, tolerance=120, unit="nats")
gain = (costs["reach 15"] - costs["reach 64"]).sum(1)
report("reach 64 is better on the same notes by", gain.mean(), claimed=260, tolerance=100, unit="nats")
print(f"standard error of this difference ≈ {gain.std() / len(gain) ** 0.5:.1f} nats")

# %%
steps = torch.arange(1000)
signs = torch.stack([(steps < p) * math.log(2) for p in PERIODS.values()])[test.y].mean(0)  # after the pluck: 0
show.curves(
    {
        "reach 15": (steps, costs["reach 15"].mean(0)),
        "reach 64": (steps, costs["reach 64"].mean(0)),
        "physicist": (steps, physicist.mean(0)),
        "coin flips": (steps, signs),
    },
    xlabel="sample",
    ylabel="nats per sample",
    title="After the pluck, the longer memory is cheaper",
    alt="Nats per sample against time, averaged over test notes. The coin flips end after 36 samples. The physicist "
    "rises to 2 nats at sample 50 and stays near half a nat later. The networks rise to about 3 nats near sample 250 "
    "and fall slowly, reach 64 below reach 15.",
)

# %% [markdown]
# Both networks learn that a pluck is a choice between few levels.
# Then the string's means create more and more different levels, and the cost rises until sample 250 or so; later the wave is smooth and easier to continue.
# The two networks are close for the first 80 samples or so; from there on the long network costs less.
# Right after the pluck both even beat the physicist: they know that only a few levels occur there, and the physicist takes every level as a whole interval.
# Over a whole note, neither comes near the physicist in so short a run.
# (This is one seed. With two other seeds the costs of both networks moved by less than 30 nats.)
#
# The gap is about a tenth of the nats.
# You will hear in a moment whether that is much or little.
#
# Move the slider from the pluck (two or four peaks: the coin flips) into the ring:

# %% tags=["exact"]
with torch.no_grad():
    note = int((test.y == 2).nonzero()[0])
    expected = long.head.log_probs(long(test.x[note : note + 1], test.y[note : note + 1]))[0]
lesson08.next_sample(expected, test.x[note], time=12)

# %% [markdown]
# Listen to what the two networks play.
# Which of them would you call a string?
# Move the slider to watch the sounds grow, and look for lines in the spectrogram (the harmonics) and for how fast the upper ones fade.

# %% tags=["exact"]
y = torch.arange(3).repeat(budget(smoke=1, quick=12, full=40))
played = {name: mu_law_decode(m.sample(len(y), y, rng=seed(1))) for name, m in
          (("reach 15", short), ("reach 64", long))}  # fmt: skip
lesson08.growing(
    {f"A3, {name}": wave[0] for name, wave in played.items()},
    rate=RATE,
    at=60,
    title="The first A3 that each network plays: only one has harmonics",
)

# %% [markdown]
# Reach 15 rumbles: its wave never repeats.
# Reach 64 has a pitch, with noise between the harmonics; it sounds rougher than a string.
#
# ## 8 Does it sound right? Measure it
#
# **Pitch.** A wave of period $P$ resembles itself after a shift of $P$ samples, so its autocorrelation has a peak there.
# The string's period is not $p$ but $p + \tfrac12$, because the mean of two samples delays the wave by half a sample; and a shift by two periods, $2p + 1$, fits *better* because it is an integer.
# A judge that takes the highest peak therefore puts all 150 test notes an octave too low.
# The library's [`pitch`](../garm_course/evaluation/sound.py) takes the first peak that is at least 80 % of the highest.
# Judge the judge first, on real notes:

# %%
target = RATE / (torch.tensor([36, 27, 20]) + 0.5)


def right(waves: Tensor, notes: Tensor) -> Tensor:
    """Whether each sound is within half a semitone of its note, the pluck left out."""
    return semitones(pitch(waves[:, 100:], rate=RATE), target[notes]).abs() < 0.5


report("real notes with the right pitch", right(test.waveform, test.y).double().mean(), claimed=1, tolerance=0.02)
for name, claimed in (("reach 15", 0.02), ("reach 64", 0.97)):
    share = right(played[name], y).double().mean()
    report(f"drawn notes with the right pitch, {name}", share, claimed=claimed, tolerance=0.08)

# %% [markdown]
# **A tenth of the nats decides whether the notes are in tune.**
# The network that cannot see a period plays almost no note in tune, and the network that can plays almost all of them in tune (36 drawn notes each, one seed).
#
# **Decay.** Put $y_t = z^t$ into the string's equation: it solves it if $z^{p+1} = \tfrac g2 (z + 1)$.
# On the unit circle, $\tfrac12(z + 1) = \cos(\omega/2)\, e^{i\omega/2}$ for $z = e^{i\omega}$: the mean of two neighbors turns the wave by half a sample and weakens it by a cosine.
# Since $g$ is close to 1, the solutions lie close to this circle, so divide the equation by $z^{1/2}$: $z^{p + 1/2} \approx g \cos(\omega/2)$.
# The angle of the left side must be a multiple of $2\pi$, so $\omega_m = 2\pi m / (p + \tfrac12)$, and its length is the factor by which harmonic $m$ fades in one period:
#
# $$g_m = g \cos\!\Big(\frac{\pi m}{p + \tfrac12}\Big) \tag{8.8}$$

# %%
period, harmonics = 20.5, 4  # G4
formula = 0.98 * torch.cos(math.pi * torch.arange(1, harmonics + 1) / period)
decay = {"real": harmonic_decay(test.waveform[test.y == 2], period=period, harmonics=harmonics, start=100)}
decay["reach 64"] = harmonic_decay(played["reach 64"][y == 2], period=period, harmonics=harmonics, start=100)
decay = {name: values.median(0).values for name, values in decay.items()}
numbers = range(1, harmonics + 1)
show.curves(
    {"(8.8)": (numbers, formula), **{name: (numbers, values) for name, values in decay.items()}},
    xlabel="harmonic",
    ylabel="factor per period",
    title="Real harmonics fade by the formula, drawn ones ring too long",
    alt="Factor by which each harmonic of G4 fades per period. Real notes lie on the curve of (8.8), which falls from "
    "0.97 to 0.80. Drawn notes stay above 0.9 for all four harmonics.",
)
worst = (decay["real"] - formula)[:3].abs().max()
report("real G4, largest difference from (8.8), harmonics 1 to 3", worst, claimed=0, tolerance=0.01)
report("harmonic 4 of G4, real", decay["real"][3], claimed=0.80, tolerance=0.01)
report("harmonic 4 of G4, drawn", decay["reach 64"][3], claimed=0.94, tolerance=0.05)

# %% [markdown]
# Real harmonics obey (8.8).
# (From the fifth on, rounding noise hides them.)
# The drawn notes are in tune, but their high harmonics fade too slowly.
# A likely reason: every level that is drawn a little wrong acts as a small new pluck, which feeds high frequencies back into the string.
#
# ## 9 With ten times the training, the first harmonics fade as they should
#
# The library's recipe trains twelve layers, which reach 127 samples, for 8,000 examples instead of 800 (`garm train wavenet --data plucked --seed 0`, about five minutes of processor time).
# Nothing is equal in this comparison (more layers, reach and steps, another optimizer): it shows how far the method goes, not which change matters.

# %%
best = load_pretrained("wavenet-plucked")
figures = recorded("wavenet-plucked")["test"]
print(f"three seeds, all 300 test notes: ≈ {figures['nats']:.0f} nats, between seeds ± ≈ {figures['seed_std']:.0f}")
report(
    "the best of them on validation, our 150 test notes",
    nats(best).sum(1).mean(),
    claimed=1093,
    tolerance=5,
    unit="nats",
)
again = mu_law_decode(best.sample(len(y), y, rng=seed(1)))
report("drawn notes with the right pitch, recorded", right(again, y).double().mean(), claimed=1, tolerance=0.06)
fade = harmonic_decay(again[y == 2], period=period, harmonics=harmonics, start=100).median(0).values
report("harmonic 3 of G4, recorded", fade[2], claimed=0.88, tolerance=0.03)
report("harmonic 4 of G4, recorded", fade[3], claimed=0.86, tolerance=0.05)

# %% tags=["exact"]
show.audio(
    {"1": again[2], "2": test.waveform[test.y == 2][0]},
    rate=RATE,
    title="One of these two notes is real",
    alt="Two G4 notes, one real and one drawn from the recorded network: both have a burst, a wave that repeats and "
    "fades, and a ladder of harmonics. You hear two plucked strings.",
    window=128,
)

# %% [markdown]
# <details><summary>Which one is real?</summary>The second one. In the spectrogram of the first there is noise between the harmonics.</details>
#
# The cost falls to less than half with all three seeds.
# With the best seed, almost every drawn note is in tune, and the third harmonic of G4 fades as (8.8) says, but the fourth still rings too long.
# But 1,093 nats are still twice the physicist's 512, and 55 times the entropy.
#
# ## 10 Halfway between two notes there is no note
#
# The note enters as a bias in every gate.
# The library accepts weights in place of a class, so ask for the mean of the biases of A3 and D4.
# The periods are 36.5 and 27.5 samples.
# Will the network play a period near 32?

# %%
guess("halfway sounds with a period between 30 and 34", ...)  # of 40

# %%
n = budget(smoke=2, quick=40, full=200)
halfway = mu_law_decode(long.sample(n, torch.tensor([[0.5, 0.5, 0.0]]).expand(n, -1), rng=seed(2)))
periods = RATE / pitch(halfway[:, 100:], rate=RATE)
between = ((periods > 30) & (periods < 34)).sum() * 40 / n
one_note = (((periods - 36.5).abs() < 1) | ((periods - 27.5).abs() < 1)).sum() * 40 / n
print("the first eight periods ≈", ", ≈ ".join(f"{p:.1f}" for p in periods[:8]))
report("halfway sounds with a period between 30 and 34", between, claimed=0, tolerance=3)
report("halfway sounds that play A3 or D4", one_note, claimed=28, tolerance=12)

# %% [markdown]
# It does not.
# Most of these sounds are an A3 or a D4 to within one sample of the period, and almost none lies in the middle.
# If the network stored the period as a number, the mean would be a note in between.
# It behaves as if it had three habits instead, each of copying from a certain distance, and one of them wins.
#
# ## 11 Break it
#
# Forget the shift.
# The network should read the sample *before* the one that it predicts; in `Leaky` it reads that sample itself.
# Nothing crashes, and the loss looks wonderful:


# %%
class Leaky(MyWaveNet):
    """The shift by one sample is forgotten."""

    def shifted(self, x: Tensor) -> Tensor:
        return x


seed(0)
leaky = Leaky((1000,), 256, 3, dilations=short_dilations)
fit(leaky, train, steps=budget(smoke=2, quick=200, full=2000), batch_size=1, lr=1e-2, ema=0.95, label="leaky")
report("the leaky network", nats(leaky).sum(1).mean(), claimed=1, tolerance=3, unit="nats")
print(str(causality(leaky, (80,), y=1)).splitlines()[0])
drawn = leaky.sample(1, one, rng=seed(0))[0]
report("different levels in a sound that the leaky network draws", len(drawn.unique()), claimed=1, tolerance=5)

# %% [markdown]
# The leaky network needs half a nat for a note whose coin flips alone cost 20.
# When it draws, it repeats one level, because all that it has learned is to copy the sample that it sees.
# There were three warnings: a cost below the entropy, which is impossible for a model that does not see the answer; the audit `causality`; and silence in place of sound.
# Where the entropy is unknown, as it is for speech, only the last two remain.

# %% [markdown]
# ## 12 Check yourself
#
# 1. You add a seventh layer with dilation 64 to the long network. What is its reach, and which of our three notes gains from it?
#
# <details><summary>Answer</summary>1 + (1 + 2 + 4 + 8 + 16 + 32 + 64) = 128. All three can gain: the equation needs at most 37 samples, but the samples of earlier periods reveal what rounding hid.</details>
#
# 2. A stack has k = 2 and dilations 1, 3, 9. Which of its 14 inputs does an output not see?
#
# <details><summary>Answer</summary>The tree reaches the offsets that are sums of a subset of 1, 3, 9: 0, 1, 3, 4, 9, 10, 12, 13. It misses 2, 5, 6, 7, 8 and 11. To leave no gaps, each dilation may be at most 1 plus the sum of the smaller ones.</details>
#
# 3. Why does the entropy of a note not depend on its length, although the nats of every trained network grow with it?
#
# <details><summary>Answer</summary>After the pluck nothing is random, so the exact model pays nothing. A network is never entirely sure of the next level, so each further sample adds to the divergence in (8.7).</details>
#
# 4. You have an RTF of 0.5 for sixteen sounds drawn together. Can you play a live instrument with it?
#
# <details><summary>Answer</summary>Not necessarily. Seconds of computing were divided by sixteen sounds; one sound alone can take nearly as long as all of them. Measure at batch size one.</details>

# %% [markdown]
# ## Take-aways
#
# - Mu-law spends 256 levels where the ear needs them; rounding hides information that older samples can return.
# - Doubling dilations double the reach with every layer. At equal parameters and steps, the network that reaches a period needed a tenth fewer nats and played in tune; the other did not (one seed).
# - WaveNet's layer is a causal convolution, a gate, a residual and a skip; ring buffers draw from it without computing anything twice.
# - Measure what you hear: pitch with a judge that passes real notes, decay against a formula, and the entropy, below which no average cost can fall without a leak.
#
# ## Your turn
#
# The physicist with one period of memory costs 512 nats a note on these test notes.
# Train a network that gets below 512: more layers, more steps, longer reach.
# Choose on validation notes, look at the test notes once.
#
# ## Where next
#
# - van den Oord et al., *WaveNet: A Generative Model for Raw Audio*, 2016, arXiv 1609.03499.
# - Paine et al., *Fast Wavenet Generation Algorithm*, 2016, arXiv 1611.09482: ring buffers.
# - Mehri et al., *SampleRNN: An Unconditional End-to-End Neural Audio Generation Model*, ICLR 2017, arXiv 1612.07837: recurrent networks on several time scales.
# - Arik et al., *Deep Voice: Real-time Neural Text-to-Speech*, ICML 2017, arXiv 1702.07825; van den Oord et al., *Parallel WaveNet: Fast High-Fidelity Speech Synthesis*, ICML 2018, arXiv 1711.10433.
# - Karplus, Strong, *Digital Synthesis of Plucked-String and Drum Timbres*, Computer Music Journal 7(2), 1983.
# - Kong et al., *DiffWave: A Versatile Diffusion Model for Audio Synthesis*, ICLR 2021, arXiv 2009.09761.
# - Goel, Gu, Donahue, Ré, *It's Raw! Audio Generation with State-Space Models*, ICML 2022, arXiv 2202.09729.
# - Zeghidour, Luebs, Omran, Skoglund, Tagliasacchi, *SoundStream: An End-to-End Neural Audio Codec*, 2021, arXiv 2107.03312; Copet et al., *Simple and Controllable Music Generation*, NeurIPS 2023, arXiv 2306.05284: transformers draw tokens of a codec.

# %%
claims()
