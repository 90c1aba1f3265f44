"""Training of adversarial models: the players of a game take turns in the loop that all trainings share, see `loop`.

What one step of a game does stands beside its networks: `adversarial.gan.GANGame`, `cyclegan.CycleGANGame`,
`vaegan.VAEGANGame`. In several processes each takes its part of every batch and of its noise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from garm_course.adversarial.game import Game
from garm_course.inputs import check_classes, check_scaled, check_settings
from garm_course.training.batches import Batches
from garm_course.training.checkpoints import load_random_states, random_states
from garm_course.training.loop import Descent, Plan, Record, check_trainable, fusible, plain_number, run
from garm_course.training.processes import Processes
from garm_course.transforms import scale


@dataclass
class AdversarialHistory(Record):
    """What happened during a run. None of these losses says how good the samples are."""

    terms: dict[str, list[tuple[int, float]]] = field(default_factory=dict)  # name -> (step, mean since the last entry)
    watched: list[tuple[int, float]] = field(default_factory=list)  # (step, what `watch` returned)


def fit_game(
    game: Game,
    data: Dataset | tuple[Dataset, ...],
    *,
    lr: float = 1e-3,
    critic_lr: float | None = None,
    betas: tuple[float, float] | None = None,
    decay: bool = False,
    watch: Callable[[int, nn.Module], float | None] | None = None,
    watch_every: int = 100,
    **plan: object,
) -> AdversarialHistory:
    """Play a game: train its players in place, each with its own Adam.

    The model trains on the device that Accelerate finds and returns to its own, in evaluation mode.

    Args:
        game: `GANGame(gan)`, `CycleGANGame(model)` or `VAEGANGame(model)`, with the losses and their weights.
        data: examples (x, y), or x alone for a model without classes: whole numbers of the model's levels, which are
            scaled to [-1, 1], or floats; any data set with a length, also a tensor or a NumPy array, see
            `datasets.pairs.as_pairs`. For a CycleGAN a pair of them. The last incomplete batch of an epoch is left out.
        lr: learning rate, above 0.
        critic_lr: of the critics, above 0, None for the same; different ones are the two time scales of Heusel et al.
            (2017), arXiv 1706.08500.
        betas: of Adam, a pair in [0, 1); None for those of the game.
        decay: let all learning rates fall linearly to 0.
        watch: called with the step and the model (with averaged weights, in evaluation mode) every `watch_every` steps;
            a number that it returns goes to `history.watched`.
        watch_every: steps between entries of the history, at least 1.
        plan: steps (1000), batch_size (64), ema (0), seed (0), precision, checkpoints, resume, tracker, label: see
            `loop.Plan`. Averaged are the weights of those who draw, not the critics'.

    Returns:
        AdversarialHistory, with the terms that `game.step` returns.

    Raises:
        NonFiniteLossError: a loss became NaN or infinite; its name is in the message, and who draws keeps its average,
            or without one the weights of the step before.
        ValueError: for an empty data set, settings outside their ranges, images outside of [-1, 1] or scaled to [0, 1],
            classes that the model does not know, weights that cannot move (frozen, or under `no_grad`), or a checkpoint
            that is damaged or belongs to other settings.
        TypeError: for an unknown option, what is no data set (a DataLoader), or levels for a model that was built
            without.
    """
    plan = Plan.of(**plan)
    lr, critic_lr = map(plain_number, (lr, lr if critic_lr is None else critic_lr))
    betas = betas or game.betas
    check_settings(0, above=True, lr=lr, critic_lr=critic_lr)
    check_settings(1, whole=True, watch_every=watch_every)
    if not (isinstance(betas, tuple | list) and len(betas) == 2 and all(0 <= beta < 1 for beta in betas)):
        raise ValueError(
            f"betas={betas} is out of range: expected a pair of numbers in [0, 1); Adam's are (0.9, 0.999)"
        )
    check_trainable(**game.players)
    data = data if isinstance(data, tuple) else (data,)
    if len(data) != len(game.levels):
        raise ValueError(f"expected data sets for this game: {len(game.levels)}, got {len(data)}; pass a tuple of them")
    descent, history = Descent(team := Processes()), AdversarialHistory()
    torch.manual_seed(plan.seed)
    orders = [torch.Generator().manual_seed(len(data) * plan.seed + k) for k in range(len(data))]
    n_classes = getattr(game.model, "n_classes", 0)
    streams = [
        ScaledBatches(one, plan.batch_size, order, levels=levels, n_classes=n_classes, team=team)
        for one, order, levels in zip(data, orders, game.levels, strict=True)
    ]
    optimizers = {
        name: torch.optim.Adam(
            player.parameters(),
            lr=critic_lr if name.startswith("critic") else lr,
            betas=betas,
            fused=fusible(player, team.device),
        )
        for name, player in game.players.items()
    }

    def batch() -> tuple[Tensor, Tensor] | list[tuple[Tensor, Tensor]]:
        return next(streams[0]) if len(streams) == 1 else [next(stream) for stream in streams]

    def draw(function: Callable[..., Tensor], *shape: int) -> Tensor:
        return team.share(function(streams[0].size, *shape, device=team.device))

    def step(number: int) -> dict[str, Tensor]:
        terms = game.step(
            batch, draw, lambda **losses: descent({name: ([optimizers[name]], loss) for name, loss in losses.items()})
        )
        return {f"{name} loss": value for name, value in terms.items()}

    def look(number: int, means: dict[str, float]) -> dict[str, float]:
        figures = {}
        losses = {name.removesuffix(" loss"): mean for name, mean in means.items() if name.endswith(" loss")}
        for name, value in losses.items():
            history.terms.setdefault(name, []).append((number, value))
            figures[f"losses/{name}"] = value
        if watch is not None:
            value = team.of_the_first(lambda: watch(number, game.model))
            if team.count > 1:  # it may have drawn, and all must go on drawing alike
                load_random_states(team.of_the_first(random_states))
            if value is not None:
                history.watched.append((number, float(value)))
                figures["watched"] = float(value)
        rates = {f"learning_rate/{k}": one.param_groups[0]["lr"] for k, one in enumerate(optimizers.values())}
        return {**figures, **rates}

    run(
        step, game.model, plan, history, averaged=game.averaged, optimizers=optimizers, look=look, every=watch_every,
        rate=lambda done: 1 - done / plan.steps if decay else 1.0, descent=descent,
        state={**{f"data{k}": stream for k, stream in enumerate(streams)}, **game.begin(plan.seed, team.device)},
        settings={**game.rules, "lr": lr, "critic_lr": critic_lr, "betas": betas, "decay": decay,
                  "watch_every": watch_every, "examples": [len(one.data) for one in streams]},
    )  # fmt: skip
    return history


class ScaledBatches(Batches):
    """Batches (x, y) without end, in a fresh order each epoch; levels are scaled to [-1, 1].

    Args:
        data: examples (x, y), see `datasets.pairs.as_pairs`.
        size: examples a batch, at most all of them.
        order: source of the order of the examples.
        levels: of LongTensor images.
        n_classes: classes that y must be one of; 0 where nobody looks at y.
        team: see `Batches`.

    Raises:
        ValueError: for an empty data set, images outside of [-1, 1], a first batch of images without a negative number,
            or classes out of range.
        TypeError: for levels without their number, or what is no data set.
    """

    def __init__(
        self, data: Dataset, size: int, order: torch.Generator, *, levels: int | None, n_classes: int = 0,
        team: Processes | None = None,
    ):  # fmt: skip
        self.levels, self.n_classes, self._first = levels, n_classes, True
        super().__init__(data, size, order, team=team)

    def _seed_of_workers(self) -> None:
        torch.empty((), dtype=torch.int64).random_()  # of a DataLoader without a generator: from the global one

    def _fetch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        x, y = super()._fetch(indices)
        if not x.is_floating_point():
            if self.levels is None:
                raise TypeError(f"expected floating-point examples, got {x.dtype}; build the model with levels")
            x = scale(x, self.levels)
        elif x.ndim == 4:
            check_scaled(x)
            if self._first:
                _check_centered(x)
        if self.n_classes:
            check_classes(y, len(x), self.n_classes)
        self._first = False
        return x, y


def _check_centered(x: Tensor) -> None:
    """Refuse images that were scaled to [0, 1] (ValueError): in [-1, 1] a batch has dark pixels, which are negative."""
    low, high = (float(v) for v in x.aminmax())
    if 0 <= low < high:
        raise ValueError(
            f"expected images as floating-point numbers in [-1, 1], got {low:g}..{high:g} in the first batch, none of "
            "them negative: they look scaled to [0, 1]; use 2 * x - 1"
        )
