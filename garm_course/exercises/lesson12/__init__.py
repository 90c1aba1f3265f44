"""The exercises of lesson 12, one file each: nearest codes, the codebook's loss, moving averages, how many are used."""

from garm_course.exercises.lesson12 import codebook_perplexity, ema_update, quantize, vq_loss

EXERCISES = [quantize.EXERCISE, vq_loss.EXERCISE, ema_update.EXERCISE, codebook_perplexity.EXERCISE]
