"""How much faster a training step of Gated PixelCNN is than with masked dense kernels: both sides in one run.

A step is the log-likelihood of binary images of 28 x 28, its gradients and the update of Adam. The other side is the
network of `reference.py`: dense k x k kernels times a 0/1 mask, from the same weights, so that both sides put out the
same logits and make the same updates. The steps of both sides alternate, so that they see the same load.

    python benchmarks/training.py           10 layers of 128 channels, 64 images a batch; about five minutes
    python benchmarks/training.py --json    one JSON object
"""

import argparse
import json
import math
import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from reference import reference
from sampling import machine
from torch import Tensor

from garm_course.autoregressive.pixelcnn import GatedPixelCNN


def step(log_prob, optimizer: torch.optim.Optimizer, x: Tensor) -> tuple[float, float, float]:
    """One training step: bits per pixel before it, processor seconds and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    loss = -log_prob(x).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    bits = loss.item() / (x[0].numel() * math.log(2))
    return bits, time.process_time() - cpu, time.perf_counter() - wall


def compare(
    channels: int = 128, layers: int = 10, batch_size: int = 64, repeats: int = 5, shape: tuple = (1, 28, 28)
) -> dict:
    """One row: median seconds of a step on both sides, their ratios, and how far logits and losses are apart.

    Args:
        channels, layers: of the Gated PixelCNN, whose first kernel is 7 x 7.
        batch_size: images a step.
        repeats: steps of each side that are timed; one more comes first as the warm-up.
        shape: (1, H, W) of the images.
    """
    torch.manual_seed(0)
    model = GatedPixelCNN(shape, 2, channels=channels, layers=layers, first_kernel=7)
    net = reference(model)
    x = torch.randint(2, (batch_size, *shape), generator=torch.Generator().manual_seed(0))

    def dense_logits(x: Tensor) -> Tensor:
        return net(model.table[x[:, 0]].permute(0, 3, 1, 2))

    def dense_log_prob(x: Tensor) -> Tensor:
        return model.head.log_prob(dense_logits(x), x).flatten(1).sum(1)

    with torch.no_grad():
        logits = model(x)
        difference = (dense_logits(x) - logits).abs().max().item()
    dense = torch.optim.Adam(net.parameters(), lr=1e-3)
    library = torch.optim.Adam(model.parameters(), lr=1e-3)
    steps = [(step(dense_log_prob, dense, x), step(model.log_prob, library, x)) for _ in range(repeats + 1)]
    (_, *dense_times), (_, *library_times) = (zip(*side[1:], strict=True) for side in zip(*steps, strict=True))
    cpu_dense, wall_dense = map(statistics.median, dense_times)
    cpu_library, wall_library = map(statistics.median, library_times)
    return {
        "channels": channels,
        "layers": layers,
        "batch_size": batch_size,
        "cpu_seconds_dense": cpu_dense,
        "cpu_seconds_library": cpu_library,
        "ratio_cpu": cpu_dense / cpu_library,
        "wall_seconds_dense": wall_dense,
        "wall_seconds_library": wall_library,
        "ratio_wall": wall_dense / wall_library,
        "max_logit_difference": difference,
        "max_logit": logits.abs().max().item(),
        "loss_difference": max(abs(one[0] - two[0]) for one, two in steps),  # bits per pixel, over all steps
        "loss_change": steps[0][1][0] - steps[-1][1][0],
        "shape": list(shape),
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters_dense": sum(p.numel() for p in net.parameters()),
        **machine(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object, with all fields")
    parser.add_argument("--threads", type=int, help="threads of torch, for both sides (torch's default)")
    parser.add_argument("--channels", type=int, default=128, help="features of each stack (128)")
    parser.add_argument("--layers", type=int, default=10, help="gated layers after the first (10)")
    parser.add_argument("--batch", type=int, default=64, help="images a step (64)")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each side that are timed (5)")
    options = parser.parse_args(arguments)
    for name in ("threads", "channels", "layers", "batch", "repeats"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"expected --{name} >= 1, got {getattr(options, name)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    row = compare(options.channels, options.layers, options.batch, options.repeats)
    if options.json:
        print(json.dumps(row))
        return
    print(
        f"{row['layers']} layers of {row['channels']}, {row['batch_size']} images: masked dense "
        f"{row['cpu_seconds_dense']:.2f} s of processor time, library {row['cpu_seconds_library']:.2f} s, "
        f"{row['ratio_cpu']:.2f} times faster ({row['ratio_wall']:.2f} on the clock), logits within "
        f"{row['max_logit_difference']:.0e}, losses within {row['loss_difference']:.0e} bits "
        f"[torch {row['torch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}, load {row['load']}]"
    )


if __name__ == "__main__":
    main()
