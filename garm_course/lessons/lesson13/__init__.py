"""The exercises of lesson 13: the best discriminator, a divergence, both players' losses, and whose gradient flows."""

from garm_course.lessons.lesson13 import d_backward, d_loss, g_loss_nonsat, js_divergence, optimal_discriminator
from garm_course.lessons.lesson13.games import GameFrame, game, game_figure, game_steps, orbit, orbit_figure

EXERCISES = [
    optimal_discriminator.EXERCISE,
    js_divergence.EXERCISE,
    d_loss.EXERCISE,
    g_loss_nonsat.EXERCISE,
    d_backward.EXERCISE,
]

__all__ = ["EXERCISES", "GameFrame", "game", "game_figure", "game_steps", "orbit", "orbit_figure"]
