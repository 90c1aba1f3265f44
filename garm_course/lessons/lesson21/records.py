"""What the recorded study of ten models of digits says, one row a model."""

import math
from statistics import mean, stdev
from typing import NamedTuple

from garm_course.evaluation.scores import Score

NAMES = {
    "made": "MADE",
    "nade": "NADE",
    "pixel_gru": "GRU",
    "gated_pixelcnn": "Gated PixelCNN",
    "conditional_gated_pixelcnn": "Gated PixelCNN, told",
    "pixelcnnpp": "PixelCNN++",
    "vae": "VAE",
    "conditional_vae": "VAE, told",
    "gan": "GAN",
    "vaegan": "VAE-GAN",
}


class Row(NamedTuple):
    """One model: figures of samples are means over the seeds.

    Attributes:
        family: "autoregressive", "vae" or "gan".
        score: of the test images, without their class.
        frechet: distance to the test images.
        spread: its standard deviation over the seeds of the samples.
        coverage: in [0, 1].
        obeys: share of samples read as the class that was asked for; NaN for a model that is told none.
        ms: processor milliseconds of one image drawn alone.
        batch_ms: of one image in a batch of 360.
    """

    family: str
    score: Score
    frechet: float
    spread: float
    coverage: float
    obeys: float
    ms: float
    batch_ms: float


def rows(study: dict) -> dict[str, Row]:
    """The rows of "families-digits", by the name of the model in words."""
    found = {}
    for model, name in NAMES.items():
        runs = [run for run in study["runs"] if run["model"] == model]
        first, distances = runs[0], [run["frechet"] for run in runs]
        obeys = mean(run["obeys"] for run in runs) if "obeys" in first else math.nan
        coverage = mean(run["coverage"] for run in runs)
        score = Score(first.get("nats", math.nan), first["kind"])
        times = first["ms_alone"], first["ms"]
        found[name] = Row(study["models"][model], score, mean(distances), stdev(distances), coverage, obeys, *times)
    return found
