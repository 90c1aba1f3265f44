"""What `fit` costs beyond the ten lines that it wraps, and what each recipe needs: steps a second, memory.

    python benchmarks/fit.py             overhead of `fit` over a bare loop, for a small GRU and a PixelCNN
    python benchmarks/fit.py --vae       the same for a VAE 784-512-10, where little is computed in a step
    python benchmarks/fit.py --bf16      `precision="bf16"`: how many times as fast as plain `fit`
    python benchmarks/fit.py --recipes   steps a second and peak memory of every recipe, each in its own process
    python benchmarks/fit.py --json      one JSON object a row

The bare loop has the same batches, optimizer, schedule and clipping, and neither averaged weights nor a progress bar
nor a look at the loss; that of the VAE has no schedule and no clipping either, and Adam in one fused pass. Both sides
run in turn, on the same data, and the medians of processor time are compared.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

# before torch is imported: on shared cores, threads that spin while they wait distort both sides
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GARM_PROGRESS", "0")

import torch
from sampling import machine
from torch import nn
from torch.utils.data import DataLoader, Dataset

from garm_course.latent.vae import MLPVAE, NegativeELBO
from garm_course.recipes import RECIPES, find
from garm_course.training.likelihood import fit

JOBS = ("pixel_gru", "pixelcnn", "gated_pixelcnn")  # recipes on digits


def bare(model: nn.Module, data: Dataset, steps: int, batch_size: int, lr: float) -> None:
    """The loop that lesson 04 shows."""
    order = torch.Generator().manual_seed(0)
    loader = DataLoader(data, batch_size, shuffle=True, drop_last=True, generator=order)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0, betas=(0.9, 0.99))
    model.train()
    done = 0
    while True:
        for x, _ in loader:
            for group in optimizer.param_groups:
                group["lr"] = lr * (0.5 + 0.5 * math.cos(math.pi * done / steps))
            optimizer.zero_grad(set_to_none=True)
            (-model.log_prob(x).mean()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            done += 1
            if done == steps:
                return


def overhead(name: str, steps: int, repeats: int) -> dict:
    """One row: `fit` against the bare loop on the recipe's model and batch size."""
    recipe = find(name, "digits")
    data, settings = recipe.load("train"), recipe.settings("quick")
    batch_size, lr = settings["batch_size"], settings["lr"]
    return compared(
        recipe.name,
        lambda: recipe.build(0),
        lambda model: bare(model, data, steps, batch_size, lr),
        lambda model: fit(model, data, steps=steps, batch_size=batch_size, lr=lr, evaluate_every=steps),
        steps,
        repeats,
    )


def vae(steps: int, repeats: int, images: int = 6400) -> dict:
    """One row: `fit` against the shortest loop that trains, on random binary images."""
    x = (torch.rand(images, 1, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.3).long()

    def build() -> MLPVAE:
        torch.manual_seed(0)
        return MLPVAE((1, 28, 28), 2, latents=10, hidden=(512,))

    def shortest(model: MLPVAE) -> None:
        loss, optimizer = NegativeELBO(), torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        model.train()
        done = 0
        while True:
            for rows in torch.randperm(images).split(64):
                optimizer.zero_grad()
                loss(model, x[rows]).backward()
                optimizer.step()
                done += 1
                if done == steps:
                    return

    def wrapped(model: MLPVAE) -> None:
        fit(model, x, loss=NegativeELBO(), steps=steps, batch_size=64, evaluate_every=steps)

    return compared("VAE 784-512-10", build, shortest, wrapped, steps, repeats)


def compared(name: str, build: Callable, plain: Callable, wrapped: Callable, steps: int, repeats: int) -> dict:
    """Both sides in turn, each on a new model; each round is compared with itself, since what slows one slows both."""
    times = {"bare": [], "fit": []}
    for repeat in range(repeats + 1):
        for side, run in (("bare", plain), ("fit", wrapped)):
            model = build()
            began = time.process_time()
            run(model)
            if repeat:  # the first round warms up
                times[side].append(time.process_time() - began)
    ratios = [b / a for a, b in zip(times["bare"], times["fit"], strict=True)]
    return {
        "recipe": name,
        "steps": steps,
        "ms_per_step_bare": round(1e3 * statistics.median(times["bare"]) / steps, 3),
        "ms_per_step_fit": round(1e3 * statistics.median(times["fit"]) / steps, 3),
        "overhead_percent": round(100 * (statistics.median(ratios) - 1), 2),
        **machine(),
    }


def bf16(name: str, data: str, steps: int, repeats: int) -> dict:
    """One row: a step of `fit` in 16 bits against one without, in turn, without evaluation.

    A step costs what a run of 3n steps takes longer than one of n, divided by 2n: what is done once is left out.
    """
    recipe = find(name, data)
    examples, settings = recipe.load("train"), recipe.settings("quick")
    times = {"no": [], "bf16": []}

    def spent(n: int, precision: str) -> float:
        model = recipe.build(0)
        began = time.process_time()
        fit(model, examples, steps=n, evaluate_every=n, batch_size=settings["batch_size"], lr=settings["lr"],
            precision=precision)  # fmt: skip
        return time.process_time() - began

    for repeat in range(repeats + 1):  # the first round warms up
        for precision, found in times.items():
            short, long = spent(steps, precision), spent(3 * steps, precision)
            if repeat:
                found.append((long - short) / (2 * steps))
    return {
        "recipe": recipe.name,
        "ms_per_step_plain": round(1e3 * statistics.median(times["no"]), 2),
        "times_as_fast": round(statistics.median(a / b for a, b in zip(*times.values(), strict=True)), 2),
        **machine(),
    }


def needs(name: str, steps: int) -> dict:
    """One row, in this process: steps a second and peak memory of a recipe, evaluation apart.

    A step costs what a run of 3n steps takes longer than one of n, divided by 2n, as in `bf16`.
    """
    import resource

    recipe = RECIPES[name]
    data = {"train": recipe.load("train"), "validation": None}
    if recipe.kind == "samples" or hasattr(recipe, "prior"):
        data["validation"] = recipe.load("validation")
    model = recipe.build(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def spent(n: int) -> tuple[float, float]:
        model = recipe.build(0)
        settings = {**recipe.settings("quick"), "steps": n}
        if "evaluate_every" in settings:
            settings["evaluate_every"] = n
        if "prior" in settings:
            settings["prior"] = {**settings["prior"], "steps": 1}
        began, began_cpu = time.perf_counter(), time.process_time()
        recipe.fit(model, data, settings, 0)
        return time.perf_counter() - began, time.process_time() - began_cpu

    spent(1)  # warms up: imports, first allocations
    short, long = spent(steps), spent(3 * steps)
    wall, cpu = (b - a for a, b in zip(short, long, strict=True))
    return {
        "recipe": name,
        "steps_per_second": round(2 * steps / wall, 2),
        "steps_per_cpu_second": round(2 * steps / cpu, 2),
        "mib_before": round(before / 1024),  # Python, torch and the data
        "mib_peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "parameters": sum(p.numel() for p in model.parameters()),
        **machine(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, with all fields")
    parser.add_argument("--recipes", action="store_true", help="what every recipe needs")
    parser.add_argument("--bf16", action="store_true", help="a step in 16 bits against a plain one")
    parser.add_argument("--vae", action="store_true", help="a VAE against the shortest loop that trains it")
    parser.add_argument("--data", default="digits", help="data set of --bf16 (digits)")
    parser.add_argument("--only", metavar="NAME", help=argparse.SUPPRESS)  # one recipe, in this process
    parser.add_argument("--steps", type=int, default=60, help="steps of a run (60)")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each side (9)")
    parser.add_argument("--threads", type=int, help="threads of torch (torch's default)")
    options = parser.parse_args(arguments)
    for name in ("steps", "repeats", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"expected --{name} >= 1, got {getattr(options, name)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.only:
        print(json.dumps(needs(options.only, options.steps)))
        return
    if options.recipes:
        threads = ["--threads", str(options.threads)] if options.threads else []
        for name in RECIPES:
            command = [sys.executable, __file__, "--only", name, "--steps", str(options.steps), *threads]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(json.dumps(row) if options.json else describe(row), flush=True)
        return
    for name in ("vae",) if options.vae else JOBS:
        if options.vae:
            row = vae(options.steps, options.repeats)
        elif options.bf16:
            row = bf16(name, options.data, options.steps, options.repeats)
        else:
            row = overhead(name, options.steps, options.repeats)
        print(json.dumps(row) if options.json else describe(row), flush=True)


def describe(row: dict) -> str:
    """The row as a sentence."""
    where = f"[torch {row['torch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}, load {row['load']}]"
    if "times_as_fast" in row:
        return (
            f"{row['recipe']}, bf16: {row['times_as_fast']:.2f} times as fast as plain, "
            f"{row['ms_per_step_plain']:.2f} ms a step {where}"
        )
    if "overhead_percent" in row:
        return (
            f"{row['recipe']}: bare loop {row['ms_per_step_bare']:.2f} ms a step, fit {row['ms_per_step_fit']:.2f} ms: "
            f"{row['overhead_percent']:+.1f} % {where}"
        )
    return (
        f"{row['recipe']}: {row['steps_per_cpu_second']:.1f} steps a processor second, {row['mib_peak']} MiB at most "
        f"({row['mib_before']} MiB before the first step) {where}"
    )


if __name__ == "__main__":
    sys.exit(main())
