"""What every lesson is built on: seeds, budgets, and claims that are held against the numbers just measured.

A lesson claims a number in prose; its cell reports the number that was measured:

    report("validation NLL", nats, claimed=81.8, tolerance=1.5, unit="nats")
    validation NLL = 81.43 nats (claimed 81.8 ± 1.5: holds)

The last cell of a lesson, `claims()`, fails if one of them does not hold. Training differs by a percent between CPUs,
so the tests that compare stored outputs hide the measured figure behind " = " and compare everything around it; what is
behind " == " is the same on every machine, and compared.
"""

import math
import os
import platform
import random
import sys
from dataclasses import dataclass

import numpy as np
import torch

from garm_course import __version__

BUDGETS = ("smoke", "quick", "full")

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
# One line that `report` prints; the relation is "=" for a measured figure and "==" for one that is exact.
REPORT_PATTERN = (
    rf"^(?P<name>\S.*?) (?P<relation>==?) (?P<value>{_NUMBER})(?P<unit> [^()\n]+?)? \("
    rf"(?:claimed (?P<claimed>{_NUMBER})(?: ± (?P<tolerance>{_NUMBER}))?: (?P<verdict>holds|does NOT hold)"
    r"|(?P<skipped>claim skipped at budget smoke))\)$"
)


@dataclass(frozen=True)
class Claim:
    """One reported figure and what was claimed of it. `verdict` is "holds", "does NOT hold" or "skipped"."""

    name: str
    value: float
    claimed: float
    tolerance: float
    unit: str
    exact: bool
    verdict: str


_claims = {}  # name -> (Claim, run of the cell that reported it)
_guesses = {}  # name -> what the reader expected


def seed(n):
    """Seed the global random numbers of torch, numpy and random, and return a generator of torch seeded alike.

    Args:
        n: whole number 0..2**32 - 1.

    Returns:
        A `torch.Generator` on the CPU: what the library calls `rng`.

    >>> torch.rand(1, generator=seed(0)) == torch.rand(1, generator=seed(0))
    tensor([True])
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 2**32:
        raise ValueError(f"expected a seed that is a whole number 0..2**32 - 1, got {n!r}")
    torch.manual_seed(n)
    np.random.seed(n)  # noqa: NPY002  what a reader's own cell may use
    random.seed(n)
    return torch.Generator().manual_seed(n)


def budget_name():
    """The budget that the environment variable `GARM_BUDGET` names: smoke, quick (the default) or full."""
    name = os.environ.get("GARM_BUDGET", "").strip() or "quick"
    if name not in BUDGETS:
        raise ValueError(f"expected GARM_BUDGET to be one of {', '.join(BUDGETS)}, got {name!r}; unset it for quick")
    return name


def budget(*, smoke, quick, full):
    """Choose by budget: `smoke` is two steps of everything, `quick` a lesson in 40 s, `full` the real thing.

    >>> steps = budget(smoke=2, quick=600, full=6000)
    """
    return {"smoke": smoke, "quick": quick, "full": full}[budget_name()]


def report(name, value, *, claimed, tolerance, unit="", exact=False):
    """Print a measured figure beside the claim of the text, and remember it for `claims`.

    The claim holds if |value - claimed| <= tolerance. At budget smoke it is skipped: two steps of training prove
    nothing. Running a cell again replaces what it reported before.

    Args:
        name: what was measured; unique in a lesson.
        value: the measured figure, a number or a tensor of one element.
        claimed: the figure in the text.
        tolerance: what the spread over seeds and machines justifies, at least 0.
        unit: "nats", "bits/dim", "pixels", or nothing.
        exact: the figure is the same on every machine (a count, an enumeration): it is printed after `==`, and the
            tests compare it as well. Needs a tolerance of 0.

    Raises:
        ValueError: for a figure that is not finite, a negative tolerance, a name that cannot be printed in one line or
            that this cell has reported already.
    """
    value, claimed, tolerance = (_number(what, x) for what, x in _named(value, claimed, tolerance))
    if tolerance < 0 or (exact and tolerance):
        wanted = "of 0 for an exact claim" if exact else "of at least 0"
        raise ValueError(f"expected a tolerance {wanted} for {name!r}, got {tolerance}")
    _check_words(name, unit)
    cell = _cell()
    if name in _claims and cell is not None and _claims[name][1] == cell:
        raise ValueError(f"{name!r} is reported twice in this cell; give each figure its own name")
    if budget_name() == "smoke":
        verdict = "skipped"
    else:  # a hair more than the tolerance: 82.3 - 81.8 must not fail a tolerance of 0.5 in binary
        slack = 0 if exact else 1e-9 * max(abs(claimed), abs(tolerance))
        verdict = "holds" if abs(value - claimed) <= tolerance + slack else "does NOT hold"
    claim = Claim(name, value, claimed, tolerance, unit, exact, verdict)
    _claims.pop(name, None)
    _claims[name] = (claim, cell)
    print(_line(claim))
    if name in _guesses:
        print(f"  Your guess was {_short(_guesses[name])}: {_how_far(_guesses[name], claim)}.")


def guess(name, value=...):
    """Note what you expect of a figure, before it is measured: its `report` shows both. Nothing depends on it.

    Args:
        name: of the figure, as it will be reported.
        value: a number; `...` for no guess.

    >>> guess("NLL of a fair coin", 0.7)
    """
    if value is ...:
        _guesses.pop(name, None)
        return
    try:
        _guesses[name] = _number("guess", value)
    except ValueError as error:
        print(f"{error}. Write one number, as in guess({name!r}, 3.5)")


def claims():
    """Print all claims that were reported in this kernel; the last cell of every lesson.

    Measured figures differ a little between machines: they stand where they were reported and are not repeated.

    Raises:
        AssertionError: names the claims that do not hold.
    """
    found = [claim for claim, _ in _claims.values()]
    if not found:
        print("No claim was reported in this kernel: run the cells of the lesson first.")
        return
    rows = [("", "claimed", "measured, in its cell")]
    for c in found:
        spread = f" ± {_short(c.tolerance)}" if not c.exact else ""
        unit = f" {c.unit}" if c.unit else ""
        rows.append((c.name, f"{_short(c.claimed)}{spread}{unit}", c.verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    failed = [c.name for c in found if c.verdict == "does NOT hold"]
    if failed:
        raise AssertionError(f"{len(failed)} of {len(found)} claims do not hold: {', '.join(failed)}")
    skipped = sum(c.verdict == "skipped" for c in found)
    count = f"{len(found)} claim{'s' if len(found) > 1 else ''}"
    print(
        f"{count} skipped at budget smoke."
        if skipped
        else f"{count}: all hold."
        if len(found) > 1
        else "1 claim: holds."
    )


def forget_claims():
    """Forget all that was reported and guessed, as a new kernel would."""
    _claims.clear()
    _guesses.clear()


class Line(str):
    """Text that a notebook shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


def device_line():
    """One line on what a lesson runs on, for its first cell: versions, device, threads, budget."""
    threads = torch.get_num_threads()
    parts = [
        f"garm_course {__version__}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"{_device()}, {threads} thread{'s' if threads > 1 else ''}",
        f"budget {budget_name()}",
    ]
    return Line(" · ".join(parts))


def _device():
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "Apple GPU" if torch.backends.mps.is_available() else "CPU"


def _line(claim):
    relation = "==" if claim.exact else "="
    unit = f" {claim.unit}" if claim.unit else ""
    value = _short(claim.value) if claim.exact else _like(claim.value, claim.claimed, claim.tolerance)
    if claim.verdict == "skipped":
        words = "claim skipped at budget smoke"
    else:
        spread = "" if claim.exact else f" ± {_short(claim.tolerance)}"
        words = f"claimed {_short(claim.claimed)}{spread}: {claim.verdict}"
    return f"{claim.name} {relation} {value}{unit} ({words})"


def _how_far(guessed, claim):
    """A guess beside the measured figure, in words."""
    off = guessed - claim.value
    if abs(off) <= max(claim.tolerance, 0.05 * abs(claim.value)):
        return "close"
    if claim.value and 0.5 <= guessed / claim.value <= 2:
        return "a little too high" if off > 0 else "a little too low"
    return "too high" if off > 0 else "too low"


def _short(x):
    """A number as it was written in the source: 10, 81.8, 1e-06.

    >>> _short(10.0), _short(81.8), _short(1e-06)
    ('10', '81.8', '1e-06')
    """
    return str(int(x)) if x == int(x) and abs(x) < 1e15 else f"{x:.12g}"


def _like(value, claimed, tolerance):
    """A measured figure with one decimal more than the claim has: 81.43 for 81.8 ± 1.5."""
    written = [_short(claimed), _short(tolerance)]
    if any("e" in text for text in written) or (value and abs(value) < 1e-4):
        return f"{value:.3g}"
    return f"{value:.{1 + max(len(text.partition('.')[2]) for text in written)}f}"


def _named(value, claimed, tolerance):
    return (("measured figure", value), ("claimed figure", claimed), ("tolerance", tolerance))


def _number(what, x):
    try:
        if isinstance(x, str):
            raise TypeError
        x = float(x)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"expected a {what} that is one number, got {type(x).__name__} {x!r:.60}") from None
    if not math.isfinite(x):
        raise ValueError(f"expected a finite {what}, got {x}; look for a loss that diverged before you report it")
    return x


def _check_words(name, unit):
    if not isinstance(name, str) or not name.strip() or name != name.strip() or "\n" in name or " =" in name:
        raise ValueError(f"expected a name of one line without '=' and outer spaces, got {name!r}")
    if not isinstance(unit, str) or unit != unit.strip() or set(unit) & set("()\n"):
        raise ValueError(f"expected a unit such as 'nats', without parentheses, got {unit!r}")


def _cell():
    """Number of the run of the notebook's cell, None outside of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell.execution_count if shell else None
