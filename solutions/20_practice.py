# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 20 · Practice: search, resume, compress, export, complete
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/20_practice.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F20_practice.ipynb)
#
# **Your model is good on your machine. Which of your choices made it good, can anybody repeat the run, and does the model still work when somebody else uses it?**
#
# | | |
# |---|---|
# | Time | 90 minutes; the cells run in under a minute |
# | Before this | MADE, [lesson 02](02_chain_rule.ipynb); drawing from conditionals, [lesson 06](06_sampling.ipynb); paired differences, [lesson 18](18_evaluation.ipynb) |
# | Afterwards you can | *search* under a budget and say what luck contributed, *resume* a run bit for bit, *compress* a model and state the loss in nats, *export* a step with its state, *build* a particle filter that completes an image from any part |
# | Papers | Bergstra and Bengio, 2012 · Jamieson and Talwalkar, 2016, arXiv [1502.07943](https://arxiv.org/abs/1502.07943) · Gordon, Salmond and Smith, 1993; full references at the end |

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
import json
import math
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from garm_course import budget, check, claims, fit, guess, load, load_pretrained, recorded_study, report, seed, show
from garm_course.autoregressive import MADE
from garm_course.evaluation import evaluate, paired
from garm_course.lessons import lesson20
from garm_course.practice import quantize
from garm_course.practice.export import export
from garm_course.training import open_tracker

# %% [markdown]
# ## 1 The question, in pictures
#
# Somebody wants to use the MADE of lesson 02 to restore damaged digits.
# We erase half of a digit, and the model draws the missing pixels from its conditionals.

# %%
train, validation, test = (load("digits", split) for split in ("train", "validation", "test"))
shipped = load_pretrained("made-digits")
one = validation.x[:1]
top, bottom = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
top[:, :4], bottom[:, 4:] = True, True


def clamp(image: Tensor, mask: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """n images: what the mask marks is kept, every other pixel is drawn given the pixels before it."""
    return shipped.sample(n, given=image.expand(n, -1, -1, -1), mask=mask.expand(n, -1, -1, -1), rng=rng)


show.panels(
    {"the top is given": clamp(one, top, 8, seed(0)), "the bottom is given": clamp(one, bottom, 8, seed(0))},
    given_mask={"the top is given": top, "the bottom is given": bottom},
    levels=17,
    cols=4,
    title="The model completes downward, but not upward",
    alt="Eight completions of the first validation digit with its top half given, in which strokes go on across the "
    "border, and eight with the bottom half given, in which many upper halves do not fit the lower half.",
)


def nats(x: Tensor) -> float:
    """Mean negative log-likelihood of images under the shipped model, in nats per image."""
    with torch.no_grad():
        return -shipped.log_prob(x).double().mean().item()


some = validation.x[:8]
clamped = torch.cat([clamp(x[None], bottom, 12, seed(k)) for k, x in enumerate(some)])
report("the eight real digits", nats(some), claimed=85.8, tolerance=1, unit="nats")
report("bottom given, completed by sample", nats(clamped), claimed=112, tolerance=5, unit="nats")

# %% [markdown]
# Given the top, strokes continue across the border. Given the bottom, the top is drawn as if the bottom did not exist: MADE draws pixels in raster order, so nothing that comes *later* can influence a pixel.
# The model itself finds these completions much less likely than real digits.
#
# Nothing is wrong with the model. This lesson is about everything around it: how to *search* without fooling yourself, *resume* a run, make a model *smaller*, and ask it a question that it was not trained to answer.
#
# ## 2 Scales: a learning rate is a power of ten
#
# A search needs a range for each hyperparameter. A learning rate between $0.0003$ and $0.3$ spans three powers of ten.
# If we draw it uniformly, two thirds of all draws lie above $0.1$, and fewer than one in a hundred below $0.003$.
# Draw its *logarithm* uniformly instead. With $u$ uniform in $[0, 1)$:
#
# $$x = lo\,\Big(\frac{hi}{lo}\Big)^{u} \tag{20.1}$$
#
# The step is allowed because $\ln x = \ln lo + u\,(\ln hi - \ln lo)$ is uniform between $\ln lo$ and $\ln hi$. Every power of ten gets the same share.


# %%
def log_uniform(lo: float, hi: float, u: Tensor) -> Tensor:
    return lo * (hi / lo) ** u


u = torch.rand(30_000, generator=seed(0), dtype=torch.float64)
lr = log_uniform(3e-4, 0.3, u)
shares = torch.stack([((lr >= low) & (lr < 10 * low)).double().mean() for low in (3e-4, 3e-3, 3e-2)])
report("largest deviation of the three shares from 1/3", (shares - 1 / 3).abs().max(), claimed=0, tolerance=0.01)

# %% [markdown]
# ## 3 Random search
#
# A grid of ten values for each of four hyperparameters needs 10,000 runs, and it tries only ten learning rates.
# With random draws, every run tries a new value of *every* hyperparameter (Bergstra and Bengio, 2012).
# If a share $q$ of all configurations is good enough, the chance that at least one of $m$ independent draws is good is
#
# $$P = 1 - (1 - q)^m \tag{20.2}$$

# %%
guess("chance to hit the best 1 % in 60 draws", ...)  # if you like: a number between 0 and 1

# %%
chance = 1 - (1 - 0.01) ** 60
report("chance to hit the best 1 % in 60 draws", chance, claimed=0.453, tolerance=0.0005)

# %% [markdown]
# Sixty runs almost surely find one of the best 5 % ($1 - 0.95^{60} = 0.954$), but usually none of the best 1 %. (20.2) does not say how far apart these are in nats, so we need a table of real runs.
# A recorded study (`python studies/made_grid.py`) trained 192 small MADEs for 90 steps, one for each combination of eight learning rates up to 0.03, four widths, three rates of dropout and two of dropout of the input. It evaluated each on the validation split every ten steps.

# %%
grid = recorded_study("made_grid-digits")
table = torch.tensor(grid["losses"], dtype=torch.float64)  # (192, 9)
share = grid["explained"]["lr"]
report("variance of the final values explained by lr alone", share, claimed=0.91, tolerance=0.005)
within = (table[:, -1] < table[:, -1].min() + 1).double().mean()
report("share of the runs within a nat of the best", within, claimed=0.016, tolerance=0.001)

# %% [markdown]
# One hyperparameter decides nearly everything here, and few runs come within a nat of the best.
#
# ## 4 Look early, and stop what is bad
#
# Most of these runs were hopeless. Could we have known earlier? The rank correlation of the values after 10 of 90 steps with the final values is 0.97.
# *Successive halving* uses that: train all $n$ configurations a little, keep one in $\eta$, train these $\eta$ times as long, and so on (Jamieson and Talwalkar, 2016).
# Call these stages *rungs* $r = 0, \dots, R - 1$, with $r_0 \eta^r$ steps at rung $r$. A survivor *continues* its run, so rung $r$ costs each of its $n\eta^{-r}$ configurations only the $r_0\eta^{r} - r_0\eta^{r-1}$ steps that it has not taken yet, which is $n r_0 (1 - 1/\eta)$ in total at every rung but the first:
#
# $$\text{steps} = n\,r_0\Big[1 + (R - 1)\Big(1 - \frac1\eta\Big)\Big] \tag{20.3}$$
#
# For $n = 27$, $\eta = 3$ and rungs at 10, 30 and 90 steps that is $27 \cdot 10\,(1 + 2 \cdot \tfrac23) = 630$ steps, in place of $27 \cdot 90 = 2430$.

# %% [markdown]
# **Exercise 1 · `halve`** · ●●○ · 12 minutes
#
# Return the configurations that are trained up to each rung.
#
# - `losses`: `(n, R)`, the validation loss of configuration `i` at rung `r`. Small is good; NaN means that the run diverged, which is worse than any number.
# - `eta`: an integer, at least 2. Of the `k` configurations at rung `r`, the best `max(1, k // eta)` by `losses[:, r]` go on to rung `r + 1`.
# - Returns a list of `R` lists of indices. The first one has all `n`. The order inside a list is free.
#
# Use `losses[i, r]` only for configurations that reached rung `r`: the other numbers would not exist in a real search.
#
# Example: `halve(torch.tensor([[3., 1.], [1., 2.], [2., 3.]]), 3)` is `[[0, 1, 2], [1]]`. Configuration 0 is the best at the end, but at the first rung configuration 1 is ahead.
#
# <details><summary>Hint 1</summary><code>losses[alive, r]</code> are the values of the survivors; their <code>argsort()</code> gives positions in <code>alive</code>, not indices of configurations.</details>
# <details><summary>Hint 2</summary><code>x.nan_to_num(nan=torch.inf)</code> puts diverged runs last.</details>


# %%
@check
def halve(losses: Tensor, eta: int) -> list[list[int]]:
    """Indices of the configurations that are trained up to rung r, for each rung of losses (n, R)."""
    ### BEGIN SOLUTION
    alive = list(range(len(losses)))
    rungs = [alive]
    for r in range(losses.shape[1] - 1):
        order = losses[alive, r].nan_to_num(nan=torch.inf).argsort()
        alive = [alive[i] for i in order[: max(1, len(alive) // eta)].tolist()]
        rungs.append(alive)
    return rungs
    ### END SOLUTION


# %%
AT = [0, 2, 8]  # the columns of the table at 10, 30 and 90 steps
some_rows = table[torch.randperm(len(table), generator=seed(1))[:27]]
rungs = halve(some_rows[:, AT], 3)
lesson20.show_rungs(
    {i: list(zip(grid["steps"], row, strict=True)) for i, row in enumerate(some_rows.tolist())},
    rungs,
    steps=[grid["steps"][k] for k in AT],
    title="Eighteen of 27 runs end after a ninth of the steps",
    alt="Validation curves of 27 runs over the training steps. 18 stop at the first rung, 6 at the second, and 3 reach "
    "the end. Pale lines show how the stopped runs would have continued: nearly all stay above the survivors.",
)
counts = [len(rung) for rung in rungs]
steps = 10 * counts[0] + 20 * counts[1] + 60 * counts[2]
report("steps of the search, with survivors continued", steps, claimed=630, tolerance=0, unit="steps", exact=True)

# %% [markdown]
# The pale lines are what a real search never sees: how the stopped runs would have gone on.
# (All runs follow a learning rate schedule for 90 steps; runs made to be short would be another question.)
#
# ## 5 Was it luck? Replay the search
#
# One search proves nothing. The table lets us repeat it without any training: take a random subset of 27 rows, run the search on it, look up the result, and repeat this 500 times.
# The *regret* of a search is the final value that it found minus the best final value in the whole table. These are validation values; the test split stays closed.
# The comparison must be fair: 630 steps pay for seven full runs, so random search gets seven, among the same rows.


# %%
def replay(table: Tensor, at: list[int], runs: int) -> Tensor:
    """Mean regret of halving and of random search, and how often halving kept the best of 27, in 500 searches."""
    g, found, final = seed(2), [], table[:, -1]
    for _ in range(500):
        rows = torch.randperm(len(table), generator=g)[:27]
        survivors = final[rows[halve(table[rows][:, at], 3)[-1]]].min()
        found.append([survivors - final.min(), final[rows[:runs]].min() - final.min(), survivors == final[rows].min()])
    return torch.tensor(found, dtype=torch.float64).mean(0)


def report_replay(where: str, found: Tensor, claimed: tuple, tolerance: tuple) -> None:
    names = "regret of halving in nats", "regret of random search in nats", "share that keeps the best of 27"
    for name, value, c, t in zip(names, found, claimed, tolerance, strict=True):
        report(f"{where}: {name}", value, claimed=c, tolerance=t)


report_replay("recorded table", replay(table, AT, 7), claimed=(1.5, 4.3, 0.96), tolerance=(0.3, 0.3, 0.03))
kinds = {run["method"]: run["mean"] for run in grid["runs"]}
show.curves(
    {name: [(m + 1, value) for m, value in enumerate(mean) if m >= 3] for name, mean in kinds.items()},
    xlabel="cost, in whole trainings",
    ylabel="mean regret in nats",
    title="Looking early helps at once; a model of the search helps late",
    alt="Mean regret against cost, 4 to 24 trainings, of five methods on the recorded table. ASHA is lowest up to 14 "
    "trainings; TPE starts like random search and passes it later, and with early stopping it is lowest at 24.",
)

# %% [markdown]
# The figure shows 400 recorded replays of each method (100 with TPE). ASHA is successive halving that does not wait for a rung to be complete (Li et al., 2020). TPE, the default of Optuna, models which configurations are good (Bergstra et al., 2011). The median rule stops a run that is worse than the median of earlier runs at the same step.
# To search with several processes that share one storage, run `garm tune made --data digits --trials 40 --prune --storage sqlite:///search.db` in as many terminals as you like. It needs Optuna: `pip install "garm-course[tune]"`.
#
# **Where it fails.** Everything rests on the early order. We widen the range: 54 random configurations with learning rates up to 0.3, trained here.

# %%
STEPS = budget(smoke=9, quick=90, full=90)
draws = torch.rand(54, 4, generator=seed(1), dtype=torch.float64)
wide_lr, hidden = log_uniform(3e-4, 0.3, draws[:, 0]), log_uniform(16, 256, draws[:, 1]).round().long()


def train_made(i: int, start: int) -> tuple[MADE, list[float]]:
    """Configuration i, trained with the seed `start`: the network, and its validation nats at nine steps."""
    seed(start)
    drop, input_drop = (draws[i, 2:] * torch.tensor([0.5, 0.3])).tolist()
    made = MADE((1, 8, 8), 17, hidden=(int(hidden[i]),), direct=False, dropout=drop, input_dropout=input_drop)
    options = dict(steps=STEPS, batch_size=32, evaluate_every=STEPS // 9, seed=start, lr=wide_lr[i].item())
    return made, [value for _, value in fit(made, train, validation=validation, **options).validation]


wide = torch.tensor([train_made(i, start=100 + i)[1] for i in range(54)], dtype=torch.float64)  # (54, 9)
best = int(wide[:, -1].argmin())
at_10, at_20 = "wide range, first look at step 10", "wide range, first look at step 20"
report_replay(at_10, replay(wide, [0, 2, 8], 7), claimed=(3.9, 4.6, 0.28), tolerance=(1, 1, 0.2))
report_replay(at_20, replay(wide, [1, 3, 8], 10), claimed=(1.1, 3.5, 0.99), tolerance=(0.6, 1, 0.05))

# %% [markdown]
# With the first look at step 10, halving now usually loses the best of its 27 configurations, and it beats random search by little. With rungs at 20, 40 and 90 steps (870 steps, against ten full runs) it keeps the best one nearly always.
#
# Why? At step 10, large learning rates lead. The best two runs of this table have a wide layer and a moderate learning rate; they start in the middle of the field and pass the others later.
# So the first rung is a hyperparameter of the search, and Hyperband (Li et al., 2018) tries several.
#
# This is one table, with one seed for each run. With another one (`seed(41)` for the draws, `start=700 + i` for the runs) halving kept the best in 43 % and 80 % of the searches: the same order, other sizes.
#
# ## 6 What luck does to the best number
#
# You trained $m$ variants, and the best one has 98 nats. How much of that is luck?
# Assume that all variants are equally good, with mean $\mu$, and that their values spread with standard deviation $\sigma$ around it because of seeds. Then the best of them is still better than $\mu$:
#
# $$\mathbb E \min_{j \le m}(\mu + \sigma\varepsilon_j) = \mu - \sigma\,c_m, \qquad c_{10} = 1.54,\quad c_{50} = 2.25 \tag{20.4}$$
#
# with independent standard normal $\varepsilon_j$. The numbers $c_m$ are the mean of the largest of $m$ normal draws.
# We check them, and then train the winner of the wide range with ten new seeds.

# %%
lucky = torch.randn(20_000, 50, generator=seed(3), dtype=torch.float64)
report("c for the best of 50", -lucky.min(1).values.mean(), claimed=2.25, tolerance=0.02)
again = [train_made(best, start=200 + k) for k in range(budget(smoke=3, quick=10, full=10))]
scores = torch.tensor([curve[-1] for _, curve in again], dtype=torch.float64)
report("standard deviation over seeds", scores.std(), claimed=0.6, tolerance=0.35, unit="nats")
report(
    "best seed below the mean, in standard deviations",
    (scores.mean() - scores.min()) / scores.std(),
    claimed=1.5,
    tolerance=0.9,
)

# %% [markdown]
# Choosing the best of ten seeds improves a result by about $1.5\,\sigma$ without any idea behind it. So train the winner again with at least three new seeds, report mean and spread, and evaluate on test *once*, after all choices are made. That moment is now.

# %%
on_test = torch.tensor([evaluate(network, test).nats for network, _ in again])
report("mean of ten seeds, validation", scores.mean(), claimed=97.6, tolerance=1.5, unit="nats")
report("mean of ten seeds, test", on_test.mean(), claimed=95.9, tolerance=1.5, unit="nats")

# %% [markdown]
# A second source of luck is the finite test set. The mean NLL over $n$ images with standard deviation $s$ has the 95 % interval
#
# $$\bar\ell \pm 1.96\,\frac{s}{\sqrt n} \tag{20.5}$$
#
# by the central limit theorem. Does it cover the truth 95 % of the time at $n = 180$? We treat the 1,257 training images as a whole population, and draw 400 sets of 180 from it.

# %%
made = again[0][0].eval()
with torch.no_grad():
    cost = -made.log_prob(train.x).double()
picked = cost[torch.randint(len(cost), (400, 180), generator=seed(4))]
half_width = 1.96 * picked.std(1) / math.sqrt(180)
covered = ((picked.mean(1) - cost.mean()).abs() <= half_width).double().mean()
report("coverage of the 95 % interval, 400 sets of 180 images", covered, claimed=0.95, tolerance=0.03)
report("half width of the interval", half_width.mean(), claimed=1.5, tolerance=0.3, unit="nats")

# %% [markdown]
# The interval is honest, and it is wide: a difference of one nat between two models disappears in it. Differences between models on the *same* images have much narrower intervals, because hard images are hard for both (lesson 18).
#
# ## 7 Resume a run as if it had never stopped
#
# A run that is killed after two hours should go on from its last checkpoint, and end with exactly the same weights as a run that was never stopped. Write $S_t$ for *everything* that the next step reads. Then a step is a function, $S_{t+1} = F(S_t)$, and with $F^b$ for $b$ steps
#
# $$F^{b}\big(\text{load}(\text{save}(F^{a}(S_0)))\big) = F^{a+b}(S_0) \tag{20.6}$$
#
# holds bit for bit if save and load lose nothing of $S$. Three things belong to $S$: the weights (and buffers, such as the statistics of batch normalization), the state of the optimizer, and the random state, which decides the next batch and the next dropout mask.
#
# Why the optimizer? Adam divides the mean gradient by the root of the mean squared gradient, both corrected for their start at zero. After one step both corrections give back $g$ and $g^2$, so the first step is
#
# $$\Delta\theta = -\text{lr}\,\frac{g}{\sqrt{g^2} + \epsilon} \approx -\text{lr}\,\operatorname{sign}(g) \tag{20.7}$$
#
# A fresh Adam therefore moves *every* weight by the full learning rate, however small its gradient is. A run that loses the moments gets such a kick in the middle.

# %%
w = nn.Parameter(torch.zeros(3, dtype=torch.float64))
adam = torch.optim.Adam([w], lr=0.01)
(w * torch.tensor([1e-3, -1.0, 1e3])).sum().backward()
adam.step()
report("largest difference from lr sign(g)", (w.detach() + 0.01 * w.grad.sign()).abs().max(), claimed=0, tolerance=1e-6)

# %% [markdown]
# **Exercise 2 · `checkpoint`** · ●●○ · 10 minutes
#
# Return a snapshot of a run between two steps.
#
# - `model`: any network. `optimizer`: the optimizer of its parameters.
# - Returns a dictionary with three entries: `"model"` and `"optimizer"`, for `load_state_dict`, and `"rng"`, for `torch.set_rng_state`.
# - The run goes on after the snapshot. It must not be disturbed by it, and it must not change the snapshot.
#
# <details><summary>Hint 1</summary><code>torch.get_rng_state()</code> reads the random state without drawing from it.</details>
# <details><summary>Hint 2</summary><code>state_dict()</code> holds the live tensors, which the next step overwrites; <code>copy.deepcopy</code> from the standard library copies a dictionary and everything in it.</details>


# %%
@check
def checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """A snapshot: "model", "optimizer" and "rng"."""
    ### BEGIN SOLUTION
    import copy

    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return {**copy.deepcopy(state), "rng": torch.get_rng_state()}
    ### END SOLUTION


# %%
def new_run(start: int) -> tuple[MADE, torch.optim.Optimizer]:
    seed(start)
    net = MADE((1, 8, 8), 17, hidden=(64,), direct=False, dropout=0.2)
    return net, torch.optim.Adam(net.parameters(), lr=0.01)


def go(net: MADE, optimizer: torch.optim.Optimizer, steps: int) -> Tensor:
    """The losses of some steps; the batches come from torch's global random state."""
    losses = []
    for _ in range(steps):
        loss = -net.log_prob(train.x[torch.randint(len(train.x), (32,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def resume(saved: dict, parts: tuple[str, ...]) -> Tensor:
    """Twenty steps of another network, after it has loaded some parts of the snapshot."""
    net, optimizer = new_run(1)
    net.load_state_dict(saved["model"])
    if "optimizer" in parts:
        optimizer.load_state_dict(saved["optimizer"])
    if "rng" in parts:
        torch.set_rng_state(saved["rng"])
    return go(net, optimizer, 20)


run = new_run(0)
go(*run, 20)
saved = checkpoint(*run)
unbroken = go(*run, 20)
everything = resume(saved, ("optimizer", "rng"))
report(
    "largest difference, everything restored", (everything - unbroken).abs().max(), claimed=0, tolerance=0, exact=True
)

# %% [markdown]
# Insist on equality, on one machine: any tolerance would hide a lost part.
# The library's `fit(..., checkpoints=Checkpoints(folder), resume=True)` passes the same test, also when the process is killed while it writes.
#
# The *curves* of a run must survive, too. A tracker writes one line for each evaluation while the run goes on; we read the lines back.

# %%
with tempfile.TemporaryDirectory() as folder:
    tracker = open_tracker("lines", folder, "made")
    history = fit(new_run(2)[0], train, validation=validation, steps=20, evaluate_every=5, seed=2, tracker=tracker)
    tracker.close()
    lines = [json.loads(line) for line in (Path(folder) / "lines.jsonl").read_text().splitlines()]
tracked = [(line["step"], line["validation/nats"]) for line in lines if "validation/nats" in line]
print("read back what was measured:", tracked == history.validation)

# %% [markdown]
# ## 8 Smaller: how many bits does a weight need?
#
# A weight in single precision takes 32 bits. To store it in 8, we write it as an integer $q$ times a *scale* $s$, with $s$ chosen so that the largest weight becomes 127:
#
# $$w \approx s\,q, \qquad s = \frac{\max|w|}{127}, \qquad |w - s\,q| \le \frac s2 \tag{20.8}$$
#
# If the error is uniform in $[-s/2, s/2]$, its root mean square is $s/\sqrt{12}$.
# The scale depends on the *largest* weight, so one outlier costs all the others precision. That is why each output of a layer, each row of its matrix, gets a scale of its own.

# %% [markdown]
# **Exercise 3 · `quantize_rows`** · ●○○ · 8 minutes
#
# Round the rows of a tensor to integers.
#
# - `w`: `(R, ...)`, floating-point. Row `i` is all of `w[i]`, whatever its shape: a kernel `(R, C, H, W)` has `R` rows as well.
# - Returns `(q, scale)`: `q` has the shape of `w` and dtype `int8`; `scale` has shape `(R,)`. For a row of zeros any positive scale is right.
#
# Example: `quantize_rows(torch.tensor([[1.0, -2.54], [127.0, 3.4]]))[0]` is `[[50, -127], [127, 3]]`: the scales are 0.02 and 1.
#
# <details><summary>Hint 1</summary><code>w.flatten(1)</code> makes a matrix of any tensor; <code>view_as(w)</code> takes that back.</details>
# <details><summary>Hint 2</summary>The conversion to int8 cuts the fraction off, so call <code>round()</code> before it.</details>


# %%
@check
def quantize_rows(w: Tensor) -> tuple[Tensor, Tensor]:
    """Integers (int8) shaped like w (R, ...), and a scale for each row (R,)."""
    ### BEGIN SOLUTION
    rows = w.flatten(1)
    scale = rows.abs().amax(1) / 127
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (rows / scale[:, None]).round().to(torch.int8).view_as(w), scale
    ### END SOLUTION


# %%
weight = made.hidden[0].weight.detach().double()
q, scale = quantize_rows(weight)
errors = weight - q * scale[:, None]
ratio = (errors.square().mean(1).sqrt() / (scale / math.sqrt(12))).mean()
report("largest error over half a scale", (errors.abs() / scale[:, None]).max() * 2, claimed=1, tolerance=0.01)
report("root mean square error over scale / √12", ratio, claimed=1, tolerance=0.03)

# %% [markdown]
# What do such errors cost in *nats*? The library's `quantize` rounds all weight matrices of a model, with a scale for each row or one for each matrix.
# We use a network of section 6. (The weights that come with this course are stored in rows of eight bits already.)

# %%
guess("nats lost with 8 bits, a scale for each row", ...)  # if you like: a number in place of the dots

# %%
lost = {"one scale for each matrix": [], "one scale for each row": []}
for name, per in zip(lost, ("tensor", "row"), strict=True):
    for b in (3, 4, 5, 6, 7, 8):
        lost[name].append((b, paired(quantize(made, b, per), made, validation).nats))
show.curves(
    lost,
    xlabel="bits for each weight",
    ylabel="nats lost per image",
    title="Eight bits are free; with four or three, a scale for each row helps",
    alt="Nats lost on validation data against bits per weight, from 3 to 8, for one scale per matrix and one scale per "
    "row. Both curves are near zero from 5 to 8 bits; below, the curve of one scale per matrix rises steeply.",
)
eight = dict(lost["one scale for each row"])[8]
report("nats lost with 8 bits, a scale for each row", eight, claimed=0, tolerance=0.05, unit="nats")

# %%
lesson20.bits(made.out.weight)

# %% [markdown]
# The slider comes alive when you run the notebook. On the left, a few large weights set the scale, and most others fall into the same few levels.
#
# **Fewer weights.** A weight that is nearly zero can be removed, which is called *pruning*. Half of the connections of a MADE are removed by its masks anyway, and we count only weights that are in use.
# A recorded study (`python studies/compression.py`) has three models with three seeds each, trained for fewer steps than the models of the course. The numbers are mean nats lost on the same validation images.

# %%
costs = lesson20.Costs(recorded_study("compression-digits"))
worst = max(costs.lost(model, "bits per row", 8) for model in costs.models)
report("largest mean loss with 8 bits by rows, three models", worst, claimed=0, tolerance=0.05, unit="nats")
show.table(*costs.table())

# %% [markdown]
# In all three models, eight bits by rows cost less than 0.05 nats, and at four bits a scale for each row loses less than a scale for each matrix.
# Pruning depends on the model. Half of the MADE's weights can go for nothing; the other two models lose more than a nat.
#
# **A small model taught by a larger one.** In *distillation* (Hinton, Vinyals and Dean, 2015) a small *student* learns from the conditionals of a *teacher*, not only from the value that occurred. With logits $t$ and $s$ and a temperature $T$:
#
# $$L_T = T^2\, \mathrm{KL}\big(\operatorname{softmax}(t / T)\,\|\,\operatorname{softmax}(s / T)\big), \qquad \frac{\partial L_T}{\partial s} = T\big[\operatorname{softmax}(s / T) - \operatorname{softmax}(t / T)\big] \tag{20.9}$$
#
# The difference of the softmaxes shrinks like $1/T$, so the factor $T^2$ keeps the gradient at one scale for every $T$.
# A recorded study (`python studies/distillation.py`, three seeds, $T = 1$): the teacher averages the conditionals of four models of this course, the student is a PixelCNN with 10,037 parameters. All students take equally many steps.

# %%
distilled = recorded_study("distillation-digits")
for loss, claimed in (("KL, data", 1.27), ("KL, data and samples", 1.77)):
    gain = -sum(r["to_nll"] for r in distilled["runs"] if r["loss"] == loss) / 3
    report(f"gain on plain training: {loss}", gain, claimed=claimed, tolerance=0.01, unit="nats")
best_member = distilled["ensemble"]["members"][0]
report("gain of the teacher on its best member", -best_member["gain"], claimed=0.37, tolerance=0.01, unit="nats")

# %% [markdown]
# Distillation helps the same student in each of the three seeds, by about a nat or more. Samples of the teacher help a little more on average.
# The student stays seven to eight nats behind its teacher, which is itself only slightly better than its best member (0.37 ± 0.19, one standard error).
#
# ## 9 Elsewhere: the same numbers without PyTorch
#
# A phone, a server in another language or a browser has no PyTorch. *ONNX* is a file format for networks that other programs can run, such as ONNX Runtime.
# A cached sampler (lesson 06) hides its state in a Python object, and a file cannot. So we export *one step* of the model, whose state is an argument and a result: for the GRU over pixels of lesson 03, (values before and above, position, state) → (logits, new state). The loop and the draws stay outside.
# The exported step $\hat f$ must give the numbers of $f$, relative to the largest one, because both compute in single precision and add in different orders:
#
# $$\frac{\max|f(x) - \hat f(x)|}{\max|f(x)|} \le 10^{-5} \qquad \text{for batches of 1, 3 and 64 images} \tag{20.10}$$
#
# Why three batches? The exporter traces the step with three images, and the number 3 may be burnt into the file. Such a graph fails with one image. Always test a batch that was not traced.

# %%
try:
    with tempfile.TemporaryDirectory() as folder:
        gru = load_pretrained("pixel_gru-digits")
        elsewhere = export(gru, folder)  # refuses to write a file that breaks (20.10)
    gap = elsewhere.about["parity"]["step"]
    equal = (gru.sample(64, rng=seed(0)) == elsewhere.sample(64, rng=seed(0))).double().mean()
    report("largest relative difference of the exported step", gap, claimed=0, tolerance=1e-5)
    report("share of equal pixels in 64 images, same uniforms", equal, claimed=1, tolerance=0.001)
except ImportError as error:
    print(f"{error}. The recorded lesson has a relative difference below 1e-5, and equal images.")

# %% [markdown]
# The same uniforms give the same images: that is the test that a user understands. `garm export pixel_gru-digits --out folder` writes the files.
# And speed? In one recorded measurement (`benchmarks/README.md`, one thread) the GRU in eight bits was 1.4 to 2.6 times as fast as PyTorch; a gated PixelCNN was slower for 256 images.
#
# ## 10 Any part may be given
#
# Back to section 1: a user gives the values $x_G$ at some positions $G$, and wants draws from $p(x_{\text{rest}} \mid x_G)$. Clamping draws each free pixel from $p(x_i \mid x_{<i})$, which ignores the given pixels that come later.
#
# A *particle filter* corrects this (Gordon, Salmond and Smith, 1993). Draw $n$ images at once, called particles. At a free position each particle draws its own value. At a given position particle $j$ predicts the given value with probability $w_j = p(x_i \mid x^{(j)}_{<i})$. Draw $n$ particles anew, with replacement, in proportion to $w_j$: particles that expected the value multiply, particles that did not die out.
#
# The weights also estimate how probable the given part is:
#
# $$\hat p(x_G) = \prod_{i \in G} \frac1n \sum_{j=1}^n p\big(x_i \mid x^{(j)}_{<i}\big), \qquad \mathbb E\,\hat p(x_G) = p(x_G) \tag{20.11}$$
#
# For one given position this is the mean of $p(x_i \mid x_{<i})$ over draws of $x_{<i}$, hence its expectation is $p(x_i)$. Resampling keeps the product unbiased (Del Moral, 2004). By Jensen's inequality $\ln \hat p$ is too low on average.

# %% [markdown]
# **Exercise 4, build it · `complete`** · ●●● · 30 minutes
#
# Write the particle filter.
#
# - `conditional(x, i)`: a function that returns `(n, K)` log-probabilities of the values at position `i`, from `x[:, :i]` of particles `x` `(n, D)`.
# - `given`: `(D,)`, the given values, and `mask`: `(D,)`, True where a value is given.
# - `u`: `(n, D)`, uniform numbers. At a free position, particle `j` takes the first value whose cumulative probability is above `u[j, i]`.
# - `v`: `(D,)`, uniform numbers for resampling, if you need them. How you resample is up to you: `torch.multinomial` works, too.
# - Returns `(x, log_evidence)`: particles `(n, D)`, LongTensor, and the logarithm of (20.11), a scalar tensor.
#
# Example: with every position given, all particles are equal, and `log_evidence` is the model's log-probability of the image, exactly. With none given, it is 0.
#
# <details><summary>Hint 1</summary>The number of cumulative sums that are at most u is the value: <code>(u[:, i, None] >= log_p.exp().cumsum(1)).sum(1)</code>. Clamp it at K - 1, since rounding may leave the last sum below 1.</details>
# <details><summary>Hint 2</summary>Probabilities such as e^-800 are 0 in floating point. The logarithm of a mean is <code>logsumexp</code> minus <code>math.log(n)</code>, and <code>softmax</code> normalizes weights from their logarithms.</details>
# <details><summary>Hint 3</summary>A particle is a whole row: <code>x = x[indices]</code>. Systematic resampling has less noise than <code>multinomial</code>: look up <code>(torch.arange(n) + v[i]) / n</code> in the cumulative weights by <code>torch.searchsorted</code>.</details>


# %%
@check
def complete(conditional, given: Tensor, mask: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Particles (n, D) that follow p(x | given), and the logarithm of the estimate of p(given)."""
    ### BEGIN SOLUTION
    n, D = u.shape
    x = torch.zeros(n, D, dtype=torch.long)
    log_evidence = u.new_zeros(())
    for i in range(D):
        log_p = conditional(x, i)
        if mask[i]:
            x[:, i] = given[i]
            log_w = log_p[:, given[i]]
            log_evidence = log_evidence + log_w.logsumexp(0) - math.log(n)
            edges = log_w.softmax(0).cumsum(0)
            ticks = (torch.arange(n) + v[i]) / n * edges[-1]
            x = x[torch.searchsorted(edges, ticks).clamp(max=n - 1)]
        else:
            x[:, i] = (u[:, i, None] >= log_p.exp().cumsum(1)).sum(1).clamp(max=log_p.shape[1] - 1)
    return x, log_evidence
    ### END SOLUTION


# %%
@torch.no_grad()
def conditional(x: Tensor, i: int) -> Tensor:
    """(n, 17) log-probabilities of pixel i under the shipped MADE."""
    return shipped(x.view(-1, 1, 8, 8)).flatten(1, 3)[:, i].double().log_softmax(-1)


def restore(image: Tensor, mask: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    u, v = torch.rand(n, 64, generator=rng, dtype=torch.float64), torch.rand(64, generator=rng, dtype=torch.float64)
    x, log_evidence = complete(conditional, image.flatten(), mask.flatten(), u, v)
    return x.view(-1, 1, 8, 8), log_evidence


upward = {"clamped": clamp(one, bottom, 8, seed(0))}
for n in budget(smoke=(8,), quick=(16, 256), full=(16, 256)):
    x, _ = restore(one[0], bottom, n, seed(0))
    upward[f"{n} particles"] = x[:: n // 8]
show.panels(
    upward,
    given_mask=bottom,
    levels=17,
    cols=4,
    title="With particles, the upper half fits the lower half",
    alt="Completions of the first validation digit with its bottom half given. Clamped: the upper halves vary, and "
    "many do not fit. With 16 particles all upper halves are equal, with 256 there are several, and strokes meet.",
)

# %% [markdown]
# Eight of the particles are shown, evenly spaced. Now the same eight digits as in section 1, in numbers.

# %%
for n, claimed in budget(smoke=((8, 90),), quick=((16, 98), (256, 88)), full=((16, 98), (256, 88))):
    x = torch.cat([restore(image, bottom, n, seed(k))[0] for k, image in enumerate(some)])
    report(f"bottom given, {n} particles", nats(x), claimed=claimed, tolerance=7 if n < 256 else 4, unit="nats")
x, _ = restore(one[0], bottom, budget(smoke=8, quick=256, full=256), seed(0))
report("different completions among the particles", len(x.flatten(1).unique(dim=0)), claimed=9, tolerance=4)

# %% [markdown]
# 256 particles close most of the gap between clamped completions and real digits, 16 about half of it.
# But resampling copies: the particles that are left descend from a few ancestors. With 16 particles all completions of the first digit are equal.
#
# To do this by hand, type `garm demo` in a terminal: in a page that needs neither Python nor a network you paint any part of a digit, and a GRU completes it with particles.
#
# **The last step, pixels.** A model with values in $[-1, 1]$ needs one more line:
#
# $$\hat x = \operatorname{round}\Big(\big(\operatorname{clip}(x, -1, 1) + 1\big)\cdot 127.5\Big) \tag{20.12}$$
#
# Without `clip`, the value 1.01 becomes 256, and `uint8` wraps it around to 0: black specks in white areas.

# %%
x = torch.tensor([-1.0, 1.0, 1.01])
pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
wrapped = ((x + 1) * 127.5).round().long() % 256  # what uint8 keeps of a number that is too large
print(f"1.01 becomes {pixels[2]}, and {wrapped[2]} without the clip")

# %% [markdown]
# ## 11 Break it: a checkpoint without the random state
#
# It is easy to save the weights only. We restore the same snapshot again, and leave parts of it out.

# %%
without = {"weights only": (), "without the random state": ("optimizer",)}
broken = {name: resume(saved, parts) for name, parts in without.items()}
show.curves(
    {name: (range(21, 41), y.tolist()) for name, y in {"never stopped": unbroken, **broken}.items()},
    title="Both incomplete checkpoints train on, and neither repeats the run",
    alt="Training loss from step 21 to 40 of three runs: never stopped, weights only, and without the random state. "
    "All three go on at about the same level, on different curves.",
)
for name, losses in broken.items():
    largest = (losses - unbroken).abs().max()
    report(f"largest difference, {name}", largest, claimed=6.4, tolerance=1.5, unit="nats")

# %% [markdown]
# Nothing fails. Both curves look like training, and if you have nothing to compare with, you will not notice.
# *How to detect it:* test (20.6). Train $a + b$ steps; train $a$, save, load, train $b$; ask for equality.
#
# What the article says about compression and denoising stands in [its own page](../docs/article.md).
#
# ## 12 Check yourself

# %% [markdown]
# 1. You searched 60 random configurations. Why may the winner's validation NLL be too good?
#
# <details><summary>Answer</summary>It is the smallest of 60 noisy numbers, (20.4). Train the winner with new seeds, and look at test once.</details>
#
# 2. Successive halving with η = 3 keeps a configuration with a large learning rate and drops one with a small one. What could have gone wrong?
#
# <details><summary>Answer</summary>The early order may not predict the late one, and halving cuts the better run. Replay on a table, or start with longer rungs.</details>
#
# 3. Your resumed run agrees with the unbroken run to three digits. Is that good enough?
#
# <details><summary>Answer</summary>No. On one machine it must agree in every bit. A small difference means that a part of the state is missing.</details>

# %% [markdown]
# ## Take-aways
#
# - Draw learning rates on a logarithmic scale, stop bad runs early, and judge a search by many replays.
# - The best of $m$ numbers is too good by $c_m\,\sigma$: train the winner again, and look at test once.
# - A resumed run, and an exported graph, must give *the same* numbers: test equality.
# - Eight bits by rows lose almost nothing; particles answer questions against the model's order.
#
# **Your turn.** With 256 particles, few different completions are left. Change `complete` so that more of them survive, with the same number of calls of the model and the same distribution. (An idea: resample only when the effective number of particles, $1 / \sum_j \bar w_j^2$ with normalized weights $\bar w_j$, falls below $n / 2$.)
#
# ## Where next
#
# - Bergstra, Bengio, *Random Search for Hyper-Parameter Optimization*, JMLR 13, 2012; Jamieson, Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, AISTATS 2016, arXiv 1502.07943; Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, *Hyperband*, JMLR 18, 2018, arXiv 1603.06560; Li et al., *A System for Massively Parallel Hyperparameter Tuning* (ASHA), MLSys 2020, arXiv 1810.05934; Bergstra, Bardenet, Bengio, Kégl, *Algorithms for Hyper-Parameter Optimization* (TPE), NIPS 2011; Akiba et al., *Optuna*, KDD 2019, arXiv 1907.10902.
# - Dodge, Gururangan, Card, Schwartz, Smith, *Show Your Work: Improved Reporting of Experimental Results*, EMNLP 2019, arXiv 1909.03004; Bouthillier et al., *Accounting for Variance in Machine Learning Benchmarks*, MLSys 2021, arXiv 2103.03098.
# - Jacob et al., *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*, CVPR 2018, arXiv 1712.05877; Han, Pool, Tran, Dally, *Learning both Weights and Connections for Efficient Neural Networks*, NIPS 2015, arXiv 1506.02626; Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural Network*, 2015, arXiv 1503.02531.
# - Gordon, Salmond, Smith, *Novel approach to nonlinear/non-Gaussian Bayesian state estimation*, IEE Proceedings F 140, 1993; Del Moral, *Feynman-Kac Formulae*, Springer 2004.
# - In the library, read [`search.py`](../garm_course/practice/search.py), [`compress.py`](../garm_course/practice/compress.py), [`export.py`](../garm_course/practice/export.py) and [`checkpoints.py`](../garm_course/training/checkpoints.py).

# %%
claims()
