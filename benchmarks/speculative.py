"""Speculative sampling against the ordinary cached sampler: seconds an image, passes, and how often a guess is kept.

The target is the recorded Gated PixelCNN of glyphs, and larger networks *with the same law*: its weights in the corner
of wider and deeper ones, zeros elsewhere. So a guess is kept as often as with the recorded model, while a step costs
what it costs in a network of that size (zeros are multiplied like other numbers). The draft is trained here, in
seconds.

    python benchmarks/speculative.py             one row for each target and number of images; about a minute
    python benchmarks/speculative.py --json      one JSON object a row
    python benchmarks/speculative.py --block 8   guesses at a time (12)
"""

import argparse
import json
import os
import statistics
import sys

# before torch is imported: on shared cores, threads that spin while they wait distort both sides
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from sampling import machine, seconds
from torch import Tensor

from garm_course import load_pretrained, seed
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.autoregressive.sampling import speculative
from garm_course.datasets import load
from garm_course.training.likelihood import fit

TARGETS = ((16, 4), (32, 10), (128, 10))  # channels and layers; the first is the recorded model itself


def enlarge(model: GatedPixelCNN, channels: int, layers: int) -> GatedPixelCNN:
    """A Gated PixelCNN of this size with the law of `model`: its weights, and zeros."""
    if channels < model.config["channels"] or layers < model.config["layers"]:
        raise ValueError(
            f"expected at least {model.config['channels']} channels and {model.config['layers']} layers, "
            f"got {channels} and {layers}"
        )
    large = GatedPixelCNN(**{**model.config, "channels": channels, "layers": layers}).eval()
    old, gates = model.state_dict(), ("vertical", "horizontal", "v_to_h")  # outputs: tanh half, sigmoid half
    with torch.no_grad():
        for name, weight in large.state_dict().items():
            weight.zero_()
            if name in old:
                halves = [1 + any(f".{gate}." in name for gate in gates), 1 + (".v_to_h." in name)]
                _put(weight, old[name], halves)
    return large


def _put(large: Tensor, small: Tensor, halves: list[int]) -> None:
    """Write `small` into the corner of `large`, or into the corners of its halves along the first dimensions."""
    halves = [*halves, *[1] * small.ndim][: small.ndim]
    split = [n for part, size in zip(halves, large.shape, strict=True) for n in (part, size // part)]
    source = [n for part, size in zip(halves, small.shape, strict=True) for n in (part, size // part)]
    large.view(split)[tuple(slice(n) for n in source)] = small.reshape(source)


def trained_draft(steps: int = 300) -> PixelCNN:
    """One masked convolution and two 1x1 layers, trained on glyphs for a few seconds."""
    seed(0)
    draft = PixelCNN((1, 28, 28), 2, channels=8, layers=0, first_kernel=7)
    fit(draft, load("glyphs", "train"), steps=steps, batch_size=32, lr=1e-2, label="the draft")
    return draft.eval()


def measure(target: GatedPixelCNN, draft: PixelCNN, images: int, block: int, repeats: int) -> dict:
    """One row: both samplers in turn, `repeats` times; medians."""
    ordinary, guessed, runs = [], [], []
    for k in range(repeats):

        def guess(k: int = k) -> None:
            runs.append(speculative.sample(target, draft, images, block=block, rng=torch.Generator().manual_seed(k)))

        ordinary.append(seconds(lambda: target.sample(images)))
        guessed.append(seconds(guess))
    before, after = statistics.median(ordinary), statistics.median(guessed)
    return {
        "target": f"{target.config['layers']} layers of {target.config['channels']}",
        "images": images,
        "block": block,
        "seconds_cached": round(before, 4),
        "seconds_speculative": round(after, 4),
        "ratio": round(before / after, 2),
        "passes": statistics.mean(run.passes for run in runs),
        "accepted": round(statistics.mean(run.accepted for run in runs), 4),
        "parameters": sum(p.numel() for p in target.parameters()),
        **machine(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, with all fields")
    parser.add_argument("--block", type=int, default=12, help="guesses at a time (12)")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each sampler (9)")
    parser.add_argument("--threads", type=int, help="threads of torch, for both sides (torch's default)")
    options = parser.parse_args(arguments)
    for name in ("block", "repeats", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"expected --{name} >= 1, got {getattr(options, name)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    model, draft = load_pretrained("gated_pixelcnn-glyphs"), trained_draft()
    for channels, layers in TARGETS:
        target = enlarge(model, channels, layers)
        for images in (1, 4, 16):
            row = measure(target, draft, images, options.block, options.repeats)
            print(json.dumps(row) if options.json else describe(row), flush=True)


def describe(row: dict) -> str:
    """The row as a sentence."""
    return (
        f"{row['target']}, {row['images']} image{'s' * (row['images'] > 1)}: cached {row['seconds_cached']:.3f} s, "
        f"speculative {row['seconds_speculative']:.3f} s ({row['ratio']:.2f} times faster), {row['passes']:.0f} passes "
        f"for 784 pixels, {row['accepted']:.1%} of the guesses kept "
        f"[torch {row['torch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}, load {row['load']}]"
    )


if __name__ == "__main__":
    sys.exit(main())
