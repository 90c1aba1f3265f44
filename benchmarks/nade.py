"""How much faster NADE trains in blocks of pixels than with a loop over pixels: both sides in one run, equal results.

One training step's arithmetic (log-likelihood and gradients of all weights) on random binary images of 28 x 28. The
loop is the recurrence of the paper, one pixel after the other, with the fewest operations that PyTorch allows. The
runs of both sides alternate, so that they see the same load.

    python benchmarks/nade.py           a line for each size
    python benchmarks/nade.py --json    one JSON object a row
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.nade import nade_log_prob

SIZES = ((1, 64), (16, 64), (32, 100), (64, 128), (64, 500))  # images, hidden units


def loop_log_prob(x: Tensor, W: Tensor, V: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """log p(x) by the recurrence over pixels; arguments as in `nade_log_prob`."""
    a, logits = c.expand(len(x), -1), []
    for i in range(x.shape[1]):
        logits.append(torch.sigmoid(a) @ V[i])
        a = a + x[:, i : i + 1] * W[:, i]
    logits = torch.stack(logits, 1) + b
    return -F.softplus(torch.where(x.bool(), -logits, logits)).sum(1)


def step(log_prob, x: Tensor, weights: list[Tensor]) -> tuple[Tensor, list[Tensor], float]:
    """Value, gradients and seconds of one step."""
    start = time.perf_counter()
    value = log_prob(x, *weights)
    gradients = torch.autograd.grad(value.mean(), weights)
    return value.detach(), gradients, time.perf_counter() - start


def compare(images: int, hidden: int, pixels: int = 784, repeats: int = 7) -> dict:
    """One row: median seconds of both sides, their ratio, and the largest differences of values and gradients."""
    torch.manual_seed(0)
    x = torch.randint(2, (images, pixels)).float()
    shapes = ((hidden, pixels), (pixels, hidden), (pixels,), (hidden,))
    weights = [(torch.randn(*shape) * 0.05).requires_grad_() for shape in shapes]
    seconds = {"loop": [], "blocks": []}
    for _ in range(repeats):
        loop_value, loop_gradients, spent = step(loop_log_prob, x, weights)
        seconds["loop"].append(spent)
        value, gradients, spent = step(nade_log_prob, x, weights)
        seconds["blocks"].append(spent)
    loop, blocks = (statistics.median(seconds[side][1:] or seconds[side]) for side in ("loop", "blocks"))
    return {
        "images": images,
        "hidden": hidden,
        "pixels": pixels,
        "threads": torch.get_num_threads(),
        "seconds_loop": loop,
        "seconds_blocks": blocks,
        "ratio": loop / blocks,
        "relative_difference": ((value - loop_value) / loop_value).abs().max().item(),
        "gradient_difference": max(
            ((one - two).abs().max() / two.abs().max()).item()
            for one, two in zip(gradients, loop_gradients, strict=True)
        ),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    for images, hidden in SIZES:
        row = compare(images, hidden, repeats=options.repeats)
        if options.json:
            print(json.dumps(row))
        else:
            print(
                f"{images:3d} images, {hidden:3d} units: loop {1e3 * row['seconds_loop']:6.1f} ms, "
                f"blocks {1e3 * row['seconds_blocks']:6.1f} ms, {row['ratio']:.1f} times faster, "
                f"relative difference {row['relative_difference']:.0e}"
            )


if __name__ == "__main__":
    main()
