"""VQGAN: a tokenizer that a distance in features and a critic of patches teach what may be invented.

Squared error answers doubt with the mean, which is gray. A distance in a classifier's features forgives what the
classifier does not see, and a critic asks whether a patch could be one of the data. How much the critic may say is
measured at the last layer: its gradient there is made as long as that of the reconstruction. The tokenizer and the
teacher are passed in.

Sources: Esser, Rombach, Ommer (2021), "Taming Transformers for High-Resolution Image Synthesis", CVPR, arXiv
2012.09841; Zhang, Isola, Efros, Shechtman, Wang (2018), "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", CVPR, arXiv 1801.03924.
"""

import torch
from torch import Tensor, nn

from garm_course.adversarial.cyclegan import PatchCritic
from garm_course.adversarial.game import Game, frozen
from garm_course.adversarial.losses import GANLoss
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_settings

MOST = 1e4  # of the adaptive weight, as in the paper's program


def adaptive_weight(rec: Tensor, gan: Tensor, last: Tensor, delta: float = 1e-4) -> Tensor:
    """|gradient of rec| / (|gradient of gan| + delta) at the last layer, in [0, 10⁴]; equation (17.1).

    By this weight the critic moves the last layer as far as the reconstruction does, however large its scores are. It
    is a constant: no gradient passes through it. Both losses keep their graphs, and no `.grad` is touched.

    Args:
        rec: the reconstruction's loss, a scalar.
        gan: the generator's loss, a scalar.
        last: the weights of the last layer that both depend on.
        delta: what keeps the quotient finite where the critic is flat; 1e-6 in the paper, 1e-4 in its program.

    Returns:
        Scalar in [0, 10⁴], without a graph.

    Raises:
        ValueError: for losses that are no scalars, or a delta that is not above 0.

    Source:
        Esser et al. (2021), arXiv 2012.09841, equation 7.

    Example:
        >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> adaptive_weight(w @ w, 5 * w.sum(), w)  # gradients (6, 8) and (5, 5)
        tensor(1.4142)
    """
    check_settings(0, above=True, delta=delta)
    if rec.numel() != 1 or gan.numel() != 1:
        raise ValueError(
            f"expected two losses that are scalars, got shapes {tuple(rec.shape)} and {tuple(gan.shape)}; average them"
        )
    norms = [torch.autograd.grad(loss.sum(), last, retain_graph=True)[0].norm() for loss in (rec, gan)]
    return (norms[0] / (norms[1] + delta)).clamp(0, MOST).detach()


def perceptual_distance(teacher: nn.Module, x: Tensor, r: Tensor) -> Tensor:
    """Σ over layers of the mean over places of |φ(x)/|φ(x)| - φ(r)/|φ(r)||², φ the channels at a place.

    Args:
        teacher: a network with `maps(x)` -> maps (B, C', H', W') of its layers; it should be in evaluation mode.
        x: (B, C, H, W), the originals; they are a target, and get no gradient.
        r: their reconstructions, of the same shape.

    Returns:
        (B,), each in [0, 4 layers], 0 for equal images.

    Raises:
        ValueError: for images of different shapes, or of another shape than the teacher's.

    Source:
        Zhang et al. (2018), arXiv 1801.03924, equation 1, with all channels weighing alike.
    """
    if x.shape != r.shape:
        raise ValueError(
            f"expected originals and reconstructions of one shape, got {tuple(x.shape)} and {tuple(r.shape)}"
        )
    with torch.no_grad():
        target = teacher.maps(x)
    pairs = zip(target, teacher.maps(r), strict=True)
    return sum((_unit(a) - _unit(b)).square().sum(1).mean((1, 2)) for a, b in pairs)


def _unit(h: Tensor) -> Tensor:
    """The channels of each place divided by their length; the small number keeps the gradient finite at 0."""
    h = h.float()
    return h / (h.square().sum(1, keepdim=True) + 1e-8).sqrt()


class VQGAN(nn.Module):
    """A tokenizer, and a critic of patches.

    Args:
        tokenizer: images in [-1, 1] -> (reconstructions, the codebook's loss), with `encode`, `decode`, `reconstruct`
            and the layer `last`, such as `latent.Tokenizer`.
        critic_width: see `PatchCritic`; 0 for no critic.
        critic_layers: see `PatchCritic`.

    Raises:
        ValueError: for images that are too small for the critic.

    Source:
        Esser et al. (2021), arXiv 2012.09841, section 3.1.

    Example:
        >>> from garm_course.latent import Tokenizer
        >>> model = VQGAN(Tokenizer((3, 28, 28), 4, channels=8), critic_width=8)
        >>> model.reconstruct(torch.zeros(2, 3, 28, 28)).shape
        torch.Size([2, 3, 28, 28])
    """

    name = "vqgan"
    n_classes = 0

    def __init__(self, tokenizer: nn.Module, *, critic_width=32, critic_layers=((4, 2), (3, 1), (3, 1))):
        super().__init__()
        check_settings(0, whole=True, critic_width=critic_width)
        self.tokenizer = tokenizer
        self.shape, self.levels = tokenizer.shape, tokenizer.levels
        self.critic = None
        if critic_width:
            self.critic = PatchCritic(self.shape[0], width=critic_width, layers=tuple(map(tuple, critic_layers)))
            self.critic.check_size(self.shape[1:])
        if hasattr(tokenizer, "config"):  # what the library can build can be saved
            self.config = {
                "parts": {"tokenizer": [tokenizer.name, tokenizer.config]},
                "critic_width": critic_width,
                "critic_layers": [list(layer) for layer in critic_layers],
            }

    @property
    def n_codes(self) -> int:
        """Size K of the codebook."""
        return self.tokenizer.n_codes

    @property
    def grid(self) -> tuple[int, int]:
        """(H', W') of the codes of an image."""
        return self.tokenizer.grid

    def encode(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> LongTensor (B, H', W') of codes 0..K-1."""
        return self.tokenizer.encode(x)

    def decode(self, index: Tensor) -> Tensor:
        """Codes LongTensor (B, H', W') -> images (B, C, H, W) in [-1, 1]."""
        return self.tokenizer.decode(index)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> what is left of them in their codes, of the same kind."""
        return self.tokenizer.reconstruct(x)

    def levels_of(self, x: Tensor) -> Tensor:
        """Images in [-1, 1] as levels 0..levels-1: see `transforms.unscale`."""
        return self.tokenizer.levels_of(x)


class VQGANGame(Game):
    """The game of Esser et al. (2021): the tokenizer takes a step, then the critic, from step `start` on.

    The reconstruction's loss is the squared error of pixels, and `perceptual` times the distance in the teacher's
    features. Until `start` there is nothing to criticize, and the critic is left alone. Without a critic and a teacher
    it is the training of a VQ-VAE by squared error.

    Args:
        model: see `VQGAN`; its tokenizer holds its average after training.
        teacher: a classifier of these images with `maps`, see `perceptual_distance`, whose weights do not move; None
            for squared error alone. The judge of the results must be another one.
        perceptual: weight of the distance in its features, at least 0.
        factor: of the critic's part, beside the adaptive weight, at least 0; 0.8 in the paper's program.
        start: steps before the critic begins, at least 0.
        loss: a name of `adversarial.losses.LOSSES`, or a pair of functions of scores; the critic's is halved.

    Raises:
        ValueError: for settings outside their ranges, or a teacher of other images.

    Source:
        Esser et al. (2021), arXiv 2012.09841, equations 4 to 7.
    """

    def __init__(
        self,
        model: VQGAN,
        *,
        teacher: nn.Module | None = None,
        perceptual: float = 1.0,
        factor: float = 0.8,
        start: int = 0,
        loss: str | GANLoss = "hinge",
    ):
        check_settings(0, perceptual=perceptual, factor=factor)
        check_settings(0, whole=True, start=start)
        if teacher is not None:
            _check_teacher(teacher, model)
        players = {"tokenizer": model.tokenizer} | ({} if model.critic is None else {"critic": model.critic})
        super().__init__(
            model, players, averaged=model.tokenizer, levels=(model.levels,), loss=loss, betas=(0.5, 0.9),
            teacher=teacher is not None, perceptual=perceptual, factor=factor, start=start,
        )  # fmt: skip
        self.teacher, self.perceptual, self.factor, self.start = teacher, perceptual, factor, start
        self.done = 0  # steps

    def begin(self, seed: int, device: torch.device) -> dict[str, object]:
        """Count steps from 0, and bring the teacher to the device."""
        self.done = 0
        if self.teacher is not None:
            self.teacher.to(device)
        return {"game": self}

    def state(self) -> dict[str, Tensor]:
        """The number of steps that were taken."""
        return {"done": torch.tensor(self.done)}

    def resume(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state()` returned."""
        self.done = int(state["done"])

    def step(self, batch, draw, descend) -> dict[str, Tensor]:
        """Equations 4 to 7 of the paper; see `Game` for what a step is handed.

        Returns:
            The losses "pixels", "codebook", with a teacher "perceptual", and with a critic "generator", "critic" and
            the adaptive weight, "weight", all three 0 until it begins.
        """
        tokenizer, critic = self.model.tokenizer, self.model.critic
        x, _ = batch()
        r, codebook = tokenizer(x)
        rec = (r - x).square().mean()
        terms = {"pixels": rec, "codebook": codebook}
        if self.teacher is not None:
            with frozen(self.teacher), evaluation_mode(self.teacher):
                terms["perceptual"] = perceptual_distance(self.teacher, x, r).mean()
            rec = rec + self.perceptual * terms["perceptual"]
        if critic is None or self.done < self.start:
            descend(tokenizer=rec + codebook)
            terms |= {} if critic is None else dict.fromkeys(("generator", "critic", "weight"), torch.zeros_like(rec))
        else:
            with frozen(critic):
                terms["generator"] = self.loss.generator(critic(r).float())
                terms["weight"] = adaptive_weight(rec, terms["generator"], tokenizer.last.weight)
                descend(tokenizer=rec + codebook + self.factor * terms["weight"] * terms["generator"])
            terms["critic"] = 0.5 * self.loss.critic(critic(x).float(), critic(r.detach()).float())
            descend(critic=terms["critic"])
        self.done += 1
        return terms


def _check_teacher(teacher: nn.Module, model: VQGAN) -> None:
    """Refuse features of other images than the model's (ValueError)."""
    found = tuple(getattr(teacher, "shape", ())), getattr(teacher, "levels", None)
    if found != (model.shape, model.levels) or not hasattr(teacher, "maps"):
        raise ValueError(
            f"expected a teacher with maps of images {model.shape} of {model.levels} levels, got a "
            f"{type(teacher).__name__} of {found[0]} and {found[1]} levels; take one that was trained on the same data"
        )
