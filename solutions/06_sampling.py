# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · Fast and controlled sampling
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/garm-course/garm-course/blob/v0.1.0/notebooks/06_sampling.ipynb) [![Launch on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/garm-course/garm-course/v0.1.0?labpath=notebooks%2F06_sampling.ipynb)
#
# **An autoregressive model draws one value after the other. Why is that slow, how can it be hundreds of times faster, and which changes keep the distribution of the samples the same?**
#
# | | |
# |---|---|
# | Time | 80 minutes; the cells run in under a minute |
# | Before this | masks and the two stacks, [lesson 04](04_pixelcnn.ipynb); recurrent state, [lesson 03](03_pixelrnn.ipynb); enumeration, [lesson 02](02_chain_rule.ipynb) |
# | Afterwards you can | *count* what a sampler computes twice, *implement* a step of a buffered convolution and a nucleus, *derive* what temperature does to an entropy and why speculative sampling is exact, *diagnose* a cache that was not emptied, *compare* samplers honestly |
# | Papers | Ramachandran et al., *Fast Generation for Convolutional Autoregressive Models*, 2017, arXiv [1704.06001](https://arxiv.org/abs/1704.06001) · Holtzman et al., *The Curious Case of Neural Text Degeneration*, ICLR 2020, arXiv [1904.09751](https://arxiv.org/abs/1904.09751) · Leviathan, Kalman, Matias, *Fast Inference from Transformers via Speculative Decoding*, ICML 2023, arXiv [2211.17192](https://arxiv.org/abs/2211.17192) |

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
import time

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from garm_course import budget, check, claims, fit, guess, load, load_pretrained, report, seed, show
from garm_course.autoregressive import PixelCNN
from garm_course.autoregressive.layers import CausalAttention, CausalConv1d, KeyValueCache, RingBuffer
from garm_course.autoregressive.sampling import speculative
from garm_course.distributions import filter_logits
from garm_course.evaluation import all_examples, evaluate
from garm_course.lessons import lesson06

# %% [markdown]
# ## 1 The question, in pictures
#
# The model is the recorded Gated PixelCNN of lesson 04 on glyphs: 28 x 28 binary pixels, 784 conditionals. Lesson 02 drew an image like this: run the network on the image so far, take the prediction of pixel $i$, draw the pixel, write it into the image, and go on. That is 784 passes of the network. We run eight of them and multiply.

# %%
model = load_pretrained("gated_pixelcnn-glyphs")
blank = torch.zeros(16, *model.shape, dtype=torch.long)


def seconds(run, repeats: int = 1) -> float:
    """The fastest of some runs: what else the computer does can only make a run slower."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


with torch.inference_mode():
    naive = 784 * seconds(lambda: model(blank), budget(smoke=1, quick=8, full=32))
    naive_one = 784 * seconds(lambda: model(blank[:1]), budget(smoke=1, quick=8, full=32))
cached = seconds(lambda: model.sample(16), budget(smoke=1, quick=3, full=7))
print(f"16 images, 784 passes of the whole network: ≈ {naive:.1f} s")
print(f"16 images, nothing computed twice:          ≈ {cached:.2f} s")
report("faster by a factor of at least 20", int(naive / cached >= 20), claimed=1, tolerance=0, exact=True)

# %%
show.grid(
    model.sample(16, rng=seed(0)),
    levels=2,
    title="Sixteen glyphs, each pixel drawn from its exact conditional",
    alt="The first 16 samples of the recorded Gated PixelCNN on glyphs: about half are legible digits in printed "
    "fonts, the others have a stroke too many or one too few; a few black pixels are noise, as in the data.",
)

# %% [markdown]
# Both ways draw *the same images*, as section 5 shows. So what did the first one compute all the time?
#
# ## 2 What is computed twice
#
# Let $D$ be the number of values of an image and $C(D)$ the cost of one pass over all of them. The naive sampler pays for a pass each time. But a causal network has a property that it does not use: the features of pixel $j$ depend on pixels up to $j$ only, so they are *the same in every pass after $j$ was drawn*. A pass computes $D$ columns of features, of which one is new, $D - 1$ are repeated or not yet of use. Computing each column once, when its inputs are there, costs $c_i$ for column $i$:
#
# $$\text{naive: } D \cdot C(D) \qquad \text{cached: } \sum_{i=1}^{D} c_i \le C(D) \tag{6.1}$$
#
# Drawing an image costs about as much as *one* forward pass over an image. Counted, not timed:


# %%
guess("cached drawing, in passes", ...)  # if you like: a number in place of the dots

# %% tags=["exact"]
def operations(run) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


with torch.no_grad():
    one_pass = operations(lambda: model(blank[:1]))
drawing = operations(lambda: model.sample(1))
print(f"one pass over an image: {one_pass:,} operations; naive drawing: 784 times that = {784 * one_pass:,}")
print(f"cached drawing:         {drawing:,} operations")
report("cached drawing, in passes", drawing / one_pass, claimed=0.97, tolerance=0.01)
report("naive over cached, in operations", 784 * one_pass / drawing, claimed=808, tolerance=2)

# %% [markdown]
# (A little less than one pass, because there is no row above the first one.) Between 808 times fewer operations and the ratio of seconds above lies what it costs to *call* an operation: 784 steps of some forty small ones. That is why drawing 16 images together takes less than twice as long as drawing one, see section 6.
#
# ## 3 Convolutions: a ring buffer
#
# **Step 1: what a convolution still needs.** Take one dimension, say sound. A causal convolution with $k$ taps at a distance (*dilation*) of $d$ computes
#
# $$y_t = \sum_{j=0}^{k-1} w_j\, x_{t - (k-1-j) d} \qquad\Rightarrow\qquad y_t \text{ needs } x_t \text{ and the last } (k-1)\,d \text{ inputs} \tag{6.2}$$
#
# with zeros before the beginning; $w_0$ meets the oldest input, $w_{k-1}$ the newest. Older inputs can be forgotten. So each layer keeps a buffer of $(k-1)d$ inputs, and a step reads a few of them, computes one output, and puts its input in the place of the oldest. Move the slider: orange is computed, dark blue is read, light blue waits for its turn. The blue squares of a row are the buffer of the layer *above*, which reads them.

# %%
lesson06.ring_buffers(4, 2, length=24, time=17)

# %% [markdown]
# Four layers see 16 inputs, and the buffers hold 15. In general $n$ layers with dilations $1, k, k^2, \dots$ see $k^n$ inputs and keep $k^n - 1$: memory grows with the receptive field, not with the length of the sequence.

# %% [markdown]
# **Exercise 1 · `conv_step`** · ●●○ · 10 minutes
#
# Write one step of (6.2), with a buffer that is handed in and handed back.
#
# - `x_t`: `(B, C_in)`, the newest input. `buf`: `(B, C_in, (k-1) * dilation)`, the inputs before it, the oldest first.
# - `w`: `(C_out, C_in, k)`, where `w[..., 0]` meets the oldest input, as in `F.conv1d`. `dilation`: $d$.
# - Returns `y`, `(B, C_out)`, and the new buffer, of the same shape as `buf`, both with gradients to all three tensors. `buf` itself stays as it is.
#
# Example: `conv_step(torch.tensor([[3.]]), torch.tensor([[[1., 2.]]]), torch.tensor([[[10., 1.]]]), 2)`: the taps meet 1 and 3, so `y` is `[[13.]]`, and the new buffer is `[[[2., 3.]]]`.
#
# <details><summary>Hint 1</summary>Put the buffer and the newest input together: <code>torch.cat([buf, x_t[..., None]], -1)</code> has (k-1)d + 1 entries, which is exactly the reach of the kernel.</details>
# <details><summary>Hint 2</summary>Every d-th entry of this window meets a tap, <code>window[..., ::dilation]</code>. Sum over taps and input channels, for instance with <code>torch.einsum("bik,oik->bo", ...)</code>.</details>


# %%
@check
def conv_step(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    """(B, C_in) input, (B, C_in, (k-1) d) buffer, (C_out, C_in, k) weight -> (B, C_out) output and the new buffer."""
    ### BEGIN SOLUTION
    window = torch.cat([buf, x_t[..., None]], -1)
    return torch.einsum("bik,oik->bo", window[..., ::dilation], w), window[..., 1:]
    ### END SOLUTION


# %%
seed(0)
stack = [CausalConv1d(8, 8, 2, dilation=2**i).double() for i in range(6)]  # sees 64 inputs
signal = torch.randn(3, 8, 100, dtype=torch.float64)
whole = signal
for layer in stack:
    whole = whole + F.relu(layer(whole))
buffers = [torch.zeros(3, 8, layer.reach, dtype=torch.float64) for layer in stack]
error = 0.0
for t in range(100):
    h = signal[..., t]
    for i, layer in enumerate(stack):
        y, buffers[i] = conv_step(h, buffers[i], layer.weight, layer.dilation[0])
        h = h + F.relu(y + layer.bias)
    error = max(error, (h - whole[..., t]).abs().max().item())
report("largest error of 100 steps through six layers", error, claimed=0, tolerance=1e-12)
report("inputs that the buffers hold", sum(b.shape[-1] for b in buffers), claimed=63, tolerance=0, exact=True)

# %% [markdown]
# The exercise copies the buffer at every step, which is simple. The library's [`RingBuffer`](../garm_course/autoregressive/layers/causal_conv1d.py) does not: input $t$ is written over input $t - (k-1)d$, at place $t \bmod (k-1)d$, just after this one was read for the last time, so nothing ever moves. In two dimensions ([`ConvCache`](../garm_course/autoregressive/layers/causal_conv.py)) the buffer is a few rows of the image, and what the rows above contribute is computed for a whole row at once.
#
# ## 4 State and attention
#
# **Recurrent networks** need nothing new. The state *is* the cache: it was invented to stand for the past. A GRU keeps as many numbers as it has units, however long the past is, and forgets what does not fit.
#
# **Attention** forgets nothing. Position $t$ asks with a *query* $q_t$; each position $s \le t$ answers with a *key* $k_s$ and says a *value* $v_s$, all three linear functions of the features there:
#
# $$o_t = \sum_{s \le t} a_{ts}\, v_s, \qquad a_{ts} = \frac{e^{q_t \cdot k_s/\sqrt{h}}}{\sum_{r \le t} e^{q_t \cdot k_r/\sqrt{h}}} \tag{6.3}$$
#
# where $h$ is the length of a key. Keys and values of earlier positions do not change when position $t$ comes: keep them, compute $q_t, k_t, v_t$, and take the mean. (Lesson 07 builds a transformer from this layer, and explains the root.)

# %%
seed(0)
attention = CausalAttention(16, heads=2).double()
tokens = torch.randn(3, 40, 16, dtype=torch.float64)
rows = attention(tokens)  # all positions at once
cache = KeyValueCache(attention, n=3, length=40)
one_by_one = torch.cat([cache.extend(tokens[:, t : t + 1]) for t in range(40)], 1)
report("largest error of 40 steps", (rows - one_by_one).abs().max().item(), claimed=0, tolerance=1e-12)
for name, kept in (
    ("two taps at distance 1, 2, 4, ..., 32", 63 * 16),
    ("a GRU", 16),
    ("attention, after 40 positions", 2 * 40 * 16),
):
    print(f"numbers kept, 16 features: {name}: {kept:,}")

# %% [markdown]
# So there are three ways to remember: a window (memory as long as the receptive field), a state (constant), and everything (grows with every value, and so does the cost of a step). What they have in common: *every feature once*.
#
# ## 5 One loop for all of them
#
# In the library a model says only two things: `start`, what is kept before the first value, and `step`, what the next conditional is. The loop around them exists once, in [`sampling/loop.py`](../garm_course/autoregressive/sampling/loop.py). It draws by inverting the cumulative distribution function: with $u_i$ uniform in $[0, 1)$,
#
# $$x_i = \min\{k : F_i(k) > u_i\}, \qquad F_i(k) = \sum_{l \le k} p(x_i = l \mid x_{<i}) \tag{6.4}$$
#
# All uniforms are drawn *before the first pixel*, one for each image and position. So the images are a function of the uniforms, and it does not matter in which way, in which batch or on which device the conditionals are computed: the same uniforms give the same images. That makes a strict test. In float64, every recorded model of this course draws the same digits both ways, to the last bit:

# %%
names = ("nade", "pixel_gru", "row_lstm", "diagonal_bilstm", "pixelcnn", "gated_pixelcnn", "pixelcnnpp")
different = 0
for name in (*names, "conditional_gated_pixelcnn"):
    one = load_pretrained(f"{name}-digits").double()
    y = torch.tensor([3, 8]) if one.n_classes else None
    fast, slow = (draw(2, y, rng=seed(0)) for draw in (one.sample, one.sample_naive))
    different += (fast != slow).sum().item()
    print(f"{name}: {'equal' if torch.equal(fast, slow) else 'NOT equal'}")
report("pixels that differ, eight models", different, claimed=0, tolerance=0, exact=True)

# %% [markdown]
# In float32 the two ways add up in different orders, so their logits differ by some $10^{-6}$, and once in a very long while a $u$ falls into the crack. That is not an error of the sampler; but it is why lesson 05 decodes along exactly the path on which it encoded.
#
# ## 6 How fast is it?
#
# A step calls its operations whether they compute on one image or on sixty-four. So the cost of an image falls with the number of images drawn together, until computing outweighs calling.

# %%
sizes = budget(smoke=(1, 4), quick=(1, 2, 4, 8, 16, 32, 64), full=(1, 2, 4, 8, 16, 32, 64, 128, 256))
times = {n: seconds(lambda n=n: model.sample(n), budget(smoke=1, quick=2, full=5)) for n in sizes}
show.curves(
    {"cached": (list(times), [1e3 * s / n for n, s in times.items()])},
    xlabel="images drawn together",
    ylabel="ms per image",
    title="Drawing in batches makes each image cheaper",
    alt="Cost of an image against the number drawn together: it falls steeply up to about 16 images and slowly after.",
)
first, last = (1e3 * times[n] / n for n in (sizes[0], sizes[-1]))
print(f"one image alone ≈ {first:.0f} ms, among {sizes[-1]} ≈ {last:.1f} ms")
report("cheaper by a factor of at least 5 among 64", int(first / last >= 5), claimed=1, tolerance=0, exact=True)

# %% [markdown]
# **Is this "real time"?** The word has a meaning: the *real-time factor* is seconds of computing per second of output, and below 1 it is real time. Three cases, on this machine: an image on demand, a film of 25 images of 28 x 28 a second, and sound of 16,000 values a second from ten dilated layers of 32 features (untrained: the cost is the same).

# %% tags=["exact"]
layers = [CausalConv1d(32, 32, 2, dilation=2**i) for i in range(10)]
steps = budget(smoke=20, quick=800, full=16_000)


def sound() -> None:
    rings, h = [RingBuffer(layer, 1) for layer in layers], torch.zeros(1, 32)
    for _ in range(steps):
        for ring in rings:
            h = h + F.relu(ring.step(h))


with torch.inference_mode():
    per_value = seconds(sound, 2) / steps
    window = torch.zeros(1, 32, 1024)
    per_pass = seconds(lambda: [layer(window) for layer in layers], 3)
print(f"an image on demand: naive ≈ {naive_one:.1f} s, cached ≈ {times[sizes[0]]:.2f} s")
print(f"film, frame by frame: real-time factor naive ≈ {25 * naive_one:.0f}, cached ≈ {25 * times[sizes[0]]:.1f}")
wait = sizes[-1] * last / 1e3
print(f"frames a second, {sizes[-1]} drawn together: ≈ {1e3 / last:.0f}, but all at once, every ≈ {wait:.1f} s")
print(f"sound: real-time factor naive ≈ {16_000 * per_pass:.0f}, cached ≈ {16_000 * per_value:.1f}")

# %% [markdown]
# On an ordinary processor the sound takes longer to compute than to hear, even with ring buffers: two to five times as long on the machines that we tried. A film whose frames must wait for each other is slower than real time as well. Drawing many images together gives more frames a second than any film needs, but that is *throughput*: they all come at once. The cost of a *step* does not shrink with a larger machine as the cost of a pass does: $D$ steps have to wait for each other. Hence the two remedies of practice: draw several values at once without changing the law (section 8), or train another model that is not sequential to imitate this one (van den Oord et al., 2018, for WaveNet).
#
# ## 7 Controlled sampling
#
# Up to here nothing was changed. *Filters* change the distribution, on purpose. The oldest is the **temperature** $T$:
#
# $$p_T(k) = \frac{p(k)^{1/T}}{\sum_l p(l)^{1/T}} \tag{6.5}$$
#
# *What it does to the entropy.* Write $\beta = 1/T$ and $Z(\beta) = \sum_l p(l)^\beta$, so that $\ln p_T = \beta \ln p - \ln Z$ and $H = \ln Z - \beta\, \mathbb{E}_{p_T}[\ln p]$. Since $\mathrm{d} \ln Z/\mathrm{d}\beta = \mathbb{E}_{p_T}[\ln p]$, two terms of the derivative cancel. The third has $\mathrm{d}\, \mathbb{E}_{p_T}[\ln p]/\mathrm{d}\beta = \mathrm{Var}_{p_T}[\ln p]$, because $\mathrm{d} p_T/\mathrm{d}\beta = p_T\, (\ln p - \mathbb{E}_{p_T}[\ln p])$. So $\mathrm{d}H/\mathrm{d}\beta = -\beta\, \mathrm{Var}_{p_T}[\ln p]$. With $\mathrm{d}\beta/\mathrm{d}T = -1/T^2$,
#
# $$\frac{\mathrm{d}H}{\mathrm{d}T} = \frac{\mathrm{Var}_{p_T}[\ln p]}{T^3} \ge 0 . \tag{6.6}$$
#
# The entropy rises with the temperature, strictly, unless all levels that are possible are equally likely. As $T \to 0$ only the most probable level is left, which is how the library defines $T = 0$.

# %%
digits = load("digits", "validation")
painter = load_pretrained("gated_pixelcnn-digits")
with torch.no_grad():
    logits = painter.head.logits(painter(digits.x)).double()  # (180, 1, 8, 8, 17)
pixel = logits[3, 0, 1, 3]  # one conditional


def entropy(p: Tensor) -> Tensor:
    return -torch.special.xlogy(p, p).sum(-1)


T = torch.linspace(0.2, 3, 15, dtype=torch.float64, requires_grad=True)
p_T = (pixel / T[:, None]).softmax(-1)
(slope,) = torch.autograd.grad(entropy(p_T).sum(), T)
log_p = pixel.log_softmax(-1)
variance = (p_T * log_p**2).sum(-1) - (p_T * log_p).sum(-1) ** 2
report("error of (6.6)", (slope - variance / T**3).abs().max().item(), claimed=0, tolerance=1e-10)
report("temperatures at which the entropy falls", (slope <= 0).sum().item(), claimed=0, tolerance=0, exact=True)

# %% [markdown]
# A temperature makes everything a little more or less likely. The other filters *cut off the tail*, where a model is least to be trusted: each improbable level is rare, but there are many of them, and an image has many chances to draw one.
#
# - **top-k** keeps the $k$ most probable levels, whether they are 3 of 3 good ones or 3 of 17.
# - **top-p**, the *nucleus*, keeps the smallest set of most probable levels whose mass reaches $p$.
# - **min-p** keeps levels that have at least a share $p$ of the largest probability.

# %% [markdown]
# **Exercise 2 · `top_p_filter`** · ●●○ · 10 minutes
#
# Write the nucleus filter: in each row keep the smallest set of most probable values whose mass reaches `p`, and cut off the rest.
#
# - `logits`: `(..., V)`, logarithms of probabilities up to a constant. `p`: a number in $(0, 1]$.
# - The set is the smallest one also at a tie: where the mass equals `p` exactly, nothing more stays, and of equally probable values only as many as needed, whichever they are. With four equal logits and `p = 0.5`, two stay.
# - Returns `(..., V)`: `-inf` for what is cut off, the other logits as they are (or with one constant added to all of them).
#
# Example: `top_p_filter(torch.tensor([0.2, 0.5, 0.3]).log(), p)`. With `p = 0.7` the levels 1 and 2 stay (0.5 is not enough, 0.8 is), with `p = 0.4` level 1 alone, with `p = 1` all.
#
# <details><summary>Hint 1</summary>Sort in descending order, take the softmax and its cumulative sum. A level stays if the mass <em>before</em> it is less than p: so the one that crosses the line stays.</details>
# <details><summary>Hint 2</summary>To bring the sorted logits back to their places: <code>torch.empty_like(logits).scatter(-1, order, ordered)</code>.</details>


# %%
@check
def top_p_filter(logits: Tensor, p: float) -> Tensor:
    """(..., V) logits -> (..., V) logits, -inf outside the smallest set of most probable values with mass p."""
    ### BEGIN SOLUTION
    ordered, order = logits.sort(dim=-1, descending=True)
    masses = ordered.softmax(-1)
    before = masses.cumsum(-1) - masses
    ordered = ordered.masked_fill(before >= p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, order, ordered)
    ### END SOLUTION


# %%
settings = {
    "temperature 0.5": filter_logits(pixel, temperature=0.5),
    "top-k 3": filter_logits(pixel, top_k=3),
    "top-p 0.8": top_p_filter(pixel, 0.8),
    "min-p 0.2": filter_logits(pixel, min_p=0.2),
}
bars = {name: {"the model": pixel.softmax(-1), "filtered": f.softmax(-1)} for name, f in settings.items()}
show.histograms(
    bars,
    ymax=0.5,
    title="Four filters on one pixel",
    alt="Predictive distribution of one pixel over 17 gray levels, and what is left of it: temperature 0.5 sharpens, "
    "top-k keeps three levels, top-p and min-p cut where the mass or the height falls below a limit.",
)
kept = {name: torch.isfinite(f).sum().item() for name, f in settings.items()}
for name, f in settings.items():
    print(f"{name:15s} levels kept: ≈ {kept[name]:2d}   entropy: ≈ {entropy(f.softmax(-1)):.2f} nats")

# %% [markdown]
# **What do they do to a whole image?** That cannot be read off one pixel. To compare laws we need a distance, the *total variation* $\mathrm{TV}(p, q) = \tfrac12 \sum_x |p(x) - q(x)|$, between 0 and 1. Enumerate: the model of lesson 04 for bars and stripes, 4 x 4 binary pixels, so 65,536 images, of which 30 are right and equally frequent, $\ln 30 = 3.401$ nats. Apply a filter to *every* conditional and multiply: that is the law of the filtered sampler, exactly.

# %%
bars_model = load_pretrained("gated_pixelcnn-bars_and_stripes")
everything = all_examples((1, 4, 4), 2)
right = (everything[:, None] == load("bars_and_stripes", "train").x.unique(dim=0)).flatten(2).all(2).any(1)
with torch.no_grad():
    conditionals = bars_model.head.logits(bars_model(everything)).double()  # (65536, 1, 4, 4, 2)


def law(**filters: float) -> Tensor:
    """Probabilities (65536,) of all images under the sampler with these filters."""
    log_p = filter_logits(conditionals, **filters).log_softmax(-1)
    return log_p.gather(-1, everything[..., None]).flatten(1).sum(1).exp()


plain = law()
for filters in ({}, {"temperature": 0.5}, {"temperature": 0.2}, {"temperature": 2.0}, {"top_p": 0.9}, {"top_p": 0.85}):
    p = law(**filters)
    print(
        f"{filters or 'no filter'!s:24} sum ≈ {p.sum():.6f}, wrong images ≈ {1 - p[right].sum().item():.4%}, "
        f"entropy ≈ {entropy(p):.3f} nats, most frequent image ≈ {p.max():.3f}"
    )
cold, tempered = law(temperature=0.5), (2 * plain.log()).softmax(0)
lost = {top_p: int((law(top_p=top_p)[right] == 0).sum()) for top_p in (0.9, 0.85, 0.6)}
for top_p, claim in ((0.9, 0), (0.85, 2), (0.6, 14)):
    report(f"right images that top-p {top_p} makes impossible", lost[top_p], claimed=claim, tolerance=0)
report("entropy without filters", entropy(plain).item(), claimed=3.402, tolerance=0.001, unit="nats")
report("entropy at temperature 0.5 for each pixel", entropy(cold).item(), claimed=3.202, tolerance=0.002, unit="nats")
report("entropy of p squared, normalized", entropy(tempered).item(), claimed=3.401, tolerance=0.001, unit="nats")
between = 0.5 * (cold - tempered).abs().sum().item()
report("total variation between the two", between, claimed=0.295, tolerance=0.002)

# %% [markdown]
# The table shows two different effects. With top-p = 0.9 the wrong images disappear and all 30 right images remain equally likely. But one row down, with top-p = 0.85, two right images can no longer be drawn at all, and with 0.6 fourteen. (After three white pixels, a black one has probability 1/9, so a threshold of 8/9 decides.) Temperature never removes an image; it makes some rarer. Sharpening whole images, $p(x)^{1/T}$, would change nothing here, since all right images are equally likely. Sharpening every *pixel* favors the branch that leads to more images, so the entropy drops by 0.2 nats at $T = 0.5$. (Hot sampling loses some as well: (6.6) holds for each conditional, not for the whole image.)
#
# **See it.** Move the sliders, on digits. The same uniforms are used throughout. Watch the upper histogram: how many nats the samples cost *under the model*, beside real digits. The entropy in the title is what they cost under the *filtered* sampler, their own law.

# %%
lesson06.filtered_samples(painter, digits.x, temperature=0.5, top_p=1.0)

# %%
cool = painter.sample(200, temperature=0.5, rng=seed(0))
with torch.no_grad():
    cost = -painter.log_prob(cool).mean().item()
real = evaluate(painter, digits).nats
report("real digits", real, claimed=80.3, tolerance=0.1, unit="nats")
report("samples at temperature 0.5", cost, claimed=62.9, tolerance=1, unit="nats")
with torch.no_grad():
    greedy = -painter.log_prob(painter.sample(1, temperature=0)).item()
report("the sample at temperature 0", greedy, claimed=47.2, tolerance=0.1, unit="nats")

# %% [markdown]
# The cool samples cost seventeen nats *less* than real digits: the model finds them more probable than real digits. They are not better, only less varied. At temperature 0 there is a single image, the greedy one, for 47.2 nats. So never judge samples by their own likelihood: it rewards a sampler for drawing less variety.
#
# ## 8 Speculative sampling: several values at once, and the law unchanged
#
# Section 6 ended with a wall: $D$ steps that wait for each other. But to *check* values is parallel, as in training: one pass gives the conditionals of many positions, if somebody guesses the values. So let a small model, the *draft* $q$, guess a few values one after the other, quickly. One pass of the large model, the *target* $p$, over all of them tells what it thinks of each. Now decide, position by position. **Keep the guess $x \sim q$ with probability $\min(1, p(x)/q(x))$. If it is refused, draw from what $p$ has in excess of $q$, and throw away the guesses behind it.**
#
# *The law of the outcome.* A value $x$ comes out in two ways. It is guessed and kept, with probability $q(x) \min(1, p(x)/q(x)) = \min(p(x), q(x))$. Or the guess, whatever it was, is refused, which happens with probability $1 - \sum_k \min(p(k), q(k))$, and $x$ is drawn from the excess $(p - q)_+$, normalized, where $(a)_+ = \max(a, 0)$. The norm of the excess is $\sum_k \big(p(k) - \min(p(k), q(k))\big) = 1 - \sum_k \min(p(k), q(k))$, just the probability of a refusal, so they cancel:
#
# $$\min(p, q) + \Big(1 - \sum_k \min\big(p(k), q(k)\big)\Big) \frac{(p - q)_+}{\lVert (p - q)_+ \rVert_1} = \min(p, q) + (p - q)_+ = p \tag{6.7}$$
#
# Whatever $q$ is. And a guess is kept with probability $\sum_k \min(p(k), q(k)) = 1 - \mathrm{TV}(p, q)$, one minus the total variation: a bad draft makes it slow, never wrong.

# %% [markdown]
# **Exercise 3 · `speculative_output_dist`** · ●●○ · 10 minutes
#
# Write the two terms of (6.7), the two ways in which a value comes out.
#
# - `p`, `q`: `(..., V)`, probabilities of target and draft.
# - Returns two tensors `(..., V)`: `accepted`, the probability that this value was guessed and kept, and `corrected`, the probability that it was drawn after a refusal. Where `p` equals `q` nothing is refused, and `corrected` is zero, not NaN.
#
# Example: `speculative_output_dist(torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25]))` gives `accepted = [0.5, 0.25]`, `corrected = [0, 0.25]`.
#
# <details><summary>Hint 1</summary><code>torch.minimum(p, q)</code> is q min(1, p/q) without a division by zero.</details>
# <details><summary>Hint 2</summary>The excess is <code>(p - q).clamp(min=0)</code>. Look at (6.7) again: how much has to be divided and multiplied?</details>


# %%
@check
def speculative_output_dist(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """(..., V) target and draft -> probabilities (..., V) of each value: guessed and kept; drawn after a refusal."""
    ### BEGIN SOLUTION
    return torch.minimum(p, q), (p - q).clamp(min=0)
    ### END SOLUTION


# %%
p, q = (3 * torch.randn(2, 1000, 17, dtype=torch.float64, generator=seed(0))).softmax(-1)
kept, corrected = speculative_output_dist(p, q)
distance = 0.5 * (p - q).abs().sum(-1)
excess = corrected / corrected.sum(-1, keepdim=True)  # normalized: what is drawn after a refusal
both = kept + (1 - kept.sum(-1, keepdim=True)) * excess
report("largest error of (6.7)", (both - p).abs().max().item(), claimed=0, tolerance=1e-12)
report("error of 1 - TV", (kept.sum(-1) - 1 + distance).abs().max().item(), claimed=0, tolerance=1e-12)

# %% [markdown]
# **A draft for the glyphs.** Any causal model will do. We train a very small PixelCNN, a single masked convolution and two 1 x 1 layers, for a few seconds.

# %% tags=["exact"]
glyphs, held_out = load("glyphs", "train"), load("glyphs", "validation")
seed(0)
draft = PixelCNN((1, 28, 28), 2, channels=8, layers=0, first_kernel=7)
history = fit(
    draft,
    glyphs,
    validation=held_out,
    steps=budget(smoke=2, quick=300, full=1000),
    batch_size=32,
    lr=1e-2,
    evaluate_every=budget(smoke=2, quick=100, full=100),
    label="the draft",
)
target_nats, draft_nats = evaluate(model, held_out).nats, evaluate(draft, held_out).nats
print(f"parameters: target {sum(p.numel() for p in model.parameters()):,}, ", end="")
print(f"draft {sum(p.numel() for p in draft.parameters()):,}")
report("target", target_nats, claimed=80.8, tolerance=0.5, unit="nats")
report("draft", draft_nats, claimed=119, tolerance=6, unit="nats")

# %% [markdown]
# As a model of glyphs the draft is hopeless, forty nats behind. As a guesser it is not: most pixels are easy. Draw one image at a time, with guesses in blocks of up to 28, a row.

# %%
guess("share of values that were guessed and kept", ...)  # if you like: a number in place of the dots

# %%
n = budget(smoke=1, quick=20, full=100)
runs = [speculative.sample(model, draft, 1, block=28, rng=seed(k)) for k in range(n)]
passes = sum(run.passes for run in runs) / n
share = sum(run.accepted for run in runs) / n
images = torch.cat([run.x for run in runs])
with torch.no_grad():
    p, q = (m.head.log_probs(m(images)).exp() for m in (model, draft))  # (n, 1, 28, 28, 2)
overlap = speculative_output_dist(p, q)[0].sum(-1)  # 1 - TV at each pixel
report("passes of the target for an image of 784 pixels", passes, claimed=66, tolerance=12)
refused = sum(round((1 - run.accepted) * 784) for run in runs) / n
report("passes beyond one for each refusal and one for each row", passes - refused - 28, claimed=0, tolerance=1)
report("share of values that were guessed and kept", share, claimed=0.951, tolerance=0.012)
chance = (overlap * (1 - overlap)).sum().sqrt().item() / overlap.numel()  # standard error of the share, given 1 - TV
errors = abs(share - overlap.mean().item()) / chance
print(f"mean of 1 - TV on these images ≈ {overlap.mean().item():.4f}, share of values guessed and kept ≈ {share:.4f}")
report("they differ by more than 4 standard errors", int(errors > 4), claimed=0, tolerance=0, exact=True)
fewest = math.ceil(784 / 28)
print(f"784 steps became ≈ {passes:.0f} passes (28 rows make {fewest} the fewest possible)")

# %%
show.panels(
    {"speculative": images[:16], "as always": model.sample(16, rng=seed(9))},
    levels=2,
    title="The same law, drawn in a twelfth of the passes",
    alt="Sixteen glyphs by speculative sampling beside sixteen by the ordinary loop: the same mixture of legible and "
    "broken digits. They are other digits, because the uniforms are used in another way.",
)

# %% [markdown]
# **How many values does a pass settle?** If guesses are kept with probability $\alpha$, independently, then a block of $\gamma$ guesses settles $j$ values or more with probability $\alpha^{j-1}$, so on average
#
# $$\mathbb{E}[\text{values per pass}] = \sum_{j=1}^{\gamma} \alpha^{j-1} = \frac{1 - \alpha^\gamma}{1 - \alpha} \tag{6.8}$$
#
# (The first value after a refusal is settled as well, by the draw from the excess. Leviathan et al. also use the conditional *behind* the last guess: $\gamma$ guesses and a free value. We leave it out, so that an image depends on its uniforms only, not on the size of the blocks.)

# %%
alpha, gamma = overlap.mean().item(), 28
expected = (1 - alpha**gamma) / (1 - alpha)
measured = 784 / passes
print(f"(6.8) with the mean of 1 - TV: ≈ {expected:.1f} values a pass")
print(f"measured: ≈ {measured:.1f} values a pass")
simulated = torch.rand(20_000, gamma, generator=seed(0)) < 0.9
settled = (simulated.long().cumprod(1).sum(1) + 1).clamp(max=gamma).double().mean().item()
report("values per pass, 0.9 in each place", settled, claimed=9.48, tolerance=0.25)

# %% [markdown]
# Fewer than the formula says, because it starts every block with 28 guesses. Ours end with the row, so a block after a refusal is shorter: there is one pass for each row and one more for each refusal, as reported above. Now the honest part, seconds. With blocks of 12 fewer guesses are thrown away:

# %%
kept_seconds = seconds(lambda: speculative.sample(model, draft, 1, block=12, rng=seed(0)), 2)
short = speculative.sample(model, draft, 1, block=12, rng=seed(0))
for size, run in ((12, short), (28, runs[0])):
    print(f"blocks of {size}: ≈ {run.passes} passes, ≈ {run.guesses} guesses")
print("the same image:", torch.equal(short.x, runs[0].x))
print(f"one image: ordinary ≈ {times[sizes[0]]:.2f} s, speculative ≈ {kept_seconds:.2f} s")

# %% [markdown]
# Speculation gains little here, if anything. The target is so small that a step of it costs little more than a step of the draft, and more than 784 of those remain, because guesses behind a refusal are drawn again. Speculation helps where the target is *deep*: with ten layers, and for one image at a time, it is somewhat faster; with several images at a time it is slower (`python benchmarks/speculative.py`; figures in [the README there](../benchmarks/README.md)). It helps most for large transformers, whose step is bound by reading their weights from memory, so that a pass over ten tokens costs what a pass over one does.
#
# Is the law really unchanged? Draw 20,000 bars and stripes, with a draft that was never trained, and compare with the enumerated law of section 7.

# %%
seed(5)
clueless = PixelCNN((1, 4, 4), 2, channels=4, layers=0, first_kernel=3)
count = budget(smoke=200, quick=20_000, full=100_000)
run = speculative.sample(bars_model, clueless, count, rng=seed(0))
index = (run.x.flatten(1) * 2 ** torch.arange(15, -1, -1)).sum(1)
code = (everything.flatten(1) * 2 ** torch.arange(15, -1, -1)).sum(1)
frequency = torch.zeros(65536, dtype=torch.float64).index_put_((index,), torch.tensor(1 / count).double(), True)[code]
gap = (frequency - plain)[right]
z = gap / (plain[right] * (1 - plain[right]) / count).sqrt()
wrong = count * frequency[~right].sum().item()
report("wrong images among 20,000, expected 0.6", wrong, claimed=0.6, tolerance=4, unit="images")
report("frequencies of 30 beyond 4 standard errors", (z.abs() > 4).sum().item(), claimed=0, tolerance=0, exact=True)
report("share of values guessed and kept, clueless draft", run.accepted, claimed=0.63, tolerance=0.05)

# %% [markdown]
# **Drawing with noise that is added.** There is another way to draw from logits, which needs neither a softmax nor a cumulative sum. Add independent Gumbel noise, $g_k = -\ln(-\ln u_k)$, and take the largest:
#
# $$P\big(\operatorname{argmax}_k (\ell_k + g_k) = j\big) = \int e^{-(z - \ell_j) - e^{-(z - \ell_j)}} \prod_{k \ne j} e^{-e^{-(z - \ell_k)}}\, \mathrm{d}z = \int e^{\ell_j - z}\, e^{-S e^{-z}}\, \mathrm{d}z = \frac{e^{\ell_j}}{S}, \qquad S = \sum_k e^{\ell_k} \tag{6.9}$$
#
# The first factor is the density of $\ell_j + g_j$ at $z$, the others are the probabilities that the rest stays below; the last step substitutes $s = e^{-z}$. That is the softmax. What is it good for? If draft and target share the *same* noise, they mostly agree, and a guess can be checked by equality: what comes out is then exactly the image that the target alone would have drawn with this noise, and nothing has to be proved. Such a draft (Wiggers and Hoogeboom, 2020) is refused a little more often than $\mathrm{TV}$:

# %%
rng = seed(0)
noise = -(-torch.rand(200_000, 17, dtype=torch.float64, generator=rng).log()).log()
drawn = (pixel + noise).argmax(-1)
tv = 0.5 * (torch.bincount(drawn, minlength=17) / len(drawn) - pixel.softmax(-1)).abs().sum().item()
report("total variation between argmax and softmax", tv, claimed=0, tolerance=0.01)
with torch.no_grad():
    other = load_pretrained("pixelcnn-digits")
    second = other.head.logits(other(digits.x)).double()
a, b = logits.flatten(0, 3), second.flatten(0, 3)  # (11520, 17): two models, the same past
noise = -(-torch.rand(a.shape, dtype=torch.float64, generator=rng).log()).log()
agree = ((a + noise).argmax(-1) == (b + noise).argmax(-1)).double().mean().item()
most = torch.minimum(a.softmax(-1), b.softmax(-1)).sum(-1).mean().item()
report("the most that is possible, 1 - TV", most, claimed=0.895, tolerance=0.005)
report("less than that with shared Gumbel noise, by", most - agree, claimed=0.015, tolerance=0.01)

# %% [markdown]
# ## 9 Break it
#
# A cache has one classic fault: it is not emptied. A server draws a first batch of digits, and forgets to call `start` before the second. No error, no NaN, and the pictures look nearly as they should:

# %%
count = budget(smoke=16, quick=400, full=400)


def draw(state: object, u: Tensor) -> Tensor:
    x = torch.zeros(64, count, dtype=torch.long)
    for i in range(64):
        x[i] = painter.head.sample(painter.step(state, i, x[i - 1] if i else None), u[i])
    return painter.from_sequence(x.T).clone()


with torch.inference_mode():
    u1, u2 = torch.rand(2, 64, count, generator=seed(1))
    state = painter.start(count)
    first_batch = draw(state, u1)
    stale, fresh = draw(state, u2), draw(painter.start(count), u2)
    costs = [-painter.log_prob(x).mean().item() for x in (fresh, stale)]
show.panels(
    {"A": fresh[:16], "B": stale[:16]},
    levels=17,
    title="Which of the two is broken?",
    alt="Sixteen digits A and sixteen digits B, from the same uniforms: most look plausible; a few of B have a gap.",
)
same = (fresh == stale).flatten(1).all(1).sum().item()
report("images that are the same, of 400", same, claimed=0, tolerance=3)
report("a sample costs, fresh cache", costs[0], claimed=78.8, tolerance=1, unit="nats")
report("more with a stale cache", costs[1] - costs[0], claimed=4.5, tolerance=1, unit="nats")

# %% [markdown]
# B is broken. The rows above the first row should not exist; here they are the last rows of another digit. A careful look finds a gap in a few digits, and misses the rest. A training curve cannot find the fault, because training uses no cache. The samples cost four and a half nats too much, which you notice only if you know what to expect. The test of section 5 finds it in a second: same uniforms, cached against naive, *twice in a row*.
#
# What the article says about speed and control stands on [its own page](../docs/article.md).
#
# ## 10 Check yourself

# %% [markdown]
# 1. A PixelCNN needs one second for a forward pass over one image of $D = 3{,}072$ values, on a machine where calling operations is free. How long does the naive sampler take for an image, how long the cached one?
#
# <details><summary>Answer</summary>3,072 seconds, 51 minutes; and one second.</details>
#
# 2. A colleague's ring buffer of length (k-1)d first writes the new input and then reads the oldest one. What does the layer compute, and would the samples look wrong?
#
# <details><summary>Answer</summary>In the ring of this lesson the oldest input is overwritten by the newest, so the outer tap meets the newest one: with two taps the layer has no memory left. No error is raised, and samples of a trained network only look a little worse. Compare one step with the whole convolution.</details>
#
# 3. Why is top-p with p = 0.9 not the same as top-k, for any k?
#
# <details><summary>Answer</summary>Its k depends on the distribution: one level where the model is sure, many where it is not. On paper-white pixels top-k = 5 keeps four absurd levels; on a border it cuts good ones.</details>
#
# 4. Your draft is the target itself. How many guesses are refused? What do you win?
#
# <details><summary>Answer</summary>None, TV is zero. Nothing: a guess costs as much as a step of the target, and the check comes on top.</details>
#
# 5. Somebody keeps a guess whenever the target gives it more than 0.3, whatever the draft says. Faster?
#
# <details><summary>Answer</summary>Perhaps, where some level has more than 0.3; where many levels share the mass it refuses everything. In any case it is another law: levels above 0.3 that the draft likes come too often. (6.7) shows what has to hold, and enumeration on a small case shows that it does not.</details>

# %% [markdown]
# ## Take-aways
#
# - A causal network computes every feature once: a window, a state, or all keys and values are kept. An image then costs one pass, in $D$ steps.
# - Same uniforms, same images: the strictest test of a sampler, and it finds stale caches.
# - Filters change the law of the sampler. Enumerate what they do, and never judge samples by their own likelihood.
# - Guess with a small model, check with a large one in parallel, correct by the excess: fewer passes, the same law.
#
# ## Where next
#
# - Ramachandran, Paine, Khorrami, Babaeizadeh, Chang, Zhang, Hasegawa-Johnson, Campbell, Huang, *Fast Generation for Convolutional Autoregressive Models*, ICLR 2017 workshop, arXiv 1704.06001.
# - Fan, Lewis, Dauphin, *Hierarchical Neural Story Generation*, ACL 2018, arXiv 1805.04833 (top-k); Holtzman, Buys, Du, Forbes, Choi, *The Curious Case of Neural Text Degeneration*, ICLR 2020, arXiv 1904.09751.
# - Nguyen et al., *Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs*, ICLR 2025, arXiv 2407.01082.
# - Leviathan, Kalman, Matias, *Fast Inference from Transformers via Speculative Decoding*, ICML 2023, arXiv 2211.17192; Chen et al., *Accelerating Large Language Model Decoding with Speculative Sampling*, 2023, arXiv 2302.01318.
# - Song, Meng, Liao, Ermon, *Accelerating Feedforward Computation via Parallel Nonlinear Equation Solving*, ICML 2021, arXiv 2002.03629 (fixed-point iteration, a third way to several values at once); Wiggers, Hoogeboom, *Predictive Sampling with Forecasting Autoregressive Models*, ICML 2020, arXiv 2002.09928.
# - van den Oord et al., *Parallel WaveNet: Fast High-Fidelity Speech Synthesis*, ICML 2018, arXiv 1711.10433.
# - In the library, read [`sampling/loop.py`](../garm_course/autoregressive/sampling/loop.py), one loop for all models, and [`speculative.py`](../garm_course/autoregressive/sampling/speculative.py).

# %%
claims()
