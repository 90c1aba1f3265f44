"""Everything that a run needs to go on as if it had never stopped, as a copy; equation (20.6)."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from garm_course.exercises.edges import edge
from garm_course.exercises.registry import Exercise, Speed, same


def checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """A snapshot of a run between two steps, which later steps leave as it is.

    Args:
        model: any network.
        optimizer: of its parameters.

    Returns:
        "model" and "optimizer", the two state dictionaries, and "rng", torch's random state on the CPU.

    >>> net = nn.Linear(2, 1)
    >>> sorted(checkpoint(net, torch.optim.Adam(net.parameters())))
    ['model', 'optimizer', 'rng']
    """
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return {**copy.deepcopy(state), "rng": torch.get_rng_state()}


def _network(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network with statistics and dropout, and an optimizer with memory."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1)).double()
    return net, torch.optim.Adam(net.parameters(), lr=0.02 * (seed + 1))


def _train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> Tensor:
    """Steps on batches that torch's global random state draws; (steps,) losses, in millionths."""
    losses = []
    for _ in range(steps):
        x = torch.randn(6, 3, dtype=torch.float64)
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(1e6 * loss.detach())
    return torch.stack(losses) if losses else torch.zeros(0, dtype=torch.float64)


def _saved(answer: Callable, before: int) -> tuple[tuple, dict]:
    """A run, and its snapshot after some steps."""
    run = _network(0)
    _train(*run, before)
    return run, answer(*run)


def _resumed(answer: Callable, before: int, after: int) -> Tensor:
    """Save, go on, then let another network go on from the snapshot: the losses of the latter."""
    run, state = _saved(answer, before)
    _train(*run, after)
    other, optimizer = _network(1)
    other.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    return _train(other, optimizer, after)


def _undisturbed(answer: Callable, before: int, after: int) -> Tensor:
    """The losses of the run that was saved and went on."""
    run, _ = _saved(answer, before)
    return _train(*run, after)


def _numbers(part: object) -> object:
    """All tensors of a state in one, or in words what stands in place of a state."""
    if isinstance(part, Tensor):
        return part.detach().double().flatten()
    if not isinstance(part, dict):
        return f"a {type(part).__name__}"
    found = [_numbers(value) for value in part.values() if isinstance(value, dict | Tensor)]
    return torch.cat([f for f in found if isinstance(f, Tensor)] or [torch.zeros(0, dtype=torch.float64)])


def _parts(answer: Callable, before: int) -> dict[str, object]:
    """The numbers of each part of a snapshot."""
    state = _saved(answer, before)[1]
    return {name: _numbers(state[name]) if name in state else "nothing" for name in ("model", "optimizer", "rng")}


def _same_twice(answer: Callable, before: int) -> list[bool]:
    """Whether the network is still in training, and whether its gradients are still there."""
    run, _ = _saved(answer, before)
    return [run[0].training, all(p.grad is not None for p in run[0].parameters())]


def _with(
    model: Callable = lambda m: copy.deepcopy(m.state_dict()),
    optimizer: Callable = lambda o: copy.deepcopy(o.state_dict()),
    rng: Callable = torch.get_rng_state,
    after: Callable = lambda m, o: None,
):
    """An answer with another part, or something done beside it."""

    def answer(m: nn.Module, o: torch.optim.Optimizer) -> dict:
        state = {"model": model(m), "optimizer": optimizer(o), "rng": rng()}
        after(m, o)
        return state

    return answer


def _without(name: str):
    def answer(m: nn.Module, o: torch.optim.Optimizer) -> dict:
        return {key: value for key, value in checkpoint(m, o).items() if key != name}

    return answer


def _seeded() -> Tensor:
    torch.manual_seed(0)
    return torch.get_rng_state()


def _drawn_first() -> Tensor:
    torch.rand(1)
    return torch.get_rng_state()


def _one_by_one(m: nn.Module, o: torch.optim.Optimizer) -> dict:
    state = dict(model=copy.deepcopy(m).state_dict(), step=3)
    state["optimizer"] = copy.deepcopy(o).state_dict()
    state["rng"] = torch.random.get_rng_state()
    return state


def _by_clone(m: nn.Module, o: torch.optim.Optimizer) -> dict:
    memory = o.state_dict()
    state = {i: {name: v.clone() for name, v in found.items()} for i, found in memory["state"].items()}
    groups = [dict(group) for group in memory["param_groups"]]
    return {
        "rng": torch.random.get_rng_state().clone(),
        "model": {name: t.detach().clone() for name, t in m.state_dict().items()},
        "optimizer": {"state": state, "param_groups": groups},
        "step": 7,
    }


def _fresh_optimizer(o: torch.optim.Optimizer) -> dict:
    return copy.deepcopy(type(o)([p for g in o.param_groups for p in g["params"]], lr=o.defaults["lr"]).state_dict())


def _no_counts(o: torch.optim.Optimizer) -> dict:
    state = copy.deepcopy(o.state_dict())
    for memory in state["state"].values():
        memory["step"].zero_()
    return state


def _own_rate(o: torch.optim.Optimizer) -> dict:
    state = copy.deepcopy(o.state_dict())
    for group in state["param_groups"]:
        group["lr"] = 1e-3
    return state


LIVE = "state_dict() gives the tensors that training goes on to change: copy them, as copy.deepcopy does."
EARLY = "Right except before the first step, when Adam has no moments yet: an empty state is saved as well."

EXERCISE = Exercise(
    name="checkpoint",
    lesson="20",
    reference=checkpoint,
    rule='A dictionary with "model" and "optimizer", deep copies of the two state_dict(), and "rng", '
    "torch.get_rng_state(); the run itself goes on as if nothing had been saved.",
    rtol=0.0,
    atol=1e-3,
    probes=[
        same(2, use=_parts),
        same(5, 4, use=_resumed),
        edge(
            same(2, use=_same_twice),
            "The snapshot is right, but the network is not as it was: leave its mode and its gradients alone.",
        ),
        same(3, 5, use=_undisturbed),
        same(9, 2, use=_resumed),
        edge(same(0, 3, use=_resumed), EARLY),
    ],
    mistakes=[
        (
            _with(lambda m: m.state_dict(), lambda o: o.state_dict()),
            "Nothing is copied: " + LIVE,
        ),
        (_with(model=lambda m: m.state_dict()), "The weights are not copied: " + LIVE),
        (_with(optimizer=lambda o: o.state_dict()), "The memory of the optimizer is not copied: " + LIVE),
        (
            lambda m, o: {"model": copy.deepcopy(m.state_dict())},
            "Only the weights are saved: Adam's moments and the random state are lost, and the run takes another way.",
        ),
        (_without("rng"), "The random state is missing: other batches and another dropout follow."),
        (
            _without("optimizer"),
            "The optimizer is missing: Adam starts again with no moments and with full first steps.",
        ),
        (_without("model"), "The weights are missing: save model.state_dict() as well."),
        (_with(rng=torch.initial_seed), "This is the seed that the run began with: save the state, get_rng_state()."),
        (_with(rng=_seeded), "The random numbers are seeded anew: that changes the run, and is not where it was."),
        (_with(rng=_drawn_first), "A number is drawn while saving: the run itself goes on with other random numbers."),
        (
            _with(after=lambda m, o: torch.rand(1)),
            "A number is drawn after the state was saved: the run that goes on differs from the one that resumes.",
        ),
        (_with(optimizer=_fresh_optimizer), "A new optimizer is saved: its moments are what makes the next step."),
        (
            _with(optimizer=lambda o: copy.deepcopy(o.state_dict()["state"])),
            "Only the moments are saved: load_state_dict wants the whole state_dict(), with its param_groups.",
        ),
        (
            _with(optimizer=_no_counts),
            "Adam's count of steps starts at 0 again, so its bias correction does, too.",
        ),
        (_with(optimizer=_own_rate), "The learning rate is replaced: keep the param_groups as they are."),
        (
            _with(lambda m: {name: p.detach().clone() for name, p in m.named_parameters()}),
            "Only parameters are saved: the running statistics of BatchNorm are buffers, which state_dict() has.",
        ),
        (
            _with(lambda m: {name: t.half() for name, t in copy.deepcopy(m.state_dict()).items()}),
            "The weights are rounded to half precision: a checkpoint keeps every bit.",
        ),
        (
            _with(lambda m: {name: t.float() for name, t in copy.deepcopy(m.state_dict()).items()}),
            "The weights are rounded to float32: a checkpoint keeps every bit.",
        ),
        (_with(model=copy.deepcopy), "The network itself is saved: its state_dict() is asked for."),
        (_with(optimizer=lambda o: o), "The optimizer itself is saved: its state_dict() is asked for."),
    ],
    accepts=[_one_by_one, _by_clone, _with()],
    speed=Speed(lambda: (5, 4), use=_resumed),
)
