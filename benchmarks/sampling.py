"""How much faster the cached sampler is than the loop that other libraries use: two sides, one run, the same images.

The naive side is fixed in `reference.py`, so that the ratio keeps its meaning when the library changes: dense k x k
kernels times a mask, and for each position a full forward pass over all pixels of all images. It has the weights of the
library's model and draws with the same uniforms, so both sides must draw the same images; the largest difference of
their logits is part of each row. The runs of the cached sampler are spread over the naive loop, so that both sides see
the same load.

PixelCNN++ has shifted kernels, not masked ones, so there is nothing to rewrite: its naive side is the model's own full
forward pass, once a pixel, and the three colors of the pixel are drawn from that one pass, as the original code does.

    python benchmarks/sampling.py                  three jobs in words; two to six minutes
    python benchmarks/sampling.py --json           one JSON object a row
    python benchmarks/sampling.py --positions 49   naive time extrapolated from 49 of the 784 positions
    python benchmarks/sampling.py --all            a large model and PixelCNN++ too, extrapolated from 8 positions
    python benchmarks/sampling.py --model ++       the jobs whose name contains this
    python benchmarks/sampling.py --batches        cost of an image and size of the cache for 1, 16 and 64 images
    python benchmarks/sampling.py --frames         clips: cost of a step and size of the cache for 2, 8 and 32 frames
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time

# before torch is imported: on shared cores, threads that spin while they wait distort both sides
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from reference import reference, reference_step
from torch import Tensor, nn

from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.autoregressive.pixelcnnpp import PixelCNNPP
from garm_course.autoregressive.video import FramePixelCNN

# name: model, arguments, pixels of the naive loop that are timed (None: all of them)
JOBS = {
    "gated 7x7 + 4 layers of 32": (GatedPixelCNN, {"channels": 32, "layers": 4}, None),
    "pixelcnn 7x7 + 15 blocks of 16": (PixelCNN, {"channels": 16, "layers": 15}, None),
    "pixelcnn 7x7 + 5 blocks of 32": (PixelCNN, {"channels": 32, "layers": 5}, 98),
    "gated 7x7 + 10 layers of 128": (GatedPixelCNN, {"channels": 128, "layers": 10}, 8),
    "pixelcnn++ 3 scales of 2 blocks of 40": (
        PixelCNNPP, {"channels": 40, "blocks": 2, "scales": 3, "mixtures": 10}, 8,
    ),
}  # fmt: skip
DEFAULT_JOBS = list(JOBS)[:3]
SHAPE = (1, 28, 28)  # binary
COLOR_SHAPE = (3, 32, 32)  # of PixelCNN++, 256 levels
CLIP_SHAPE, FRAMES = (1, 8, 16, 16), (2, 8, 32)  # of FramePixelCNN, 17 levels, and how many frames are drawn


def uniforms(model: nn.Module, n: int, seed: int) -> Tensor:
    """(n, D): the numbers that `model.sample(n, rng=torch.Generator().manual_seed(seed))` draws with."""
    u = torch.rand(n, model.positions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return u.to(next(model.parameters()).dtype)


@torch.inference_mode()
def cached_logits(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (n, D), or parameters (n, D, n_params), that the cached sampler computes on its way along the images x."""
    state, sequence = model.start(len(x)), model.to_sequence(x)
    return torch.stack(
        [model.step(state, i, sequence[:, i - 1] if i else None) for i in range(model.positions)], 1
    )  # fmt: skip


@torch.inference_mode()
def forward_step(model: PixelCNNPP, x: Tensor, i: int, u: Tensor, seen: Tensor) -> Tensor:
    """Draw pixel i of the color images x (n, C, H, W) in place by one full forward pass; parameters (n, C, n_params).

    The colors of a pixel follow each other at the output only. The values `seen` (n, C), to be drawn again from the
    uniforms u (n, C), are put in before the pass, so that one pass gives the conditionals of all of them.
    """
    row, column = divmod(i, x.shape[3])
    x[:, :, row, column] = seen
    params = model(x)[:, :, row, column]
    x[:, :, row, column] = model.head.sample(params, u)
    return params


def seconds(job) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def build(kind: type, arguments: dict, shape: tuple[int, int, int] | None = None) -> nn.Module:
    """An untrained model, its weights doubled, so that logits have the size of trained ones.

    PixelCNN++ stays as it starts, following its neighbors, which draws all levels; doubled, it draws hardly any but the
    first and the last. Without a shape the model has that of the jobs.
    """
    torch.manual_seed(0)
    if kind is PixelCNNPP:
        return kind(shape or COLOR_SHAPE, 256, **arguments).eval()
    model = kind(shape or SHAPE, 2, **arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def measure(name: str, images: int = 16, positions: int | None = None, repeats: int = 7) -> dict:
    """One row: the reference loop and the cached sampler on the same weights and uniforms.

    Args:
        name: one of JOBS.
        images: images drawn at a time.
        positions: how many pixels of the naive loop are timed, spread evenly; the others take the values that the
            cached sampler drew. None takes the job's own number.
        repeats: runs of the cached sampler; the median counts.
    """
    kind, arguments, own = JOBS[name]
    model = build(kind, arguments)
    colors, height, width = model.shape
    pixels = height * width
    net = None if kind is PixelCNNPP else reference(model)
    u = uniforms(model, images, seed=1)
    count = min(positions or own or pixels, pixels)
    timed = [round((k + 0.5) * pixels / count - 0.5) for k in range(count)]

    def draw() -> Tensor:
        return model.sample(images, rng=torch.Generator().manual_seed(1))

    def naive_step(x: Tensor, i: int) -> Tensor:
        if net is None:
            here = slice(i * colors, (i + 1) * colors)
            return forward_step(model, x, i, u[:, here], sequence[:, here])
        return reference_step(net, model.table, x, i, u[:, i])

    drawn = draw()  # also the warm-up
    sequence, logits = model.to_sequence(drawn), cached_logits(model, drawn)
    naive_step(drawn.clone(), 0)
    run_cached_at = {timed[k * count // repeats] for k in range(repeats)}
    x, naive, library, cached, difference = torch.zeros_like(drawn), [], [], [], 0.0
    library_every = max(count // 32, 1)
    for i in range(pixels):
        if i not in timed:
            x.flatten(2)[:, :, i] = drawn.flatten(2)[:, :, i]
            continue
        start = time.perf_counter()
        own_logits = naive_step(x, i)
        naive.append(time.perf_counter() - start)
        cached_here = logits[:, i] if net else logits[:, i * colors : (i + 1) * colors]
        difference = max(difference, (own_logits - cached_here).abs().max().item())
        if net and len(naive) % library_every == 0:
            with torch.inference_mode():
                library.append(seconds(lambda: model(x)))
        if i in run_cached_at:
            cached.append(seconds(draw))
    seconds_naive = sum(naive) if count == pixels else statistics.median(naive) * pixels
    seconds_cached = statistics.median(cached)
    row = {
        "model": name,
        "images": images,
        "naive": "reference loop" if net else "own forward pass a pixel",
        "seconds_naive": round(seconds_naive, 3),
        "seconds_cached": round(seconds_cached, 4),
        "ratio": round(seconds_naive / seconds_cached, 1),
        "max_logit_difference": difference,
        "max_logit": round(logits.abs().max().item(), 2),
        "same_images": torch.equal(x, drawn),
        "naive_extrapolated": count < pixels,
        "positions_timed": count,
        "ms_per_position_naive": round(1e3 * seconds_naive / pixels, 3),
        "ms_per_position_cached": round(1e3 * seconds_cached / pixels, 4),
        "seconds_cached_runs": [round(s, 4) for s in sorted(cached)],
        "shape": list(model.shape),
        "parameters": sum(p.numel() for p in model.parameters()),
        **machine(),
    }
    if net:
        row["seconds_library_naive"] = round(statistics.median(library) * pixels, 3)  # always extrapolated
        row["parameters_dense"] = sum(p.numel() for p in net.parameters())  # as others count: with what is masked
    return row


def measure_batch(name: str, images: int, repeats: int = 5) -> dict:
    """One row: cost of an image, and bytes of the cache, when this many are drawn together."""
    kind, arguments, _ = JOBS[name]
    model = build(kind, arguments)
    with torch.inference_mode():
        state = model.start(images)
        model.step(state, 0, None)
    model.sample(images)
    seconds_cached = statistics.median(seconds(lambda: model.sample(images)) for _ in range(repeats))
    return {
        "model": name,
        "images": images,
        "seconds_cached": round(seconds_cached, 4),
        "seconds_per_image": round(seconds_cached / images, 5),
        "cache_bytes": cache_bytes(state),
        "forward_bytes": forward_bytes(model, images),
        **machine(),
    }


def measure_frames(frames: int, clips: int = 1, repeats: int = 3) -> dict:
    """One row: cost of a step of an untrained FramePixelCNN, and bytes of its cache, when clips have this many frames.

    The full pass over the clip is what the naive loop pays for each position.
    """
    torch.manual_seed(0)
    model = FramePixelCNN(CLIP_SHAPE, 17).eval()
    steps = frames * model.frame_positions
    with torch.inference_mode():
        state = model.start(clips, length=frames)
        for i in range(steps):
            model.step(state, i, torch.zeros(clips, dtype=torch.long) if i else None)
        clip = torch.zeros(clips, *model.shape_of(frames), dtype=torch.long)
        seconds_pass = statistics.median(seconds(lambda: model(clip)) for _ in range(repeats))
    seconds_cached = statistics.median(seconds(lambda: model.sample(clips, length=frames)) for _ in range(repeats))
    return {
        "model": "frame_pixelcnn",
        "frames": frames,
        "images": clips,
        "ms_per_step": round(1e3 * seconds_cached / steps, 4),
        "ms_per_pass": round(1e3 * seconds_pass, 2),
        "cache_bytes": cache_bytes(state),
        **machine(),
    }


def forward_bytes(model: nn.Module, images: int) -> int:
    """Bytes of the activations of one forward pass: what is kept for backward, parameters apart; views count once."""
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), saved)  # held, so that no other takes the address
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        model(torch.zeros(images, *model.shape, dtype=torch.long))
    return sum(size for size, _ in kept.values())


def cache_bytes(state: object) -> int:
    """Bytes of all tensors of a sampling state that are not parameters; views count once."""
    storages, seen, waiting = {}, set(), [state]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, (nn.Module, nn.Parameter)):
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif hasattr(item, "__dict__"):
            waiting.extend(vars(item).values())
    return sum(storages.values())


def machine() -> dict:
    """What the figures depend on besides the code."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "hardware": f"{name}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,  # > cores: others compute too
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, with all fields")
    parser.add_argument("--all", action="store_true", help="a large model and PixelCNN++ too")
    parser.add_argument("--model", metavar="NAME", help="the jobs whose name contains NAME")
    parser.add_argument("--batches", action="store_true", help="cost of an image and bytes of the cache, by batch size")
    parser.add_argument("--frames", action="store_true", help="clips: cost of a step, by number of frames")
    parser.add_argument("--images", type=int, default=16, help="images drawn at a time (16)")
    parser.add_argument("--positions", type=int, help="pixels of the naive loop to time; the rest is extrapolated")
    parser.add_argument("--repeats", type=int, default=7, help="runs of the cached sampler (7)")
    parser.add_argument("--threads", type=int, help="threads of torch, for both sides (torch's default)")
    options = parser.parse_args(arguments)
    for name in ("images", "positions", "repeats", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"expected --{name} >= 1, got {getattr(options, name)}")
    jobs = list(JOBS) if options.all else DEFAULT_JOBS
    if options.model:
        jobs = [name for name in JOBS if options.model.lower() in name]
        if not jobs:
            parser.error(f"no job has {options.model!r} in its name; there are: {', '.join(JOBS)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.frames:
        for frames in FRAMES:
            row = measure_frames(frames, repeats=options.repeats)
            print(json.dumps(row) if options.json else describe(row), flush=True)
        return
    for name in jobs:
        if options.batches:
            rows = (measure_batch(name, n, options.repeats) for n in (1, 16, 64))
        else:
            rows = (measure(name, options.images, options.positions, options.repeats) for _ in range(1))
        for row in rows:
            print(json.dumps(row) if options.json else describe(row), flush=True)


def describe(row: dict) -> str:
    """The row as a sentence."""
    where = f"[torch {row['torch']}, {row['threads']} thread{'s' * (row['threads'] > 1)}, load {row['load']}]"
    if "frames" in row:
        return (
            f"{row['model']}, {row['frames']} frames: {row['ms_per_step']:.2f} ms a step, cache "
            f"{row['cache_bytes'] / 2**10:.0f} KiB, a pass over the clip {row['ms_per_pass']:.1f} ms {where}"
        )
    if "ratio" not in row:
        return (
            f"{row['model']}, {row['images']} images: {1e3 * row['seconds_per_image']:.1f} ms an image, "
            f"cache {row['cache_bytes'] / 2**20:.1f} MiB, activations of a forward pass "
            f"{row['forward_bytes'] / 2**20:.1f} MiB {where}"
        )
    how = f"extrapolated from {row['positions_timed']} positions" if row["naive_extrapolated"] else "all positions"
    return (
        f"{row['model']}, {row['images']} images: {row['naive']} {row['seconds_naive']:.1f} s ({how}), cached "
        f"{row['seconds_cached']:.3f} s: {row['ratio']:.0f} times faster; images "
        f"{'equal' if row['same_images'] else 'NOT equal'}, logits within {row['max_logit_difference']:.1e} {where}"
    )


if __name__ == "__main__":
    sys.exit(main())
