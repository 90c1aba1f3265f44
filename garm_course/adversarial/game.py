"""A game between networks: who plays, and one step in which each player moves against its own loss.

The games themselves stand beside their networks, in `gan`, `cyclegan` and `vaegan`; `training.fit_game` plays them.
"""

import torch
from torch import nn

from garm_course.adversarial.losses import GANLoss, find_loss


class Game:
    """What `training.fit_game` needs to know of a game.

    A game has a method `step(batch, draw, descend)`, which returns the losses of one step by name. It is handed

    - `batch()`: the next examples (x, y), with images in [-1, 1]; of several data sets, one pair for each;
    - `draw(function, *shape)`: function(B, *shape), such as `torch.randn`, for the B examples of a batch;
    - `descend(player=loss, ...)`: moves each player that is named one step down its own loss.

    Args:
        model: the module that holds all players.
        players: the networks that move, by name; those whose name begins with "critic" have the critics' learning rate.
        averaged: the part of the model that holds averaged weights after training.
        levels: of the images of each data set, None for numbers.
        loss: a name of `losses.LOSSES`, or a pair of functions of scores.
        betas: of the players' Adam, where `fit_game` is not told others.
        rules: all other settings of the game, as JSON can hold them: a run that goes on must have the same.

    Raises:
        ValueError: for an unknown loss.
    """

    def __init__(
        self,
        model: nn.Module,
        players: dict[str, nn.Module],
        *,
        averaged: nn.Module,
        levels: tuple[int | None, ...],
        loss: str | GANLoss,
        betas: tuple[float, float] = (0.5, 0.99),
        **rules: object,
    ):
        self.model, self.players, self.averaged, self.levels, self.betas = model, players, averaged, levels, betas
        self.loss = find_loss(loss) if isinstance(loss, str) else loss
        self.rules = {"loss": loss if isinstance(loss, str) else "functions", **rules}

    def begin(self, seed: int, device: torch.device) -> dict[str, object]:
        """Start anew; returns what the game remembers between steps, by name, with `state()` and `resume(state)`."""
        return {}


class frozen:
    """Inside the block no gradient is computed for the weights of a network; gradients still pass through it."""

    def __init__(self, *networks: nn.Module):
        self.weights = [w for network in networks for w in network.parameters() if w.requires_grad]

    def __enter__(self) -> None:
        for weight in self.weights:
            weight.requires_grad_(False)

    def __exit__(self, *error: object) -> None:
        for weight in self.weights:
            weight.requires_grad_(True)
