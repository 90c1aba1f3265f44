"""Answers of lessons 03 to 05 that are wrong in one thing only: the hint begins with it."""

import pytest
import torch
import torch.nn.functional as F

from garm_course.exercises import get, grade


def right(name):
    return get(name).reference


def kept(name):
    """Masks that are made once, and set to kind B when that is asked for."""
    masks = {}

    def answer(*sizes):
        *sizes, kind = sizes
        mask = masks.setdefault(tuple(sizes), right(name)(*sizes, "A"))
        return mask.copy_(right(name)(*sizes, kind)) if kind == "B" else mask

    return answer


def overlapping(values, *start):
    values, (fill,) = values.clone(), start or (0,)
    axis = values.movedim(1 if start else 2, 0)
    axis[1:] = axis[:-1]
    axis[0] = fill
    return values


def naive_nll(logits, x, floor):
    return -(logits.softmax(-1).gather(-1, x[..., None])[..., 0] + floor).log().sum(1)


def with_scale(change):
    return lambda mean, log_scale, u, levels: right("logistic_levels")(mean, change(log_scale), u, levels)


WRONG = [
    ("shift_right", overlapping, "Values are overwritten"),
    (
        "shift_right",
        lambda x, s: torch.cat([torch.full_like(x[:, :1], 7), x[:, :-1]], 1),
        "All positions but the first",
    ),
    ("shift_right", lambda x, s: torch.cat([torch.full((len(x), 1), s), x[:, :-1]], 1), "The gray levels have become"),
    ("sequence_nll", lambda logits, x: naive_nll(logits, x, 1e-30), "An epsilon or a clamp"),
    ("sequence_nll", lambda logits, x: naive_nll(logits, x, 0), "For extreme logits"),
    ("sequence_nll", lambda logits, x: right("sequence_nll")(logits.float(), x).to(logits), "Right for small logits"),
    (
        "skew",
        lambda x: torch.where(right("skew")(torch.ones_like(x)) > 0, right("skew")(x), torch.nan),
        "The new places",
    ),
    ("conv_mask", kept("conv_mask"), "Right at first, wrong in a later call"),
    ("conv_mask", lambda k, kind: right("conv_mask")(min(k, 7), kind), "Right up to 7 x 7"),
    ("rgb_center_mask", kept("rgb_center_mask"), "Right at first, wrong in a later call"),
    ("rgb_center_mask", lambda i, o, kind: right("rgb_center_mask")(min(i, 15), min(o, 15), kind), "Right for a few"),
    ("down_shift", overlapping, "Rows are overwritten"),
    ("down_shift", lambda v: torch.cat([1e-3 + 0 * v[:, :, :1], v[:, :, :-1]], 2), "All rows but the first are right"),
    (
        "down_shift",
        lambda v: torch.cat([torch.zeros_like(v[:, :, :1]).float(), v[:, :, :-1]], 2),
        "Expected the dtype",
    ),
    (
        "gated_activation",
        lambda x: x.chunk(2, 1)[0].tanh() / (1 + (-x.chunk(2, 1)[1]).exp()),
        "The values are right, but",
    ),
    ("bin_log_masses", lambda x, m, s, n: right("bin_log_masses")(x, m, s.clamp(min=-7), n), "Right for wide bells"),
    ("bin_log_masses", lambda *args: right("bin_log_masses")(*args).clamp(min=-300), "Right for wide bells"),
    ("bin_log_masses", lambda *args: (right("bin_log_masses")(*args).exp() + 1e-5).log(), "A small number under"),
    (
        "channel_means",
        lambda m, k, x: m + k * F.pad(x[..., :2], (1, 0)),
        "Green lacks α x_R. Green must not contain β x_R.",
    ),
    ("channel_means", lambda m, k, x: right("channel_means")(m, -k, x), "The sign"),
    ("logistic_levels", with_scale(lambda s: s.clamp(min=-7)), "Right for wide bells"),
    ("logistic_levels", with_scale(lambda s: 1.1 * s), "It is right where the scale is almost 0"),
    (
        "logistic_levels",
        lambda m, s, u, n: right("logistic_levels")(m / 2, s, u, n),
        "It is wrong even where the scale is",
    ),
    ("logistic_levels", lambda m, s, u, n: right("logistic_levels")(m, s, u.clamp(1e-8), n), "Right for ordinary u"),
    (
        "logistic_levels",
        lambda m, s, u, n: right("logistic_levels")(m, s, u, 256).clamp(max=n - 1),
        "Right for 256 levels",
    ),
]


@pytest.mark.parametrize(("name", "answer", "start"), WRONG, ids=[f"{i}-{name}" for i, (name, *_) in enumerate(WRONG)])
def test_the_hint_begins_with_the_cause(name, answer, start):
    result = grade(name, answer)
    assert result.status == "not yet"
    assert result.hint.startswith(start)


@pytest.mark.parametrize("name", ["sequence_nll", "skew", "down_shift", "gated_activation", "channel_means"])
def test_a_batch_of_one_keeps_its_axes(name):
    hint = grade(name, lambda *args: right(name)(*args).squeeze()).hint
    assert "xpected the shape" in hint
