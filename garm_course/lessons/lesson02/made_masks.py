"""The masks that make a fully connected network autoregressive; equation (2.4).

Many choices of hidden degrees are right, at random or not. So the probes do not compare masks: they judge their form
(shapes, 0 and 1) and their *product*, which counts the paths from every input to every output.
"""

import itertools
from functools import partial

import torch
from torch import Tensor

from garm_course.autoregressive.made import made_masks
from garm_course.exercises.compare import kind_of
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed


def wiring(answer, D, hidden, order) -> tuple[str, Tensor, Tensor, Tensor]:
    """What is wrong with the form of the masks ("" if nothing), and what they connect.

    Returns:
        Text; (D, D) whether output d has a path from input j; (D,) the most inputs of output d that meet in one unit of
        the last hidden layer; (D + 1,) whether a unit of the first hidden layer has 0, 1, ..., D inputs.
    """
    masks = answer(D, hidden, order)
    nothing = torch.zeros(D, D), torch.zeros(D), torch.zeros(D + 1)
    if not isinstance(masks, (list, tuple)):
        return f"expected a list of tensors, one mask per layer, got {kind_of(masks)}", *nothing
    sizes = [D, *hidden, D]
    if len(masks) != len(sizes) - 1:
        layers = f"with {len(hidden)} hidden layers there are {len(sizes) - 1} layers of weights"
        return f"{layers}: expected {len(sizes) - 1} masks, got {len(masks)}", *nothing
    for k, (mask, n_in, n_out) in enumerate(zip(masks, sizes[:-1], sizes[1:], strict=True)):
        if not isinstance(mask, Tensor):
            return f"mask {k}: expected a torch.Tensor, got {kind_of(mask)}", *nothing
        if mask.shape != (n_out, n_in):
            got = f"expected the shape ({n_out}, {n_in}), units out by units in, got {tuple(mask.shape)}"
            return f"mask {k}: {got}", *nothing
        others = mask[(mask != 0) & (mask != 1)]
        if len(others):
            return f"mask {k}: expected numbers 0 and 1 only, got {others[0].item():g}", *nothing
    sees = [torch.eye(D)]  # of each layer: (units, D) whether the unit has a path from each input
    for mask in masks:
        sees.append((mask.float() @ sees[-1] > 0).float())
    meet = (masks[-1].float() * sees[-2].sum(1)).amax(1) if hidden else sees[-1].sum(1)
    first = (sees[1].sum(1)[:, None] == torch.arange(D + 1)).any(0).float()
    return "", sees[-1], meet, first


def wasted(answer, D, hidden, order) -> tuple[bool, bool]:
    """Whether a hidden unit is reached by no input, and whether one reaches no output."""
    masks = [mask.float() for mask in answer(D, hidden, order)]
    blind = idle = False
    sees, used = torch.ones(D), torch.ones(D)
    for k in range(len(hidden)):
        sees, used = (masks[k] @ sees > 0).float(), (used @ masks[-1 - k] > 0).float()
        blind, idle = blind or not sees.all(), idle or not used.all()
    return bool(blind), bool(idle)


def allowed(D: int, order: list[int] | None) -> Tensor:
    """(D, D): 1 where input j comes before output d in the order."""
    rank = torch.arange(D) if order is None else torch.tensor(order).argsort()
    return (rank[:, None] > rank).float()


def _form(attempt, *args) -> None:
    """For narrow layers, which may lose paths."""
    form = attempt.call(*args, use=lambda *args: wiring(*args)[0])
    attempt.require(not form, f"made_masks{args}: {form}.")


def _connects(attempt, *args) -> None:
    """For wide layers: causal, nothing is lost, and every unit is of use."""
    form, paths, meet, _ = attempt.call(*args, use=wiring)
    call, want = f"made_masks{args}", allowed(args[0], args[2])
    attempt.require(not form, f"{call}: {form}.")
    own = paths.diagonal().any()
    attempt.require(
        not own, f"{call}: expected no path from an input to its own output, got one: is the output mask strict (>)?"
    )
    attempt.require(
        not (paths > want).any(),
        f"{call}: an output has a path from an input that comes later in the order; expected none, got one.",
    )
    attempt.require(
        paths.sum() >= want.sum(),
        f"{call}: causal, but starved: an output has no path from an input that comes before it; expected one for "
        "every such pair, got fewer. Hidden masks compare with >=, and the degrees 1..D-1 must all occur.",
    )
    attempt.require(
        torch.equal(meet, want.sum(1)),
        f"{call}: the inputs of an output never meet in one hidden unit, so it cannot combine them; expected a unit "
        "that sees them all, got none. A hidden unit sees *all* degrees up to its own.",
    )
    blind, idle = attempt.call(*args, use=wasted)
    attempt.require(not idle, f"{call}: expected hidden units that some output sees, got one that none sees.")
    attempt.require(not blind, f"{call}: expected hidden units that see an input, got one that sees none.")


def _masks(
    D, hidden, order=None, *, inputs=None, outputs=None, within=torch.ge, out=torch.gt, degrees=None, low=1, high=0,
    of_order=lambda order: order.argsort(),
):  # fmt: skip
    """Masks from degrees, with one thing changed; the defaults are right: round robin, hidden >=, output >."""
    ranks = of_order(torch.arange(D) if order is None else torch.as_tensor(order)) + 1
    width = max(D - low + high, 1)
    layers = [ranks if inputs is None else inputs(D, ranks)]
    layers += [low + torch.arange(n) % width if degrees is None else degrees(n, D) for n in hidden]
    last = ranks if outputs is None else outputs(D, ranks)
    masks = [within(above[:, None], below) for below, above in itertools.pairwise(layers)]
    return [mask.float() for mask in (*masks, out(last[:, None], layers[-1]))]


def _wrong(**changes):
    return partial(_masks, **changes)


def _random(seed):
    def masks(D, hidden, order=None):
        g = torch.Generator().manual_seed(seed)
        return _masks(D, hidden, order, degrees=lambda n, D: torch.randint(1, max(D, 2), (n,), generator=g))

    return masks


def _by_lists(D, hidden, order=None):
    """Loops, degrees 0..D-1 for the inputs, boolean masks."""
    order = list(range(D)) if order is None else list(order)
    ranks = [order.index(j) for j in range(D)]
    layers = [ranks] + [[k % (D - 1) for k in range(n)] for n in hidden]
    masks = [torch.tensor([[a >= b for b in below] for a in above]) for below, above in itertools.pairwise(layers)]
    return [*masks, torch.tensor([[d > m for m in layers[-1]] for d in ranks])]


def _case(judge, *args):
    return lambda attempt: judge(attempt, *args)


def _all(above, below):
    return above > -below


CYCLE, MIX = [2, 0, 3, 1], [3, 1, 4, 0, 2]  # neither is its own inverse

EXERCISE = Exercise(
    name="made_masks",
    lesson="02",
    reference=made_masks,
    rule=(
        "Degrees: place in the order for inputs and outputs, 1..D-1 for hidden units. Hidden unit k sees j where "
        "m(k) >= m(j), output d sees j where m(d) > m(j). Masks are (units out, units in)."
    ),
    probes=[
        _case(_connects, 4, [60], None),
        _case(_connects, 5, [80, 70], None),
        _case(_connects, 4, [60], CYCLE),
        _case(_connects, 5, [70, 90, 80], MIX),
        _case(_connects, 6, [90], random(6, seed=1).argsort().tolist()),
        _case(_connects, 3, [], [1, 2, 0]),
        _case(_connects, 2, [9], None),
        _case(_connects, 2, [9, 8], [1, 0]),
        _case(_form, 3, [2], None),
        _case(_form, 6, [1, 3], [5, 2, 0, 4, 1, 3]),
    ],
    mistakes=[
        (
            _wrong(out=torch.ge),
            "The output mask uses >=, so x_i sees itself: an output of degree d may use hidden degrees below d only.",
        ),
        (
            _wrong(within=torch.gt),
            "The hidden masks use >, which is causal but starves: allowed inputs are lost (and the sum of p is still "
            "1). Use >= there, > at the output only.",
        ),
        (
            _wrong(within=torch.gt, out=torch.ge),
            "> and >= are swapped: hidden layers compare with >=, only the output with >.",
        ),
        (
            lambda D, hidden, order=None: [m.T for m in _masks(D, hidden, order)],
            "The masks are transposed: the weight of nn.Linear is (units out, units in), and so is its mask.",
        ),
        (
            _wrong(within=torch.le, out=torch.lt),
            "The comparisons point backwards, so every output sees the inputs that come after it: above >= below.",
        ),
        (
            _wrong(within=torch.le),
            "The hidden masks compare the wrong way around: a hidden unit sees degrees up to its own, m(k) >= m(j).",
        ),
        (
            _wrong(out=torch.lt),
            "The output mask compares the wrong way around: output d sees hidden degrees below its own, d > m.",
        ),
        (
            _wrong(within=torch.eq),
            "The hidden masks keep equal degrees only, so each hidden unit sees one input and combines none: use >=.",
        ),
        (
            _wrong(within=_all),
            "The hidden masks hide nothing, so every hidden unit has seen all inputs, its successors too.",
        ),
        (_wrong(out=_all), "The output mask hides nothing: every output sees all hidden units. It must be d > m."),
        (_wrong(within=_all, out=_all), "Nothing is masked: every output sees every input."),
        (
            _wrong(of_order=lambda order: torch.arange(len(order))),
            "The order is ignored: the degree of an input is its place in `order`, not its index.",
        ),
        (
            _wrong(of_order=lambda order: order),
            "order[0] is the *index* of the first input. Its degree is its place: the inverse permutation, "
            "torch.tensor(order).argsort() + 1.",
        ),
        (
            _wrong(of_order=lambda order: len(order) - 1 - order.argsort()),
            "The order is reversed: order[0] comes first and has the lowest degree.",
        ),
        (
            _wrong(outputs=lambda D, ranks: torch.arange(D) + 1),
            "The order is applied to the inputs but not to the outputs: output d has the degree of input d.",
        ),
        (
            _wrong(inputs=lambda D, ranks: torch.arange(D) + 1),
            "The order is applied to the outputs but not to the inputs: both have the same degrees.",
        ),
        (
            _wrong(degrees=lambda n, D: torch.ones(n, dtype=torch.long)),
            "All hidden degrees are 1, so only the first input gets through: use all of 1..D-1.",
        ),
        (
            _wrong(degrees=lambda n, D: torch.full((n,), D - 1)),
            "All hidden degrees are D-1, so only the last output sees anything: use all of 1..D-1.",
        ),
        (
            _wrong(high=-1),
            "No hidden unit has degree D-1, so the last output does not see its predecessor: use all of 1..D-1.",
        ),
        (
            _wrong(low=2),
            "No hidden unit has degree 1, so the second output sees nothing: use all of 1..D-1.",
        ),
        (
            _wrong(inputs=lambda D, ranks: ranks - 1, outputs=lambda D, ranks: ranks - 1),
            "Inputs count from 0 here and hidden degrees from 1: places are 1..D, torch.tensor(order).argsort() + 1.",
        ),
        (
            _wrong(low=0, high=-1),
            "Hidden degrees count from 0 here and places from 1: they are 1..D-1, 1 + torch.arange(n) % (D - 1).",
        ),
        (
            _wrong(high=1),
            "Causal and complete, but a hidden unit sees all D inputs, so no output may see it: degrees end at D-1, "
            "as in 1 + torch.arange(n) % (D - 1).",
        ),
        (
            _wrong(low=0),
            "Causal and complete, but a hidden unit has the degree 0, so it sees no input and is a mere bias: degrees "
            "begin at 1, as in 1 + torch.arange(n) % (D - 1).",
        ),
        (
            _wrong(degrees=lambda n, D: torch.arange(n)),
            "The hidden degrees are 0, 1, 2, ...: a unit of degree 0 sees nothing, and one of D or more is seen by no "
            "output. Go around, 1 + torch.arange(n) % (D - 1).",
        ),
        (
            _wrong(inputs=lambda D, ranks: ranks - 1),
            "The inputs count from 0 but the outputs from 1, so outputs see themselves: give both the same degrees.",
        ),
        (
            _wrong(outputs=lambda D, ranks: ranks - 1),
            "The outputs count from 0 but the inputs from 1: with >, each output then loses the input just before it.",
        ),
        (
            lambda D, hidden, order=None: _masks(D, hidden, order)[:-1],
            "The mask of the output layer is missing: one per layer of weights, the hidden layers and the output.",
        ),
        (
            lambda D, hidden, order=None: _masks(D, hidden, order)[::-1],
            "The masks are listed from the output backwards: the first is that of the input layer.",
        ),
        (
            lambda D, hidden, order=None: [torch.ones(D, D).tril(-1)],
            "One triangle (D, D) is the *product* of the masks: return one mask for each layer of weights.",
        ),
        (
            lambda D, hidden, order=None: [
                torch.ones(o, i).tril(-1 if k == len(hidden) else 0)
                for k, (i, o) in enumerate(itertools.pairwise([D, *hidden, D]))
            ],
            "Triangles of unequal sides waste units: with more units than inputs, compare degrees, not row numbers.",
        ),
        (
            lambda D, hidden, order=None: [1 - m for m in _masks(D, hidden, order)],
            "0 and 1 are swapped: 1 keeps a connection, because the mask multiplies the weight.",
        ),
    ],
    accepts=[
        _masks,
        _random(1),
        _random(2),
        _by_lists,
        lambda D, hidden, order=None: tuple(m.bool() for m in made_masks(D, hidden, order)),
        lambda D, hidden, order=None: made_masks(D, hidden, order, rng=torch.Generator().manual_seed(5)),
    ],
    speed=Speed(lambda: (784, [512, 512], None)),
)
