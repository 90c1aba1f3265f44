"""A ladder of models: negative log-likelihoods with standard errors, from the baselines down to the floor."""

import math
import re
from collections.abc import Mapping


def ladder(entries, *, baselines=None, floors=None, dims=None, unit="nats"):
    """Table of models from the worst to the best, with what each gains on the best baseline.

    Args:
        entries: mapping from a model's name to its figure: a number, a pair (nats, standard error), a mapping with
            "nats" and "stderr" (an entry of `results/`), or anything with `.nats` and `.stderr`.
        baselines: mapping from name to a figure of the same kinds.
        floors: mapping from name to a figure of the same kinds.
        dims: number of dimensions of an image; adds a column of bits per dimension, nats / (dims ln 2).
        unit: the unit of the figures.

    Returns:
        A `Ladder`: rendered as a table in a notebook, aligned text when printed.

    >>> ladder({"PixelCNN": (80.1, 0.5)}, baselines={"uniform": 181.3})
    model               nats         gain on uniform
    uniform (baseline)  181.3
    PixelCNN             80.1 ± 0.5  101.2
    """
    return Ladder(dict(entries), dict(baselines or {}), dict(floors or {}), dims, unit)


def table(header, rows):
    """Any table, in a notebook and as text.

    Args:
        header: names of the columns.
        rows: lists of strings, as many as there are columns.

    >>> table(["codes", "bits"], [["4 x 4", "96"], ["7 x 7", "294"]])
    codes  bits
    4 x 4   96
    7 x 7  294
    """
    return Table(header, rows, ["row"] * len(rows))


class Table:
    """Rows of cells; `str(...)` is aligned text, a notebook renders a table.

    Args:
        header: names of the columns.
        rows: lists of strings.
        kinds: per row "" for an entry (bold), or what it is else.
    """

    def __init__(self, header, rows, kinds):
        self.header, self.rows, self.kinds = header, rows, kinds

    def __str__(self):
        table = _align([self.header, *self.rows])
        return "\n".join("  ".join(cells).rstrip() for cells in table)

    __repr__ = __str__

    def _repr_markdown_(self):
        escape = [[re.sub(r"([|*_`$<])", r"\\\1", cell) for cell in row] for row in [self.header, *self.rows]]
        bold = [
            [f"**{cell}**" if cell and not kind else cell for cell in row[:2]] + row[2:]
            for row, kind in zip(escape[1:], self.kinds, strict=True)
        ]
        rule = ["---"] + ["---:"] * (len(self.header) - 1)
        return "\n".join(f"| {' | '.join(row)} |" for row in [escape[0], rule, *bold])


class Ladder(Table):
    """Rows of a ladder, from the worst to the best."""

    def __init__(self, entries, baselines, floors, dims, unit):
        kinds = (("baseline", baselines), ("", entries), ("floor", floors))
        found = [(kind, name, *_figure(name, figure)) for kind, group in kinds for name, figure in group.items()]
        if not entries:
            raise ValueError("expected at least one model in the ladder, got none")
        best = min((nats for kind, _, nats, _ in found if kind == "baseline"), default=None)
        header = ["model", unit]
        header += [f"gain on {min(baselines, key=lambda b: _figure(b, baselines[b])[0])}"] if baselines else []
        header += ["bits/dim"] if dims else []
        rows = []
        for kind, name, nats, stderr in sorted(found, key=lambda row: -row[2]):
            row = [f"{name} ({kind})" if kind else name, f"{nats:.1f}" + (f" ± {stderr:.1f}" if stderr else "")]
            if baselines:
                row.append("" if kind == "baseline" else f"{best - nats:.1f}")
            if dims:
                row.append(f"{nats / dims / math.log(2):.3f}")
            rows.append(row)
        super().__init__(header, rows, [kind for kind, *_ in sorted(found, key=lambda row: -row[2])])


def _figure(name, figure):
    if isinstance(figure, Mapping):
        figure = (figure["nats"], figure.get("stderr"))
    elif hasattr(figure, "nats"):
        figure = (figure.nats, getattr(figure, "stderr", None))
    elif not isinstance(figure, (tuple, list)):
        figure = (figure, None)
    nats, stderr = float(figure[0]), figure[1] and float(figure[1])
    if not math.isfinite(nats) or (stderr is not None and not (math.isfinite(stderr) and stderr >= 0)):
        raise ValueError(f"expected a finite figure with a standard error of at least 0 for {name!r}, got {figure}")
    return nats, stderr


def _align(table):
    """Pad the cells of every column: names to the left, figures so that their decimal points stand in one line."""
    padded = []
    for k, column in enumerate(zip(*table, strict=True)):
        if k and not any(cell[:1].isalpha() for cell in column[1:]):
            heads = [cell.partition(" ± ")[0] for cell in column[1:]]
            column = [
                column[0],
                *(" " * (max(map(len, heads)) - len(h)) + cell for h, cell in zip(heads, column[1:], strict=True)),
            ]
        width = max(map(len, column))
        padded.append([cell.ljust(width) for cell in column])
    return list(zip(*padded, strict=True))
