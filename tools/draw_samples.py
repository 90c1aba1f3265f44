"""Draw the picture of the README: `python tools/draw_samples.py` writes docs/samples.png from the shipped weights."""

from pathlib import Path

import torch

from garm_course import load_pretrained
from garm_course.datasets import load
from garm_course.show import panels_figure, png
from garm_course.weights.files import write_atomically


def samples(name: str, y: torch.Tensor | None = None) -> torch.Tensor:
    """The first 16 samples of a pretrained model at seed 0, nothing selected."""
    return load_pretrained(name).sample(16, y, rng=torch.Generator().manual_seed(0))


if __name__ == "__main__":
    figure = panels_figure(
        {
            "real digits": load("digits", "validation").x[:16],
            "PixelCNN": samples("pixelcnn-digits"),
            "Gated PixelCNN": samples("gated_pixelcnn-digits"),
            "class-conditional": samples("conditional_gated_pixelcnn-digits", torch.arange(16) % 10),
        },
        levels=17,
    )
    target = Path(__file__).resolve().parents[1] / "docs" / "samples.png"
    write_atomically(target, png(figure))
    print(f"written: {target}")
