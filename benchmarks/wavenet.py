"""How much faster the cached sampler draws sound than a loop without a cache: two sides, one run, the same values.

The naive side passes all values so far through the whole model for each value, as implementations without a cache do;
where the model forgets (`reach`), a second naive side passes only what it can still see. Both draw from the same
uniforms and must draw the same values; the largest difference of their logits is part of each row. The runs of the
cached sampler are spread over the naive loop, so that both sides see the same load. Seconds are processor seconds: on
one thread those that a machine needs which does nothing else.

    python benchmarks/wavenet.py                  sound of 2,000 samples, one at a time and 16 at a time
    python benchmarks/wavenet.py --json           one JSON object a row
    python benchmarks/wavenet.py --positions 50   naive time extrapolated from so many positions (default 100)
"""

import argparse
import json
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from sampling import cached_logits, machine

from garm_course.autoregressive.sampling.loop import position_uniforms
from garm_course.autoregressive.wavenet import WaveNet
from garm_course.datasets.plucked import RATE
from garm_course.evaluation.sound import real_time_factor

JOBS = {"wavenet, 12 layers of 32": (WaveNet, (2000,), 256, {}, RATE)}  # model, shape, levels, arguments, rate


def seconds(job) -> float:
    """Processor seconds, which others on the same cores change little."""
    start = time.process_time()
    job()
    return time.process_time() - start


def measure(name: str, n: int, positions: int = 100, repeats: int = 7) -> dict:
    """One row: both sides on the same weights and uniforms.

    Args:
        name: one of JOBS.
        n: sequences drawn at a time.
        positions: how many positions of the naive loop are timed, spread evenly.
        repeats: runs of the cached sampler; the median counts.
    """
    kind, shape, levels, arguments, rate = JOBS[name]
    torch.manual_seed(0)
    model = kind(shape, levels, **arguments).eval()
    length = shape[0]

    def draw() -> torch.Tensor:
        return model.sample(n, rng=torch.Generator().manual_seed(1))

    x = draw()  # also the warm-up
    (u,) = position_uniforms(model, n, length, torch.Generator().manual_seed(1), next(model.parameters()))
    logits = cached_logits(model, x)
    count = min(positions, length)
    timed = [round((k + 0.5) * length / count - 0.5) for k in range(count)]
    run_cached_at = {timed[k * count // repeats] for k in range(repeats)}
    whole, near, cached, difference, same = [], [], [], 0.0, True
    with torch.inference_mode():
        for i in timed:
            kept = []
            whole.append(seconds(lambda i=i, kept=kept: kept.append(model(x[:, : i + 1])[:, -1])))
            same &= torch.equal(model.head.sample(kept[0], u[i]), x[:, i])
            difference = max(difference, (kept[0] - logits[:, i]).abs().max().item())
            if model.reach is not None:
                near.append(seconds(lambda i=i: model(x[:, max(0, i - model.reach) : i + 1])))
            if i in run_cached_at:
                cached.append(seconds(draw))
    seconds_cached, seconds_naive = statistics.median(cached), statistics.mean(whole) * length
    row = {
        "model": name,
        "sequences": n,
        "length": length,
        "seconds_naive": round(seconds_naive, 3),
        "seconds_cached": round(seconds_cached, 4),
        "ratio": round(seconds_naive / seconds_cached, 1),
        "max_logit_difference": difference,
        "same_values": same,
        "positions_timed": count,
        "real_time_factor": round(real_time_factor(seconds_cached, length, rate=rate), 3),
        "real_time_factor_naive": round(real_time_factor(seconds_naive, length, rate=rate), 1),
        **machine(),
    }
    if near:
        row["ratio_within_reach"] = round(statistics.mean(near) * length / seconds_cached, 1)
    return row


def describe(row: dict) -> str:
    """The row as a sentence."""
    within = f" ({row['ratio_within_reach']:.0f} within its reach)" if "ratio_within_reach" in row else ""
    return (
        f"{row['model']}, {row['sequences']} of {row['length']:,} values: naive {row['seconds_naive']:.1f} s "
        f"(extrapolated from {row['positions_timed']} positions), cached {row['seconds_cached']:.3f} s: "
        f"{row['ratio']:.0f} times faster{within}; real-time factor {row['real_time_factor']:.2f}, naive "
        f"{row['real_time_factor_naive']:.0f}; values {'equal' if row['same_values'] else 'NOT equal'}, logits within "
        f"{row['max_logit_difference']:.1e} "
        f"[torch {row['torch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}, load {row['load']}]"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, with all fields")
    parser.add_argument("--positions", type=int, default=100, help="positions of the naive loop to time (100)")
    parser.add_argument("--repeats", type=int, default=7, help="runs of the cached sampler (7)")
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 16], help="drawn at a time (1 16)")
    parser.add_argument("--threads", type=int, help="threads of torch, for both sides (torch's default)")
    options = parser.parse_args(arguments)
    for name in ("positions", "repeats", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"expected --{name} >= 1, got {getattr(options, name)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in JOBS:
        for n in options.sequences:
            row = measure(name, n, options.positions, options.repeats)
            print(json.dumps(row) if options.json else describe(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
