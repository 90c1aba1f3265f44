"""How fast a transformer draws and trains: the library, its naive loop, GPT-2 of `transformers`, and nanoGPT's form.

All sides have 4 layers of 4 heads and 128 features and draw 512 characters. They take turns, so that all see the same
load, and what counts is processor time. The naive loop is one full pass a character, timed at a few positions. GPT-2
runs with its cache, if `transformers` is installed, and draws as the library does. A training step is compared with
GPT-2's formulation as nanoGPT has it (LayerNorm, GELU, learned places, the same attention), written here.

GPT-2 normalizes no queries and keys, turns none, and has no convolution over its inputs. So there are two comparisons:
the library as it is, and, `plain`, with these three switched off, which computes what GPT-2 computes.

    python benchmarks/transformer.py               rows in words
    python benchmarks/transformer.py --json        one JSON object a row
    python benchmarks/transformer.py --threads 1   one thread for all sides
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

# before torch is imported: on shared cores, threads that spin while they wait distort all sides
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from sampling import machine
from torch import Tensor, nn

from garm_course.autoregressive.sampling.loop import position_uniforms
from garm_course.autoregressive.transformer import CharTransformer
from garm_course.distributions.filters import draw

LEVELS, LENGTH = 96, 512
SIZE = {"width": 128, "layers": 4, "heads": 4}


def build(length: int = LENGTH, plain: bool = False, **options) -> CharTransformer:
    """An untrained model whose weights are far from the start, where all characters are equally likely.

    A `plain` one has no taps, and its attention neither normalizes nor turns.
    """
    torch.manual_seed(0)
    model = CharTransformer((length,), LEVELS, **{**SIZE, **({"taps": 0} if plain else {}), **options})
    for block in model.blocks:
        block.attention.normalized = block.attention.turned = not plain
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
    return model.eval()


def seconds(job: Callable[[], object]) -> float:
    """Processor time of a call."""
    start = time.process_time()
    job()
    return time.process_time() - start


@torch.inference_mode()
def naive_seconds(model: CharTransformer, x: Tensor, places: list[int]) -> float:
    """What drawing x (n, length) with one full pass of the text so far a character takes, from a few places.

    The library's own naive loop always passes the whole length; this one, which is cheaper, passes what is there.
    """

    def step(i: int) -> None:
        u = torch.rand(len(x))
        model.head.sample(model(x[:, : i + 1])[:, -1], u)

    return statistics.mean(seconds(lambda i=i: step(i)) for i in places) * x.shape[1]


def gpt2(length: int = LENGTH) -> nn.Module | None:
    """GPT-2 of the same size, or None where `transformers` is not installed."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return None
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=LEVELS, n_positions=length, n_embd=SIZE["width"], n_layer=SIZE["layers"], n_head=SIZE["heads"],
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


@torch.inference_mode()
def gpt2_sample(model: nn.Module, u: Tensor) -> Tensor:
    """Characters (n, length) drawn with the cache at uniforms u (length, n)."""
    x, past, drawn = torch.zeros(u.shape[1], 1, dtype=torch.long), None, []
    for row in u:
        out = model(x, past_key_values=past, use_cache=True)
        past, x = out.past_key_values, draw(out.logits[:, -1].log_softmax(-1), row)[:, None]
        drawn.append(x)
    return torch.cat(drawn, 1)


class NanoBlock(nn.Module):
    """A block of GPT-2 as nanoGPT formulates it, without biases and dropout."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.merge = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        batch, length, width = x.shape
        q, k, v = self.qkv(self.first(x)).split(width, 2)
        q, k, v = (t.view(batch, length, self.heads, -1).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.merge(y.transpose(1, 2).contiguous().view(batch, length, width))
        return x + self.down(F.gelu(self.up(self.second(x))))


class NanoGPT(nn.Module):
    """GPT-2 in nanoGPT's form: learned places, one matrix for embedding and read-out."""

    def __init__(self, length: int, levels: int, *, width: int, layers: int, heads: int):
        super().__init__()
        self.tokens, self.places = nn.Embedding(levels, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(NanoBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, bias=False)
        self.out = nn.Linear(width, levels, bias=False)
        self.out.weight = self.tokens.weight

    def loss(self, x: Tensor) -> Tensor:
        """Mean nats of each character but the first of x (B, T)."""
        h = self.tokens(x[:, :-1]) + self.places(torch.arange(x.shape[1] - 1))
        logits = self.out(self.norm(self.blocks(h)))
        return F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())


def measure_sampling(n: int, length: int = LENGTH, repeats: int = 5, positions: int = 8, **options) -> dict:
    """One row: n texts of this length by the library, by its naive loop, and by GPT-2."""
    model, other = build(length, **options), gpt2(length)
    x = model.sample(n, length=length)
    (u,) = position_uniforms(model, n, length, None, x.float())
    places = [round((k + 0.5) * length / positions - 0.5) for k in range(positions)]
    own, naive, theirs = [], [], []
    if other:
        gpt2_sample(other, u[:4])
    for _ in range(repeats):
        own.append(seconds(lambda: model.sample(n, length=length)))
        naive.append(naive_seconds(model, x, places))
        if other:
            theirs.append(seconds(lambda: gpt2_sample(other, u)))
    row = {
        "what": "sampling", "texts": n, "characters": length, **options, "seconds": round(statistics.median(own), 4),
        "seconds_naive": round(statistics.median(naive), 3),
        "ratio_naive": round(statistics.median(b / a for a, b in zip(own, naive, strict=True)), 1),
        **machine(),
    }  # fmt: skip
    if theirs:
        row["seconds_gpt2"] = round(statistics.median(theirs), 4)
        row["ratio_gpt2"] = round(statistics.median(b / a for a, b in zip(own, theirs, strict=True)), 2)
    return row


def measure_training(n: int = 16, length: int = 128, steps: int = 6, repeats: int = 5, plain: bool = False) -> dict:
    """One row: a step of AdamW on n windows of this length, by the library and by nanoGPT's formulation."""
    torch.manual_seed(0)
    model, other = build(length, plain).train(), NanoGPT(length, LEVELS, **SIZE)
    x = torch.randint(LEVELS, (n, length + 1))  # nanoGPT reads all but the last; ours has a token before the first

    def steps_of(network: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

        def run() -> None:
            for _ in range(steps):
                optimizer.zero_grad()
                loss().backward()
                optimizer.step()

        return run

    own = steps_of(model, lambda: -model.log_prob(x[:, 1:]).mean() / length)
    nano = steps_of(other, lambda: other.loss(x))
    own(), nano()
    pairs = [(seconds(own) / steps, seconds(nano) / steps) for _ in range(repeats)]
    return {
        "what": "training", "windows": n, "characters": length, "plain": plain,
        "seconds_a_step": round(statistics.median(a for a, _ in pairs), 4),
        "seconds_a_step_nanogpt": round(statistics.median(b for _, b in pairs), 4),
        "ratio_nanogpt": round(statistics.median(b / a for a, b in pairs), 2), **machine(),
    }  # fmt: skip


def describe(row: dict) -> str:
    """The row as a sentence."""
    plain = ", plain" if row.get("plain") else ""
    where = f"[torch {row['torch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}, load {row['load']}]"
    if row["what"] == "training":
        return (
            f"a step on {row['windows']} windows of {row['characters']}{plain}: {1e3 * row['seconds_a_step']:.1f} ms, "
            f"in nanoGPT's form {1e3 * row['seconds_a_step_nanogpt']:.1f} ms: {row['ratio_nanogpt']:.2f} times {where}"
        )
    window = f", window {row['window']}" if row.get("window") else ""
    gpt = "; GPT-2 not installed"
    if "ratio_gpt2" in row:
        gpt = f"; GPT-2 with cache {row['seconds_gpt2']:.2f} s: {row['ratio_gpt2']:.2f} times"
    return (
        f"{row['texts']} x {row['characters']} characters{window}{plain}: {row['seconds']:.2f} s; full passes "
        f"{row['seconds_naive']:.1f} s: {row['ratio_naive']:.0f} times{gpt} {where}"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, with all fields")
    parser.add_argument("--length", type=int, default=LENGTH, help=f"characters of a text ({LENGTH})")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, in which all sides take turns (5)")
    parser.add_argument("--threads", type=int, help="threads of torch, for all sides (torch's default)")
    options = parser.parse_args(arguments)
    for name in ("length", "repeats", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"expected --{name} >= 1, got {getattr(options, name)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    kinds = ({}, {"plain": True}, {"window": 64})
    for n, extra in ((n, extra) for extra in kinds for n in (1, 16)):
        row = measure_sampling(n, options.length, options.repeats, **extra)
        print(json.dumps(row) if options.json else describe(row), flush=True)
    for plain in (False, True):
        row = measure_training(repeats=options.repeats, plain=plain)
        print(json.dumps(row) if options.json else describe(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
