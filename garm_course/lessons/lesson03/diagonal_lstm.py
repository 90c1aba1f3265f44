"""One direction of a Diagonal BiLSTM: all pixels of a diagonal in one step; equations (3.5) and (3.6)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelrnn import lstm_cell, skew, unskew
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def diagonal_lstm(gates: Tensor, above: Tensor, side: Tensor) -> Tensor:
    """An LSTM whose state at a pixel comes from the pixels above and to the left; the cell comes from the left.

    Args:
        gates: (B, 4h, H, W), input to state: output, forget, input gate and content, before their nonlinearities.
        above: (h, 4h), which multiplies the state of the pixel above.
        side: (h, 4h), which multiplies the state of the pixel to the left.

    Returns:
        (B, h, H, W), the states; outside of the image, states and cells are zero.

    >>> diagonal_lstm(torch.ones(1, 4, 2, 2), torch.zeros(1, 4), torch.zeros(1, 4))
    tensor([[[[0.3696, 0.5453],
              [0.3696, 0.5453]]]])
    """
    state = cell = gates.new_zeros(len(gates), gates.shape[2], len(above))  # (B, H, h)
    states = []
    for column in skew(gates).permute(3, 0, 2, 1):  # W + H - 1 of (B, H, 4h)
        state, cell = lstm_cell(column + _down(state) @ above + state @ side, cell)
        states.append(state)
    return unskew(torch.stack(states, -1).transpose(1, 2))


def _down(state: Tensor) -> Tensor:
    """Row r gets what row r - 1 had, the first row zeros."""
    return F.pad(state, (0, 0, 1, -1))


def _with(
    total: Callable = lambda column, state, above, side: column + _down(state) @ above + state @ side,
    cell_of: Callable = lambda cell: cell,
    step: Callable = lstm_cell,
    columns: Callable = lambda gates: skew(gates).permute(3, 0, 2, 1),
    finish: Callable = lambda states: unskew(torch.stack(states, -1).transpose(1, 2)),
    kept: Callable = lambda state, cell: state,
    start: Callable = lambda gates, above: gates.new_zeros(len(gates), gates.shape[2], len(above)),
) -> Callable:
    """An answer with another part."""

    def answer(gates: Tensor, above: Tensor, side: Tensor) -> Tensor:
        state = cell = start(gates, above)
        states = []
        for column in columns(gates):
            state, cell = step(total(column, state, above, side), cell_of(cell))
            states.append(kept(state, cell))
        return finish(states)

    return answer


def _by_pixels(from_above: Callable = lambda h, r, c: h[r, c + 1], cell: Callable = lambda c, r, k: c[r + 1, k]):
    """Pixel by pixel, as the layer is defined; one row and one column on either side stay zero."""

    def answer(gates: Tensor, above: Tensor, side: Tensor) -> Tensor:
        batch, _, height, width = gates.shape
        zero = gates.new_zeros(batch, len(above))
        h = {(r, k): zero for r in range(height + 1) for k in range(width + 2)}
        c = dict(h)
        for r in range(height):
            for k in range(width):
                total = gates[:, :, r, k] + from_above(h, r, k) @ above + h[r + 1, k] @ side
                h[r + 1, k + 1], c[r + 1, k + 1] = lstm_cell(total, cell(c, r, k))
        rows = [torch.stack([h[r + 1, k + 1] for k in range(width)], -1) for r in range(height)]
        return torch.stack(rows, 2)

    return answer


def _order(*places: int) -> Callable:
    """A cell that takes its four parts in another order."""
    return lambda gates, c: lstm_cell(torch.cat([gates.chunk(4, -1)[i] for i in places], -1), c)


def _by_concatenation(gates: Tensor, above: Tensor, side: Tensor) -> Tensor:
    """One product for both neighbors, and the LSTM written out."""
    batch, size, height, width = *gates.shape[:1], len(above), *gates.shape[2:]
    s, weight = skew(gates), torch.cat([above, side])
    h = c = gates.new_zeros(batch, height, size)
    out = []
    for k in range(width + height - 1):
        before = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
        o, f, i, g = (s[..., k].mT + torch.cat([before, h], 2) @ weight).split(size, 2)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        out.append(h.mT)
    return torch.stack([torch.stack([out[r + k][:, :, r] for k in range(width)], -1) for r in range(height)], 2)


def _both_ways(gates: Tensor, above: Tensor, side: Tensor) -> Tensor:
    return diagonal_lstm(gates, above, side) + diagonal_lstm(gates.flip(-1), above, side).flip(-1)


def _case(batch: int, size: int, height: int, width: int, seed: int, scale: float = 1) -> tuple[Tensor, Tensor, Tensor]:
    gates = scale * random(batch, 4 * size, height, width, seed=seed)
    return gates, random(size, 4 * size, seed=seed + 100), random(size, 4 * size, seed=seed + 200)


A = _case(2, 3, 4, 5, seed=1)

EXERCISE = Exercise(
    name="diagonal_lstm",
    lesson="03",
    reference=diagonal_lstm,
    rule="For each column of skew(gates): total = column + (state moved down by one row) @ above + state @ side; "
    "state, cell = lstm_cell(total, cell). Stack the states along a last axis and unskew.",
    probes=[
        same(*A),
        same(torch.ones(1, 4, 2, 2), torch.zeros(1, 4), torch.zeros(1, 4)),  # the example of the text
        same(*_case(3, 2, 5, 3, seed=2)),
        same(*(part.float() for part in _case(2, 4, 3, 3, seed=3))),
        edge(same(*_case(1, 3, 3, 4, seed=4)), "Right except for a single image: keep its axis."),
        edge(same(*_case(2, 3, 1, 4, seed=5)), "Right except for images of one row, where nothing is above."),
        edge(same(*_case(2, 3, 4, 1, seed=6)), "Right except for images of one column, where nothing is to the left."),
        edge(same(*_case(2, 3, 3, 4, seed=7, scale=400)), "Right except for gates of several hundred: use lstm_cell."),
        same(*A, grad=True),
    ],
    axes=("image", "feature", "row", "column"),
    rtol=1e-5,
    atol=1e-7,
    mistakes=[
        (
            _with(lambda column, state, above, side: column + state @ above + state @ side),
            "The state was not moved down: row r needs the state of row r - 1. Pad one row on top, cut the last one.",
        ),
        (
            _with(lambda column, state, above, side: column + F.pad(state, (0, 0, -1, 1)) @ above + state @ side),
            "The state was moved up: row r got the state of row r + 1, which is below.",
        ),
        (
            _with(lambda column, state, above, side: column + state.roll(1, 1) @ above + state @ side),
            "The state was rolled: the first row got the state of the last one. Nothing is above the first row: zeros.",
        ),
        (
            _with(lambda column, state, above, side: column + F.pad(state, (1, -1)) @ above + state @ side),
            "The features were moved, not the rows: F.pad counts axes from the end, so the rows are its second pair.",
        ),
        (
            _with(lambda column, state, above, side: column + F.pad(state, (0, 0, 0, 0, 1, -1)) @ above + state @ side),
            "The batch was moved: an image got the state of the image before it. Move along the rows.",
        ),
        (
            _with(lambda column, state, above, side: column + _down(state) @ above),
            "The pixel to the left is missing: add state @ side.",
        ),
        (
            _with(lambda column, state, above, side: column + state @ side),
            "The pixel above is missing: add the state moved down by one row, times above.",
        ),
        (
            _with(lambda column, state, above, side: column + _down(state) @ side + state @ above),
            "The two matrices are exchanged: above multiplies the state that was moved down, side the other one.",
        ),
        (
            _with(lambda column, state, above, side: column),
            "No state is read: each step needs the states of the step before, times above and side.",
        ),
        (
            _with(lambda column, state, above, side: _down(state) @ above + state @ side),
            "The gates are missing: add the column of skew(gates) to what the states contribute.",
        ),
        (_with(cell_of=_down), "The cell was moved down as well: it comes from the left, so it stays in its row."),
        (_with(cell_of=torch.zeros_like), "The cell starts from zero in every step: hand it on to the next one."),
        (_with(kept=lambda state, cell: cell), "These are the cells: collect the states, the first result."),
        (
            _with(step=lambda total, cell: lstm_cell(total, cell)[::-1]),
            "State and cell are exchanged: lstm_cell returns the state first.",
        ),
        (
            _with(step=_order(3, 1, 0, 2)),
            "The parts were taken as input, forget, content, output, the order of torch. Here they are o, f, i, g.",
        ),
        (
            _with(
                columns=lambda gates: gates.permute(3, 0, 2, 1),
                finish=lambda states: torch.stack(states, -1).transpose(1, 2),
            ),
            "The gates were not skewed: the step before then holds the pixel above and to the *left*, not above.",
        ),
        (
            _with(finish=lambda states: torch.stack(states, -1).transpose(1, 2)),
            "The result is still skewed, W + H - 1 wide: unskew it.",
        ),
        (
            _with(
                finish=lambda states: torch.stack(states, -1).transpose(1, 2)[
                    ..., : len(states) + 1 - states[0].shape[1]
                ]
            ),
            "The skewed result was cut to W columns: unskew moves every row back to its place.",
        ),
        (
            _with(finish=lambda states: unskew(torch.stack(states, -1))),
            "Rows and features are exchanged before unskew: it wants (B, h, H, W + H - 1).",
        ),
        (
            _with(columns=lambda gates: skew(gates).permute(3, 0, 2, 1).flip(0)),
            "The columns were read from the right: the first one holds the corner pixel, which comes first.",
        ),
        (
            _by_pixels(from_above=lambda h, r, k: h[r, k + 2]),
            "This reads the pixel above and to the right: read the one directly above.",
        ),
        (_both_ways, "Both directions were added. This function is one of them, from the left."),
        (
            _with(start=lambda gates, above: torch.zeros(len(gates), gates.shape[2], len(above))),
            "The zeros that you start from are float32: gates.new_zeros(...) has the dtype of the gates.",
        ),
    ],
    accepts=[_with(), _by_pixels(), _by_concatenation],
    speed=Speed(lambda: (torch.randn(8, 64, 16, 16), torch.randn(16, 64), torch.randn(16, 64))),
)
