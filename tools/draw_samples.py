"""Draw the picture of the README: `python tools/draw_samples.py` writes docs/samples.png from the shipped weights."""

from pathlib import Path

import torch

from garm_course import load_pretrained
from garm_course.datasets import load
from garm_course.show import panels_figure, png
from garm_course.weights.files import write_atomically

PANELS = {  # one of each family
    "PixelCNN++": "pixelcnnpp-digits",
    "VAE": "vae-digits",
    "GAN": "gan-digits",
}


def samples(name: str) -> torch.Tensor:
    """The first 16 samples of a pretrained model at seed 0, nothing selected."""
    model = load_pretrained(name)
    return model.levels_of(model.sample(16, rng=torch.Generator().manual_seed(0)))


if __name__ == "__main__":
    panels = {"real digits": load("digits", "validation").x[:16], **{k: samples(name) for k, name in PANELS.items()}}
    target = Path(__file__).resolve().parents[1] / "docs" / "samples.png"
    write_atomically(target, png(panels_figure(panels, levels=17)))
    print(f"written: {target}")
