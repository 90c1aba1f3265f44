"""What a network is for the length of a block: its mode (training or evaluation), and its weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout off inside the block, and back to what it was after it."""
    was = [module.training for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in zip(model.modules(), was, strict=True):
            module.training = training


@contextmanager
def lent_weights(model: nn.Module, weights: dict[str, Tensor]) -> Iterator[None]:
    """Give a network other weights (a `state_dict`) inside the block, and its own again after it."""
    own = {k: v.detach().clone() for k, v in model.state_dict().items()}
    model.load_state_dict(weights)
    try:
        yield
    finally:
        model.load_state_dict(own)
