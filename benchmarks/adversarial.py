"""How much faster a step of `GANGame` is than the textbook loop: both sides in one run, equal updates.

The textbook loop draws the fakes twice, once for the critic and once for the generator, and lets the generator's step
compute gradients of the critic's weights, which the next step throws away. The library draws them once, and computes
none of those. A DCGAN on binary images of 28 x 28; both sides start from the same weights, see the same batches and the
same noise, and must end with the same weights. The runs of both sides alternate, so that they see the same load.

    python benchmarks/adversarial.py           a line for each size
    python benchmarks/adversarial.py --json    one JSON object a row
"""

import argparse
import copy
import json
import os
import statistics

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GARM_PROGRESS", "0")

import time

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from garm_course.adversarial.gan import DCGAN, GAN, GANGame
from garm_course.adversarial.lipschitz import r1_penalty
from garm_course.adversarial.losses import LOSSES
from garm_course.training.games import ScaledBatches, fit_game

SIZES = ((16, 64, 0.0), (32, 64, 0.0), (32, 64, 0.1))  # channels, images a batch, weight of R1


def textbook(gan: GAN, data: TensorDataset, steps: int, batch_size: int, r1: float, lr: float, seed: int) -> float:
    """Train with the textbook loop; returns CPU seconds."""
    began = time.process_time()
    torch.manual_seed(seed)
    stream = ScaledBatches(data, batch_size, torch.Generator().manual_seed(seed), levels=gan.levels)
    loss = LOSSES["non_saturating"]
    of_critic = torch.optim.Adam(gan.critic.parameters(), lr=lr, betas=(0.5, 0.99))
    of_generator = torch.optim.Adam(gan.generator.parameters(), lr=lr, betas=(0.5, 0.99))
    gan.train()
    for _ in range(steps):
        x, _ = next(stream)
        z = torch.randn(len(x), gan.latents)
        fake = gan.generator(z).detach()
        value = loss.critic(gan.critic(x), gan.critic(fake))
        if r1:
            value = value + r1_penalty(gan.critic, x, gamma=r1)
        of_critic.zero_grad()
        value.backward()
        of_critic.step()
        value = loss.generator(gan.critic(gan.generator(z)))
        of_generator.zero_grad()
        value.backward()
        of_generator.step()
        value.item()
    return time.process_time() - began


def weights(gan: GAN) -> Tensor:
    """All weights in one vector; running statistics, which the textbook loop updates twice, are no weights."""
    return torch.cat([w.detach().flatten() for w in gan.parameters()])


def compare(channels: int, batch_size: int, r1: float, steps: int = 10, repeats: int = 5, side: int = 28) -> dict:
    """One row: median CPU milliseconds of a step on both sides, their ratio, and how far the weights end apart."""
    rng = torch.Generator().manual_seed(0)
    x = (torch.rand(4 * batch_size, 1, side, side, generator=rng) < 0.2).long()
    data = TensorDataset(x, torch.zeros(len(x), dtype=torch.long))
    torch.manual_seed(0)
    start = DCGAN((1, side, side), 2, latents=32, channels=channels)
    spent = {"textbook": [], "library": []}
    for _ in range(repeats):
        other, ours = copy.deepcopy(start), copy.deepcopy(start)
        spent["textbook"].append(textbook(other, data, steps, batch_size, r1, 1e-3, 1) / steps)
        history = fit_game(GANGame(ours, r1=r1), data, steps=steps, batch_size=batch_size, lr=1e-3, seed=1)
        spent["library"].append(history.cpu_seconds / steps)
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in spent.items()}
    return {
        "channels": channels,
        "batch_size": batch_size,
        "r1": r1,
        "threads": torch.get_num_threads(),
        "ms_textbook": milliseconds["textbook"],
        "ms_library": milliseconds["library"],
        "ratio": milliseconds["textbook"] / milliseconds["library"],
        "weight_difference": (weights(ours) - weights(other)).abs().max().item(),
        "weight_change": (weights(ours) - weights(start)).abs().max().item(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    for channels, batch_size, r1 in SIZES:
        row = compare(channels, batch_size, r1, options.steps, options.repeats)
        if options.json:
            print(json.dumps(row))
        else:
            print(
                f"{channels:3d} channels, {batch_size} images, R1 {r1:g}: textbook {row['ms_textbook']:6.1f} ms, "
                f"library {row['ms_library']:6.1f} ms, {row['ratio']:.2f} times faster, weights apart by "
                f"{row['weight_difference']:.0e} of {row['weight_change']:.0e}"
            )


if __name__ == "__main__":
    main()
