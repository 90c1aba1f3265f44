"""Training of adversarial models: two optimizers that take turns, in one visible loop.

`fit_adversarial` trains a GAN, `fit_cyclegan` two translators with their critics, `fit_vaegan` an autoencoder with a
discriminator. What all adversarial runs share (progress, averaged weights, a stop with a reason when a loss is no
longer finite, Ctrl-C, checkpoints) is `alternate`; what one step does is a function that is passed in.

In several processes each takes its part of every batch and of its noise, and gradients are averaged after `backward`:
the losses are those of one process. Accelerate's wrapper for data parallel is of no use here, since penalties
differentiate twice. Two things belong to each process alone: the statistics of a batch normalization, of which those
of the first are kept, and the pools of a CycleGAN.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from garm_course.adversarial.cyclegan import CycleGAN, ImagePool, check_same_domain, identity_loss, l1
from garm_course.adversarial.gan import GAN
from garm_course.adversarial.lipschitz import batch_normalized, clip_weights, gradient_penalty, r1_of_scores
from garm_course.adversarial.losses import GANLoss, find_loss
from garm_course.adversarial.vaegan import VAEGAN, feature_nll
from garm_course.evaluation_mode import lent_weights
from garm_course.inputs import check_scaled, check_shape
from garm_course.training.batches import Batches
from garm_course.training.checkpoints import (
    Checkpoints,
    description,
    load_optimizer_state,
    load_random_states,
    optimizer_state,
    part,
    prefixed,
    random_states,
)
from garm_course.training.interrupts import deferred_interrupt
from garm_course.training.likelihood import NonFiniteLossError
from garm_course.training.processes import Processes
from garm_course.training.tracking import Tracker
from garm_course.transforms import scale


@dataclass
class AdversarialHistory:
    """What happened during a run. None of these losses says how good the samples are."""

    terms: dict[str, list[tuple[int, float]]] = field(default_factory=dict)  # name -> (step, mean since the last entry)
    watched: list[tuple[int, float]] = field(default_factory=list)  # (step, what `watch` returned)
    seconds: float = 0.0  # wall clock
    cpu_seconds: float = 0.0  # of this process, over all threads
    steps: int = 0
    stopped: str = "all steps done"

    def newest(self) -> dict[str, float]:
        """The last entries by name, for a tracker."""
        watched = {"watched": self.watched[-1][1]} if self.watched else {}
        return {**{f"losses/{name}": entries[-1][1] for name, entries in self.terms.items()}, **watched}


def fit_adversarial(
    gan: GAN,
    data: Dataset,
    *,
    loss: str | GANLoss = "non_saturating",
    steps: int = 1000,
    batch_size: int = 64,
    critic_steps: int = 1,
    lr: float = 1e-3,
    critic_lr: float | None = None,
    betas: tuple[float, float] = (0.5, 0.99),
    r1: float = 0.0,
    penalty: float = 0.0,
    clip: float | None = None,
    ema: float = 0.0,
    decay: bool = False,
    watch: Callable[[int, GAN], float | None] | None = None,
    watch_every: int = 100,
    seed: int = 0,
    precision: str = "no",
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    tracker: Tracker | None = None,
    label: str = "training",
) -> AdversarialHistory:
    """Train a GAN in place: the critic takes `critic_steps` steps, then the generator takes one.

    The last fakes of the critic are the generator's, drawn once: with one critic step that is the alternating game of
    the paper at the price of one forward pass of the generator. In the generator's step the critic's weights need no
    gradient, so none is computed.

    Args:
        gan: see `GAN`; it trains on the device that Accelerate finds and returns to its own, in evaluation mode.
        data: examples (x, y): LongTensor images of `gan.levels` levels, which are scaled to [-1, 1], or floats; the
            last incomplete batch of an epoch is left out.
        loss: a name of `adversarial.losses.LOSSES`, or a pair of functions of scores.
        steps: steps of the generator. batch_size: examples a step. critic_steps: steps of the critic for each of them.
        lr: learning rate of the generator. critic_lr: of the critic, None for the same; different ones are the two
            time scales of Heusel et al. (2017), arXiv 1706.08500.
        betas: of Adam.
        r1: gamma of the penalty on the critic's gradient at data, see `r1_penalty`.
        penalty: weight of the gradient penalty between data and fakes, see `gradient_penalty`; the paper takes 10.
        clip: largest weight of the critic after each of its steps, see `clip_weights`; None for no clipping.
        ema: decay of the moving average of the generator's weights, which it holds on return; 0 for none.
        decay: let both learning rates fall linearly to 0.
        watch: called with the step and the GAN (with averaged weights, in evaluation mode) every `watch_every` steps;
            a number that it returns goes to `history.watched`.
        seed: of the order of the data, noise, and dropout (torch's global generators are seeded with it).
        precision: "no" (that of the weights) or "bf16" (autocast; the losses of the scores keep theirs).
        checkpoints, resume: as in `training.fit`: what was stopped or killed goes on, on a CPU bit for bit.
        tracker: as in `training.fit`; it gets the losses.
        label: text of the progress bar.

    Returns:
        AdversarialHistory, with the terms "critic", "generator" and, if there is one, "penalty".

    Raises:
        NonFiniteLossError: a loss became NaN or infinite; its name is in the message, and the generator keeps its
            average, or without one the weights of the step before.
        ValueError: for an empty data set, settings outside their ranges, images outside of [-1, 1], or batch
            normalization in the critic together with a penalty on its gradient.

    Source:
        Goodfellow et al. (2014), arXiv 1406.2661, algorithm 1.
    """
    for name, value, ok in (("steps", steps, steps >= 1), ("batch_size", batch_size, batch_size >= 1),
                            ("critic_steps", critic_steps, critic_steps >= 1), ("lr", lr, lr > 0),
                            ("critic_lr", critic_lr, critic_lr is None or critic_lr > 0), ("r1", r1, r1 >= 0),
                            ("penalty", penalty, penalty >= 0), ("clip", clip, clip is None or clip > 0)):  # fmt: skip
        if not ok:
            raise ValueError(f"{name}={value} is out of range; see the documentation of fit_adversarial()")
    if (r1 or penalty) and batch_normalized(gan.critic):
        raise ValueError(
            "the critic has batch normalization, which makes each score depend on the whole batch: a penalty on the "
            "gradient of one example's score means nothing then; build the critic without it, or leave the penalty out"
        )
    objective = find_loss(loss) if isinstance(loss, str) else loss
    team = Processes()
    device = team.device
    home = next(gan.parameters()).device
    gan.to(device)
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    stream = ScaledBatches(data, batch_size, order, levels=gan.levels, team=team)
    critic, generator = gan.critic, gan.generator
    fused = device.type in ("cpu", "cuda")  # one call for all weights
    optimizers = (
        torch.optim.Adam(critic.parameters(), lr=critic_lr or lr, betas=betas, fused=fused),
        torch.optim.Adam(generator.parameters(), lr=lr, betas=betas, fused=fused),
    )

    def step() -> dict[str, Tensor]:
        terms = {}
        for k in range(critic_steps):
            x, y = next(stream)
            given = (y,) if gan.n_classes else ()
            noise = team.share(torch.randn(stream.size, gan.latents, device=device))
            with torch.set_grad_enabled(k == critic_steps - 1):  # only the last fakes are the generator's too
                fake = generator(noise, *given)
            real = critic(x.requires_grad_(bool(r1)), *given).float()
            terms["critic"] = objective.critic(real, critic(fake.detach(), *given).float())
            steepness = []
            if r1:
                steepness.append(r1_of_scores(real, x, r1))
            if penalty:
                eps = team.share(torch.rand(stream.size, device=device))
                steepness.append(penalty * gradient_penalty(critic, x, fake, eps, *given))
            if steepness:
                terms["penalty"] = sum(steepness)
            descend(optimizers[0], terms["critic"] + terms.get("penalty", 0.0), team)
            if clip is not None:
                clip_weights(critic, clip)
        with frozen(critic):
            terms["generator"] = objective.generator(critic(fake, *given).float())
            descend(optimizers[1], terms["generator"], team)
        return terms

    def seen(number: int) -> float | None:
        return None if watch is None else watch(number, gan)

    try:
        return alternate(
            step, gan, averaged=generator, optimizers=optimizers, steps=steps, ema=ema, decay=decay, watch=seen,
            watch_every=watch_every, label=label, sources={"data": stream}, checkpoints=checkpoints, resume=resume,
            team=team, precision=precision, tracker=tracker,
            settings={"batch_size": batch_size, "critic_steps": critic_steps, "lr": lr, "critic_lr": critic_lr,
                      "betas": betas, "r1": r1, "penalty": penalty, "clip": clip, "loss": _name_of(loss),
                      "seed": seed, "examples": len(data)},
        )  # fmt: skip
    finally:
        gan.to(home).eval()


def fit_cyclegan(
    model: CycleGAN,
    x_data: Dataset,
    y_data: Dataset,
    *,
    loss: str | GANLoss = "least_squares",
    steps: int = 1000,
    batch_size: int = 32,
    lr: float = 1e-3,
    critic_lr: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    lam: float | tuple[float, float] = 10.0,
    identity: float = 0.0,
    pairs: tuple[Tensor, Tensor] | None = None,
    paired: float = 10.0,
    pool: int = 50,
    ema: float = 0.0,
    decay: bool = False,
    watch: Callable[[int, CycleGAN], float | None] | None = None,
    watch_every: int = 100,
    seed: int = 0,
    precision: str = "no",
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    tracker: Tracker | None = None,
    label: str = "training",
) -> AdversarialHistory:
    """Train two translators and their critics in place, on two data sets between which there are no pairs.

    Each step translates a batch of each domain, moves the translators (their critics' weights need no gradient, so none
    is computed), then shows the critics the same fakes, or older ones from a pool. Every image is translated once and
    back once.

    Args:
        model: see `CycleGAN`; it trains on the device that Accelerate finds and returns to its own, in evaluation mode.
        x_data, y_data: examples (x, class), whose classes are not looked at: LongTensor images of the model's levels,
            which are scaled to [-1, 1], or floats in [-1, 1]. Each is shuffled by itself.
        loss: a name of `adversarial.losses.LOSSES`, or a pair of functions of scores; the paper takes least squares.
        steps, batch_size, ema, decay, watch_every, precision, checkpoints, resume, tracker, label: see
            `fit_adversarial`; averaged are both translators.
        lr: learning rate of the translators. critic_lr: of the critics, None for the same. betas: of Adam.
        lam: weight of the cycle loss; the paper takes 10. A pair weighs x -> y -> x and y -> x -> y apart.
        identity: weight of the identity loss; the paper takes half of lam for paintings.
        pairs: a few pairs (x, y) of floats in [-1, 1], if there are any: |G(x) - y| + |F(y) - x| is added, on all of
            them in each step. paired: its weight.
        pool: images of each domain that are kept for the critics, 0 for none; the paper takes 50.
        watch: called with the step and the model every `watch_every` steps.
        seed: of the order of both data sets and of the pools (torch's global generators are seeded with it).

    Returns:
        AdversarialHistory, with the terms "critics", "adversarial", "cycle" and, if they are used, "identity" and
        "pairs", all without their weights.

    Raises:
        NonFiniteLossError: a loss became NaN or infinite; its name is in the message.
        ValueError: for settings outside their ranges, data that do not fit the model, or the identity loss between
            domains of different channel counts.

    Source:
        Zhu et al. (2017), arXiv 1703.10593, equations 1 to 3 and section 4.
    """
    there, back = lam if isinstance(lam, tuple) else (lam, lam)
    for name, value, ok in (("steps", steps, steps >= 1), ("batch_size", batch_size, batch_size >= 1),
                            ("lr", lr, lr > 0), ("critic_lr", critic_lr, critic_lr is None or critic_lr > 0),
                            ("lam", lam, min(there, back) >= 0), ("identity", identity, identity >= 0),
                            ("paired", paired, paired >= 0), ("pool", pool, pool >= 0)):  # fmt: skip
        if not ok:
            raise ValueError(f"{name}={value} is out of range; see the documentation of fit_cyclegan()")
    if identity:
        check_same_domain(model.shapes["x"], model.shapes["y"])
    objective = find_loss(loss) if isinstance(loss, str) else loss
    team = Processes()
    device = team.device
    home = next(model.parameters()).device
    model.to(device)
    torch.manual_seed(seed)
    streams = [
        ScaledBatches(data, batch_size, torch.Generator().manual_seed(2 * seed + k), levels=model.levels[d], team=team)
        for k, (d, data) in enumerate({"x": x_data, "y": y_data}.items())
    ]
    pools = {d: ImagePool(pool, torch.Generator().manual_seed(2 * seed + k)) for k, d in enumerate("xy")}
    if pairs is not None:
        pairs = _checked_pairs(model, *pairs, device)
    G, F, critics = model.G, model.F, model.critics
    fused = device.type in ("cpu", "cuda")  # one call for all weights
    optimizers = (
        torch.optim.Adam(model.translators.parameters(), lr=lr, betas=betas, fused=fused),
        torch.optim.Adam(critics.parameters(), lr=critic_lr or lr, betas=betas, fused=fused),
    )

    def step() -> dict[str, Tensor]:
        x, y = (next(stream)[0] for stream in streams)
        fakes = {"x": F(y), "y": G(x)}
        with frozen(critics):
            cycles = l1(F(fakes["y"]), x), l1(G(fakes["x"]), y)
            terms = {
                "adversarial": sum(objective.generator(critics[d](fakes[d]).float()) for d in "xy"),
                "cycle": sum(cycles),
            }
            total = terms["adversarial"] + there * cycles[0] + back * cycles[1]
            if identity:
                terms["identity"] = identity_loss(G, F, x, y)
                total = total + identity * terms["identity"]
            if pairs is not None:
                terms["pairs"] = l1(G(pairs[0]), pairs[1]) + l1(F(pairs[1]), pairs[0])
                total = total + paired * terms["pairs"]
            descend(optimizers[0], total, team)
        scores = {"x": (critics["x"](x), critics["x"](pools["x"](fakes["x"]))),
                  "y": (critics["y"](y), critics["y"](pools["y"](fakes["y"])))}  # fmt: skip
        terms["critics"] = sum(objective.critic(real.float(), fake.float()) for real, fake in scores.values())
        descend(optimizers[1], terms["critics"], team)
        return terms

    def seen(number: int) -> float | None:
        return None if watch is None else watch(number, model)

    try:
        return alternate(
            step, model, averaged=model.translators, optimizers=optimizers, steps=steps, ema=ema, decay=decay,
            watch=seen, watch_every=watch_every, label=label,
            sources={"x": streams[0], "y": streams[1], **{f"pool_{d}": pools[d] for d in "xy"}},
            checkpoints=checkpoints, resume=resume,
            team=team, precision=precision, tracker=tracker,
            settings={"batch_size": batch_size, "lr": lr, "critic_lr": critic_lr, "betas": betas, "lam": lam,
                      "identity": identity, "paired": paired, "pool": pool, "loss": _name_of(loss), "seed": seed,
                      "examples": [len(x_data), len(y_data)], "pairs": 0 if pairs is None else len(pairs[0])},
        )  # fmt: skip
    finally:
        model.to(home).eval()


def fit_vaegan(
    model: VAEGAN,
    data: Dataset,
    *,
    gamma: float = 1.0,
    variance: float = 1.0,
    loss: str | GANLoss = "non_saturating",
    steps: int = 1000,
    batch_size: int = 64,
    lr: float = 1e-3,
    critic_lr: float | None = None,
    betas: tuple[float, float] = (0.5, 0.99),
    r1: float = 0.0,
    ema: float = 0.0,
    decay: bool = False,
    watch: Callable[[int, VAEGAN], float | None] | None = None,
    watch_every: int = 100,
    seed: int = 0,
    precision: str = "no",
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    tracker: Tracker | None = None,
    label: str = "training",
) -> AdversarialHistory:
    """Train a VAE-GAN in place: encoder and decoder take a step, then the discriminator.

    Each loss is differentiated in the weights of its own player only (`backward(inputs=...)`): the adversarial term not
    in the encoder's, the reconstruction not in the discriminator's. Reconstructions and fresh images are made once.

    Args:
        model: see `VAEGAN`; it trains on the device that Accelerate finds and returns to its own, in evaluation mode.
        data: examples (x, y), LongTensor images of the model's levels, or floats in [-1, 1].
        gamma: weight of the reconstruction in the decoder's loss, see `vaegan_losses`.
        variance: of the features' likelihood N(features of the reconstruction, variance I), 1 in the paper; the
            reconstruction error is divided by it. The smaller, the more nats the code may spend.
        loss: a name of `adversarial.losses.LOSSES`, or a pair of functions of scores. Fakes are the reconstructions and
            as many images from the prior, together.
        steps, batch_size, lr, critic_lr, betas, decay, watch_every, seed, precision, checkpoints, resume, tracker,
            label: see `fit_adversarial`.
        r1: gamma of the penalty on the discriminator's gradient at data.
        ema: decay of the moving average of encoder and decoder, which hold it on return; 0 for none.
        watch: called with the step and the model every `watch_every` steps.

    Returns:
        AdversarialHistory, with the terms "prior", "reconstruction" (in features), "generator", "critic" and, if there
        is one, "penalty".

    Raises:
        NonFiniteLossError: a loss became NaN or infinite; its name is in the message.
        ValueError: for settings outside their ranges, or data that do not fit.

    Source:
        Larsen et al. (2016), arXiv 1512.09300, algorithm 1.
    """
    for name, value, ok in (("gamma", gamma, gamma >= 0), ("variance", variance, variance > 0),
                            ("lr", lr, lr > 0), ("r1", r1, r1 >= 0),
                            ("critic_lr", critic_lr, critic_lr is None or critic_lr > 0),
                            ("batch_size", batch_size, batch_size >= 1)):  # fmt: skip
        if not ok:
            raise ValueError(f"{name}={value} is out of range; see the documentation of fit_vaegan()")
    if r1 and batch_normalized(model.critic):
        raise ValueError(
            "the discriminator has batch normalization, and a penalty on the gradient of one example's score means "
            "nothing then; build it without, or leave r1 out"
        )
    objective = find_loss(loss) if isinstance(loss, str) else loss
    team = Processes()
    device = team.device
    home = next(model.parameters()).device
    model.to(device)
    torch.manual_seed(seed)
    stream = ScaledBatches(data, batch_size, torch.Generator().manual_seed(seed), levels=model.levels, team=team)
    encoder, decoder, critic = model.encoder, model.decoder, model.critic
    own = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    weights = {name: list(part.parameters()) for name, part in own.items()}
    fused = device.type in ("cpu", "cuda")  # one call for all weights
    optimizers = (
        torch.optim.Adam(own.parameters(), lr=lr, betas=betas, fused=fused),
        torch.optim.Adam(critic.parameters(), lr=critic_lr or lr, betas=betas, fused=fused),
    )

    def step() -> dict[str, Tensor]:
        x, _ = next(stream)
        mu, logvar = (t.float() for t in model.encode(x))
        noise, fresh = (team.share(torch.randn(stream.size, mu.shape[1], device=device)) for _ in range(2))
        images = decoder(torch.cat([mu + (0.5 * logvar).exp() * noise, fresh]))
        rebuilt = images[: len(x)]
        with torch.no_grad():
            target = critic.features(x).float()
        h = critic.features(rebuilt).float()
        terms = {"prior": model.prior_loss(mu, logvar), "reconstruction": feature_nll(target, h).mean() / variance}
        terms["generator"] = objective.generator(critic(images).float())
        if all(torch.isfinite(team.mean(value)) for value in terms.values()):
            optimizers[0].zero_grad(set_to_none=True)
            of_encoder = terms["prior"] + terms["reconstruction"]
            of_decoder = gamma * terms["reconstruction"] + terms["generator"]
            with team.autocast("no"):
                of_encoder.backward(inputs=weights["encoder"], retain_graph=True)
                of_decoder.backward(inputs=weights["decoder"])
            team.average_gradients(own.parameters())
            optimizers[0].step()
        real = critic(x.requires_grad_(bool(r1))).float()
        terms["critic"] = objective.critic(real, critic(images.detach()).float())
        if r1:
            terms["penalty"] = r1_of_scores(real, x, r1)
        descend(optimizers[1], terms["critic"] + terms.get("penalty", 0.0), team)
        return terms

    def seen(number: int) -> float | None:
        return None if watch is None else watch(number, model)

    try:
        return alternate(
            step, model, averaged=own, optimizers=optimizers, steps=steps, ema=ema, decay=decay, watch=seen,
            watch_every=watch_every, label=label, sources={"data": stream}, checkpoints=checkpoints, resume=resume,
            team=team, precision=precision, tracker=tracker,
            settings={"batch_size": batch_size, "gamma": gamma, "variance": variance, "lr": lr,
                      "critic_lr": critic_lr, "betas": betas, "r1": r1, "loss": _name_of(loss), "seed": seed,
                      "examples": len(data)},
        )  # fmt: skip
    finally:
        model.to(home).eval()


def alternate(
    step: Callable[[], dict[str, Tensor]],
    model: nn.Module,
    *,
    averaged: nn.Module,
    optimizers: tuple[torch.optim.Optimizer, ...],
    steps: int,
    ema: float,
    decay: bool = False,
    watch: Callable[[int], float | None] = lambda number: None,
    watch_every: int = 100,
    team: Processes | None = None,
    precision: str = "no",
    tracker: Tracker | None = None,
    sources: dict[str, object] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    settings: dict | None = None,
    label: str = "training",
) -> AdversarialHistory:
    """Take `steps` steps, each of which updates all players and returns its losses by name.

    Args:
        step: one step; called with the model in training mode.
        model: all players. averaged: the part that holds averaged weights on return, if ema is not 0.
        optimizers: whose learning rates fall linearly to 0, if `decay`.
        steps, ema, watch_every, label: see `fit_adversarial`. watch: called every `watch_every` steps, in evaluation
            mode and with averaged weights.
        team: the processes of the run; None for those that Accelerate finds. precision, tracker: see `fit_adversarial`.
        sources: what `step` draws from, by name, with `state()` and `resume(state)`: saved with the run.
        checkpoints, resume: see `training.fit`. settings: what a checkpoint must have in common with this run.

    Raises:
        NonFiniteLossError: a loss became NaN or infinite.
        ValueError: for settings outside their ranges, or a checkpoint that is damaged or belongs to other settings.
    """
    from garm_course.progress import progress

    if steps < 1 or watch_every < 1 or not 0 <= ema < 1:
        raise ValueError(f"expected steps >= 1, watch_every >= 1, ema in [0, 1), got {steps}, {watch_every}, {ema}")
    if precision not in ("no", "bf16"):
        raise ValueError(f'expected precision "no" or "bf16", got {precision!r}')
    team = team or Processes()
    settings = {
        **(settings or {}), "steps": steps, "ema": ema, "decay": decay, "watch_every": watch_every,
        "precision": precision, "processes": team.count, "model": description(model),
    }  # fmt: skip
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    average = {k: v.detach().clone() for k, v in averaged.state_dict().items()}
    history, sums, since = AdversarialHistory(), {}, 0
    saved = checkpoints.latest(settings) if checkpoints and resume else None
    if saved:
        tensors, record = saved
        model.load_state_dict(part("model", tensors))
        average = {k: v.to(average[k].device) for k, v in part("average", tensors).items()}
        for k, optimizer in enumerate(optimizers):
            load_optimizer_state(optimizer, part(f"optimizer{k}", tensors), record["groups"][k])
        for name, source in (sources or {}).items():
            source.resume(part(f"source_{name}", tensors))
        history = AdversarialHistory(**{**record["history"], "stopped": AdversarialHistory.stopped})
        history.terms = {name: [tuple(entry) for entry in entries] for name, entries in history.terms.items()}
        history.watched = [tuple(entry) for entry in history.watched]
        sums, since = record["sums"], record["since"]
        load_random_states(part("random", tensors))
    spent, spent_cpu = history.seconds, history.cpu_seconds
    began, began_cpu = time.perf_counter(), time.process_time()

    def clock() -> None:
        history.seconds = spent + time.perf_counter() - began
        history.cpu_seconds = spent_cpu + time.process_time() - began_cpu

    def save() -> None:
        if not team.main:
            return
        clock()
        tensors = {**prefixed("model", model.state_dict()), **prefixed("average", average)}
        groups = []
        for k, optimizer in enumerate(optimizers):
            moments, group = optimizer_state(optimizer)
            tensors |= prefixed(f"optimizer{k}", moments)
            groups.append(group)
        for name, source in (sources or {}).items():
            tensors |= prefixed(f"source_{name}", source.state())
        tensors |= prefixed("random", random_states())
        record = {"groups": groups, "history": asdict(history), "sums": sums, "since": since}
        checkpoints.save(history.steps, settings, tensors, record)

    model.train()
    try:
        with (
            progress(total=steps, initial=history.steps, label=label, unit="step", disable=not team.main) as bar,
            deferred_interrupt(enabled=checkpoints is not None and team.count == 1) as interrupt,
        ):
            for number in range(history.steps + 1, steps + 1):
                if decay:
                    for optimizer, peak in zip(optimizers, peaks, strict=True):
                        optimizer.param_groups[0]["lr"] = peak * (1 - (number - 1) / steps)
                with team.autocast(precision):
                    losses = step()
                terms = {name: team.mean(value).item() for name, value in losses.items()}
                for name, value in terms.items():
                    if not math.isfinite(value):
                        raise NonFiniteLossError(
                            f"the {name} loss became {value} at step {number}; the averaged weights of before are "
                            "kept. Lower the learning rates, or look at the data"
                        )
                _follow(average, averaged, ema, number)
                history.steps, since = number, since + 1
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value
                bar.update(1)
                if number % watch_every == 0 or number == steps:
                    for name, value in sums.items():
                        history.terms.setdefault(name, []).append((number, value / since))
                    sums, since = {}, 0
                    with lent_weights(averaged, average), torch.no_grad():
                        model.eval()
                        value = team.of_the_first(lambda number=number: watch(number))
                        if team.count > 1:  # it may have drawn, and all must go on drawing alike
                            load_random_states(team.of_the_first(random_states))
                        model.train()
                    if value is not None:
                        history.watched.append((number, float(value)))
                    if tracker is not None and team.main:
                        rates = {f"learning_rate/{k}": o.param_groups[0]["lr"] for k, o in enumerate(optimizers)}
                        tracker.log(number, {**history.newest(), **rates})
                    bar.set_postfix_str(", ".join(f"{name} {value:.3f}" for name, value in terms.items()))
                if checkpoints and (
                    number % (checkpoints.every or watch_every) == 0 or number == steps or interrupt.came
                ):
                    save()
                if interrupt.came:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        history.stopped = f"interrupted at step {history.steps}"
    finally:
        clock()
        averaged.load_state_dict(average)
        model.eval()
    return history


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, team: Processes) -> None:
    """One step of gradient descent on a loss, averaged over the processes; one that is not finite moves nothing."""
    if torch.isfinite(team.mean(loss)):
        optimizer.zero_grad(set_to_none=True)
        with team.autocast("no"):
            loss.backward()
        team.average_gradients(weight for group in optimizer.param_groups for weight in group["params"])
        optimizer.step()


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


class ScaledBatches(Batches):
    """Batches (x, y) without end, in a fresh order each epoch; levels are scaled to [-1, 1].

    Args:
        data: examples (x, y) that can be indexed with a list. size: examples a batch, at most all of them.
        order: of the examples. levels: of LongTensor images.
        team: the processes that share each batch, and the device of this one; None: a single one, on the CPU.

    Raises:
        ValueError: for an empty data set, or images outside of [-1, 1]. TypeError: for levels without their number.
    """

    def __init__(
        self, data: Dataset, size: int, order: torch.Generator, *, levels: int | None, team: Processes | None = None
    ):
        self.levels, self.device = levels, team.device if team else None
        super().__init__(data, size, order, rank=team.rank if team else 0, processes=team.count if team else 1)

    def _seed_of_workers(self) -> None:
        torch.empty((), dtype=torch.int64).random_()  # of a DataLoader without a generator: from the global one

    def _fetch(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        x, y = self.data[indices]
        if not x.is_floating_point():
            if self.levels is None:
                raise TypeError(f"expected floating-point examples, got {x.dtype}; build the model with levels")
            x = scale(x, self.levels)
        elif x.ndim == 4:
            check_scaled(x)
        return x.to(self.device), y.to(self.device)


def _checked_pairs(model: CycleGAN, x: Tensor, y: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    for d, images in (("x", x), ("y", y)):
        check_scaled(images)
        check_shape(images, model.shapes[d], f"pairs with images (B, {', '.join(map(str, model.shapes[d]))})")
    if len(x) != len(y):
        raise ValueError(f"expected as many x as y in pairs, got {len(x)} and {len(y)}")
    return x.to(device), y.to(device)


def _name_of(loss: str | GANLoss) -> str:
    return loss if isinstance(loss, str) else "functions"


def _follow(average: dict[str, Tensor], network: nn.Module, ema: float, number: int) -> None:
    """Move the average towards the weights; a young average forgets the random start."""
    rate = 1 - min(ema, number / (number + 10)) if ema else 1.0
    with torch.no_grad():
        for name, weight in network.state_dict().items():
            if weight.is_floating_point() and rate < 1:
                average[name].lerp_(weight, rate)
            else:
                average[name].copy_(weight)
