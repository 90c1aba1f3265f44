"""Small trained models that come with the package, each with the record of the run that made it."""

import json
from pathlib import Path

import torch
from torch import nn

from garm_course.paths import results_folder
from garm_course.weights.files import load_model

FOLDER = Path(__file__).parent


def pretrained_names() -> list[str]:
    """Names that `load_pretrained` knows: `<model>-<data>`."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def load_pretrained(name: str) -> nn.Module:
    """Load a trained model of the course.

    Args:
        name: `<model>-<data>`, such as "gated_pixelcnn-digits".

    Returns:
        The model on the CPU, in evaluation mode and single precision (large ones are stored in half precision or in
        eight bits); `model.record` holds the recorded figures, seed, seconds and command. A classifier comes back
        frozen: its weights require no gradient, since samples are measured in its features.

    Raises:
        ValueError: for a name that is not shipped: the message has the command that trains it, or lists the known ones.
    """
    if name not in pretrained_names():
        recorded = results_folder() / f"{name}.json"
        if recorded.is_file():
            command = json.loads(recorded.read_text(encoding="utf-8"))["command"]
            raise ValueError(
                f"{name!r} is not shipped; train it: {command[0] if isinstance(command, list) else command}"
            )
        raise ValueError(f"no pretrained model {name!r}; known: {', '.join(pretrained_names())}")
    model = load_model(FOLDER / f"{name}.safetensors", dtype=torch.float32)
    return model.requires_grad_(model.name not in ("classifier", "factor_classifier"))
