"""Random numbers for samplers: a row for each example, drawn up front, so that neither batch size nor device matter."""

import torch
from torch import Tensor


def uniforms(*size: int, rng: torch.Generator | None = None, like: Tensor) -> Tensor:
    """Uniforms in (0, 1), drawn in double precision on the generator's own device, then moved to that of `like`.

    Row k is the same whatever the number of rows; `rng` None takes torch's global generator.
    """
    u = torch.rand(*size, generator=rng, dtype=torch.float64, device=rng.device if rng else "cpu")
    return u.clamp(min=2**-54).to(like.device)


def normals(*size: int, rng: torch.Generator | None = None, like: Tensor) -> Tensor:
    """Standard normal numbers from `uniforms`, in the dtype of `like`."""
    return torch.special.ndtri(uniforms(*size, rng=rng, like=like)).to(like.dtype)


def next_stage(rng: torch.Generator | None) -> torch.Generator:
    """A generator for what is drawn after the first stage, seeded from `rng` (None: torch's global generator).

    The stages of an example (latents, then pixels) then come from two streams, each a row for an example: drawing more
    examples changes neither stage of the first ones.
    """
    device = rng.device if rng else "cpu"
    seed = torch.randint(2**62, (), generator=rng, device=device).item()
    return torch.Generator(device).manual_seed(seed)
