"""The exercises of lesson 12, one file each: nearest codes, the codebook's loss, moving averages, how many are used."""

from garm_course.lessons.lesson12 import codebook_perplexity, ema_update, quantize, vq_loss
from garm_course.lessons.lesson12.codes import (
    code_editor,
    code_map,
    code_map_figure,
    code_patches,
    codebook,
    codebook_figure,
    staircase,
    staircase_figure,
)

EXERCISES = [quantize.EXERCISE, vq_loss.EXERCISE, ema_update.EXERCISE, codebook_perplexity.EXERCISE]

__all__ = [
    "EXERCISES",
    "code_editor",
    "code_map",
    "code_map_figure",
    "code_patches",
    "codebook",
    "codebook_figure",
    "staircase",
    "staircase_figure",
]
