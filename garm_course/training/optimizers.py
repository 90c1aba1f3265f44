"""The optimizers of `fit`: AdamW for all weights, or Muon for the hidden matrices and AdamW for the rest.

Muon takes the momentum of a matrix's gradient and replaces its singular values by numbers near one, so that every
direction of the matrix moves equally far. That makes sense inside a network, where a matrix maps one hidden vector to
another; the rows of an embedding, the output layer, gains and biases stay with AdamW.

Source: Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks",
kellerjordan.github.io/posts/muon.
"""

import warnings

import torch
from torch import nn
from torch.optim import AdamW, Optimizer


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights of all linear layers inside the parts of a model (its blocks), in their order.

    A layer that the model itself holds reads the input or writes the output, and is none of them.

    Args:
        model: any network.

    Returns:
        Matrices (rows, columns), each once.

    Example:
        >>> block = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> model = nn.ModuleDict({"embed": nn.Embedding(3, 4), "block": block, "head_out": nn.Linear(4, 3)})
        >>> [tuple(matrix.shape) for matrix in hidden_matrices(model)]
        [(8, 4), (4, 8)]
    """
    inside = [part.weight for name, part in model.named_modules() if isinstance(part, nn.Linear) and "." in name]
    return list(dict.fromkeys(inside))


def optimizers(model: nn.Module, *, lr: float, weight_decay: float, muon: float | None) -> dict[str, Optimizer]:
    """The optimizers of all weights of a model, by name.

    Args:
        model: any network.
        lr: learning rate of AdamW.
        weight_decay: decoupled, of both.
        muon: learning rate of Muon; None for AdamW alone, which is also what a torch before 2.9 gets, with a warning.

    Returns:
        {"all": AdamW}, or {"hidden": Muon, "other": AdamW}.

    Raises:
        ValueError: Muon is asked for and the model has no hidden matrices.
    """
    adamw = {"lr": lr, "weight_decay": weight_decay, "betas": (0.9, 0.99)}
    hidden = hidden_matrices(model) if muon is not None else []
    if muon is not None and not hidden:
        raise ValueError(
            f"expected linear layers inside the parts of the model for muon={muon}, got a {type(model).__name__} "
            "without; leave muon out"
        )
    if muon is not None and not hasattr(torch.optim, "Muon"):
        warnings.warn(f"torch {torch.__version__} has no Muon, which came with 2.9: AdamW trains all", stacklevel=3)
        hidden = []
    if not hidden:
        return {"all": AdamW(model.parameters(), **adamw)}
    ids = set(map(id, hidden))
    other = [weight for weight in model.parameters() if id(weight) not in ids]
    return {
        "hidden": torch.optim.Muon(hidden, lr=muon, weight_decay=weight_decay),
        "other": AdamW(other, **adamw),
    }


class Together:
    """Several optimizers that step as one, on one loss and with one norm of the gradient.

    Args:
        parts: the optimizers, of different weights.
    """

    def __init__(self, *parts: Optimizer):
        self.parts = parts

    @property
    def param_groups(self) -> list[dict]:
        """The groups of all."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As of one optimizer."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """One step of each."""
        for part in self.parts:
            part.step()
