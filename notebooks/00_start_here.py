# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/00_start_here.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F00_start_here.ipynb)
#
# **Does everything work, how do exercises talk back, and what will you be able to do at the end?**
#
# | | |
# |---|---|
# | Time | 20 minutes; the cells run in about fifteen seconds |
# | Before this | Python, a little PyTorch |
# | Afterwards you can | *run* a lesson, *answer* an exercise and read its verdict, *read* a claim and its tolerance, *tell apart* the three families of models |
# | Papers | none yet: each lesson names its own |

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

# %% [markdown]
# The line above says what you run on: the library was found. To check the rest, type `garm doctor` in a terminal: it checks Python, the packages, the kernel, widgets, memory and data, and prints one line for each with the remedy.
#
# ## 1 How a lesson works
#
# A notebook is a list of cells. Click one and press **Shift + Enter** to run it and go on. Run the cells in order; *Run > Restart Kernel and Run All Cells* starts over.

# %%
import math

import torch
from torch import Tensor

from garm_course import budget, check, claims, fit, guess, load, report, seed, show
from garm_course.autoregressive import PixelCNN
from garm_course.evaluation import baselines, bits_per_dim, evaluate
from garm_course.lessons import lesson00

# %% [markdown]
# Every lesson mixes three kinds of cells:
#
# - **a step and its check.** A formula, one sentence on why it holds, and a few lines that test it with numbers. You never have to believe an equation.
# - **an exercise.** You write the five lines that matter.
# - **a claim.** Wherever the text states a number, a cell measures it and compares.
#
# ## 2 An exercise
#
# Probabilities become tiny when many are multiplied, so one adds logarithms. With the natural logarithm the unit is called **nat**, with the logarithm to base 2 it is the **bit**. A fair coin carries $\ln 2 = 0.693$ nats, which is 1 bit. So $1\ \text{bit} = \ln 2\ \text{nats}$.

# %% [markdown]
# **Exercise · `nats_to_bits`** · ●○○ · 2 minutes
#
# Convert nats to bits.
#
# - `nats`: a tensor of any shape.
# - Returns a tensor of the same shape and dtype.
#
# Example: `nats_to_bits(torch.tensor([0.693147]))` is `[1.0]`.
#
# Delete the line `raise NotImplementedError(...)`, write your answer in its place and run the cell.
#
# <details><summary>Hint (click to unfold)</summary>A bit is the smaller unit, so there are more of them: divide by <code>math.log(2)</code>.</details>

# %%
@check
def nats_to_bits(nats: Tensor) -> Tensor:
    """Nats as bits."""
    raise NotImplementedError("Replace this line with your answer.")

# %% [markdown]
# The frame under the cell is the **verdict**. There are three:
#
# - **passed**: from now on the notebook uses *your* function. (A right answer that would be too slow for the rest of the lesson has passed as well. The notebook then uses the course's faster code, and the verdict says so.)
# - **not yet**, with the *cause*. Try it: multiply instead of dividing, and run the cell again.
# - **not attempted**: the line that you were to replace is still there. Run the cell of an exercise even if you skip it, because the cells below need its function.
#
# In the last two cases `nats_to_bits` means the course's own function, so you are never stuck and can come back later. Yours is not lost: it is `nats_to_bits.mine`, and the verdict shows how to repeat the call that failed. Stuck for good? `nats_to_bits??` shows how the course does it. Whatever you write, an endless loop included, a check answers within seconds and breaks nothing.
#
# `garm_course.progress()` lists the exercises that you have passed. The list is a small file on your own machine. Nothing is sent anywhere, and `GARM_RECORD=0` switches it off.

# %%
coin, die = math.log(2), math.log(6)
print(f"a coin: {nats_to_bits(torch.tensor(coin)):.3f} bits, a die: {nats_to_bits(torch.tensor(die)):.3f} bits")

# %% [markdown]
# ## 3 A claim
#
# Training gives slightly different numbers on different machines. So a lesson states what it claims and how far that may be off, and the cell says whether it *holds* on yours. The test of the whole course is that all of them do.
#
# Before some of them you can write down what you expect. Put a number in place of the dots, and the claim will be shown beside your guess. Nothing depends on it, but a guess makes you think first.

# %%
guess("bits in a die", ...)  # if you like: a number in place of the dots

# %%
report("bits in a die", nats_to_bits(torch.tensor(die)).item(), claimed=2.585, tolerance=0.001, unit="bits")

# %% [markdown]
# ## 4 What the course is about
#
# A generative model learns the distribution of its data, so that one can draw new examples from it. Three classical families do that in different ways. In the figure, compare the right-hand column: who can say how *likely* an image is, and what a sample *costs*. The formulas are only a first look; lessons 02, 10 and 13 derive them. $x$ is an image, $z$ is noise.

# %%
lesson00.families()

# %% [markdown]
# - **Autoregressive models** (lessons 02 to 09) predict one pixel, character or sample of sound after the other. Their likelihood is exact, their sampling sequential.
# - **Variational autoencoders** (10 to 12) explain an image by a few hidden causes. They give a bound on the likelihood, and a sample in one pass.
# - **Generative adversarial networks** (13 to 17) train a generator against a critic. They have no likelihood that could be computed, so they need other measures (18).
#
# Diffusion models, flows and energy models are a fourth, fifth and sixth family; the capstone (21) says where they belong. The README has the map of all 22 lessons and which of them exist today.
#
# ## 5 Your first samples
#
# Enough words. The data are 1,797 real handwritten digits, 8 x 8 pixels, that come with scikit-learn. Lesson 04 explains every line; for now, watch a small PixelCNN learn to draw them. The progress bar shows the negative log-likelihood on digits that the model does not train on: lower is better.

# %%
seed(0)
train, validation = load("digits", "train"), load("digits", "validation")
model = PixelCNN((1, 8, 8), levels=17, channels=32, layers=3, first_kernel=5, dropout=0.3)
history = fit(
    model, train, validation=validation, steps=budget(smoke=2, quick=300, full=300), batch_size=32, lr=4e-3,
    evaluate_every=budget(smoke=2, quick=50, full=50), label="PixelCNN",
)  # fmt: skip

# %% tags=["exact"]
measured = evaluate(model, validation)
for name, figure in baselines(train, validation).items():
    print(f"{name:16s} {figure.nats:6.1f} nats per image, {figure.bits_per_dim:.2f} bits per pixel")
report("validation NLL of this PixelCNN", measured.nats, claimed=85.0, tolerance=1.5, unit="nats")
report("the same per pixel", bits_per_dim(measured.nats, 64), claimed=1.92, tolerance=0.035, unit="bits")

# %% [markdown]
# *Uniform* knows nothing: 17 levels cost $\log_2 17 = 4.09$ bits per pixel. *Pixel marginals* know how dark each pixel is on average, *class marginals* know it for each digit. The model beats them because it looks at the pixels that are there already.
#
# And the samples: drawn pixel by pixel. Are they copies? Compare each of 200 with every training digit, then look at the first 16, nothing selected.

# %%
drawn = model.sample(200, rng=seed(0))
copies = sum(bool((train.x == image).flatten(1).all(1).any()) for image in drawn)
report("copies of training digits among 200 samples", copies, claimed=0, tolerance=0, exact=True)
show.panels(
    {"real digits": validation.x[:16], "drawn by the model": drawn[:16]},
    levels=17, title="Strokes after some seconds of training",
    alt="Sixteen real digits beside sixteen samples of the model just trained: strokes of the right width, about half "
    "of them legible digits.",
)  # fmt: skip

# %% [markdown]
# About half can be read. Lesson 04 explains every step of this model and makes it better.
#
# ## 6 Data, and what can be known about them
#
# All lessons get their data from one function, `load(name, split)`. What they need is included in the packages, so nothing is downloaded. A split is *train*, *validation* or *test*: choices are made on validation, and test is looked at once, at the end.
#
# Two kinds are worth telling apart. Of *real* data like the digits nobody knows the distribution. Others are *drawn* from a distribution that we chose, so the probability of each example is known: of `glyphs`, digits in 11 fonts whose pixels flip with probability 1 %, and of `bars_and_stripes`, 30 images that are all equally probable. The mean NLL of the *true* distribution is the **entropy**, and no model can score less on average. It is the floor under the learning curves of later lessons. Look at the last line of each.

# %%
for name in ("digits", "glyphs", "bars_and_stripes"):
    data = load(name, "validation")
    known = f"{data.entropy().nats:.2f} nats" if hasattr(data, "entropy") else "nobody knows"
    print(f"{data}\nentropy: {known}\n")

# %%
stripes, glyphs = load("bars_and_stripes"), load("glyphs", "validation")
nll = -stripes.log_prob(stripes.x).mean().item()
report("true NLL of all bars and stripes", nll, claimed=3.4012, tolerance=1e-4, unit="nats")
nll = -glyphs.log_prob(glyphs.x)
report("true NLL of 1,000 glyphs", nll.mean().item(), claimed=53.0, tolerance=1.7, unit="nats")
report("its standard error", nll.std().item() / math.sqrt(1000), claimed=0.42, tolerance=0.02, unit="nats")
show.grid(
    glyphs.x, levels=2, title="Glyphs: fonts, slants, shifts, and one pixel in a hundred flipped",
    alt="The first 16 glyphs, 28 by 28 pixels in black and white: printed digits of several fonts, sizes and slants, "
    "with single flipped pixels scattered over them.",
)  # fmt: skip

# %% [markdown]
# The true NLL of a sample is not exactly the entropy: it is a mean over 1,000 images, with a standard error of 0.42 nats. That is why claims have tolerances: the one above allows four standard errors.
#
# In a terminal, `garm data list` lists all data sets of the course and `garm data show glyphs` prints one with its *card*: source, license, size, how to cite it, known flaws. The classical benchmarks (MNIST, CIFAR-10, Shakespeare and others) load in the same way: they are downloaded once, or read from a folder of yours that the environment variable `GARM_DATA` names.
#
# ## Check yourself
#
# 1. A model scores 85 nats on images of 64 pixels. How many bits per pixel is that?
#
# <details><summary>Answer</summary>85 / (64 ln 2) = 1.92 bits.</details>
#
# 2. Your check says *not yet*. Is the rest of the notebook wrong now?
#
# <details><summary>Answer</summary>No. Until your answer passes, the notebook uses the course's function under the same name.</details>
#
# 3. A cell says that a claim does *not* hold. What does that mean?
#
# <details><summary>Answer</summary>The measured number is further from the claimed one than the stated tolerance: an edited cell, a cell run twice or out of order, or a fault of the course. Restart and run all; if it persists, please report it.</details>
#
# ## Take-aways
#
# - Cells run in order; exercises answer with the cause of a mistake; nothing can break the notebook.
# - Likelihoods are compared in nats per image or bits per pixel.
# - A claim stands with its tolerance and is measured again on your machine.
# - Some data have a known entropy, the floor that no model can pass on average.
# - Three families: exact likelihood and slow samples; a bound and fast samples; no computable likelihood and fast samples.
#
# ## Where next
#
# [Lesson 04, PixelCNN](04_pixelcnn.ipynb) is the first complete lesson. The README lists what is planned.

# %%
claims()
