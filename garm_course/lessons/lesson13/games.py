"""The game of a GAN on a line: the data's density, what the generator draws, and the discriminator's curve between."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from garm_course.show.figures import (
    LABEL,
    LINE_STYLES,
    SMALL,
    TITLE,
    WIDTH,
    as_array,
    new_figure,
    palette,
    show_figure,
    style,
    wrap,
)
from garm_course.show.sliders import Dial, slide


class GameFrame(NamedTuple):
    """One moment of a game on a line, at equally spaced points x.

    Attributes:
        step: of the training.
        x: (M,) points, the middles of bins.
        p: (M,) density of the data, at least 0.
        g: (M,) density of what is generated, at least 0.
        d: (M,) the discriminator, in [0, 1].
    """

    step: int
    x: np.ndarray
    p: np.ndarray
    g: np.ndarray
    d: np.ndarray

    @property
    def best(self):
        """(M,) the best discriminator p / (p + g); NaN where neither has any density."""
        total = self.p + self.g
        return np.divide(self.p, total, out=np.full_like(total, np.nan), where=total > 1e-3 * total.max())

    @property
    def overlap(self):
        """The share of probability that both have in common, in [0, 1]: 1 minus the total variation."""
        return float(np.minimum(self.p, self.g).sum() * (self.x[1] - self.x[0]))


def game(frames, *, alt, title=None, xlabel="x", display_id=None):
    """Show moments of a game side by side, four at most.

    Args:
        frames: mapping from the title of a panel to a `GameFrame`, or a list of frames, named by their steps.
        alt: alternative text, also the caption.
        title: the finding, above the panels.
        xlabel: what is on the horizontal axis.

    Raises:
        ValueError: without frames, with more than four, or for what is no frame.
    """
    show_figure(game_figure(frames, title=title, xlabel=xlabel), alt, display_id=display_id)


def game_figure(frames, *, title=None, xlabel="x"):
    """The figure that `game` shows; arguments as there."""
    n = len(frames)
    if not 1 <= n <= 4:
        raise ValueError(f"expected one to four frames, got {n}; choose some")
    if not isinstance(frames, Mapping):
        frames = {f"step {_check(frame).step:,}": frame for frame in frames}
    frames = {name: _check(frame) for name, frame in frames.items()}
    cols = 1 if n == 1 else 2
    rows = -(-n // cols)
    highest = 1.12 * max(max(f.p.max(), min(f.g.max(), 2 * f.p.max())) for f in frames.values())
    with style():
        title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
        head = 0.12 + 0.24 * (title.count("\n") + 1) * bool(title) + 0.3
        left, right, between, tall, above, below = 0.7, 0.6, 0.85, 1.65, 0.28, 0.5
        wide = (WIDTH - left - right - between * (cols - 1)) / cols
        height = head + rows * (above + tall) + (rows - 1) * 0.3 + below
        fig = new_figure(WIDTH, height)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        handles = {}
        for k, (name, frame) in enumerate(frames.items()):
            row, col = divmod(k, cols)
            across, up = left + col * (wide + between), height - head - (row + 1) * (above + tall) - row * 0.3
            ax = fig.add_axes((across / WIDTH, up / height, wide / WIDTH, tall / height))
            probability = ax.twinx()
            bin_width = frame.x[1] - frame.x[0]
            bars = ax.bar(frame.x, frame.g, width=bin_width, color=palette["sky"], linewidth=0)
            [data] = ax.plot(frame.x, frame.p, color=palette["blue"], ls="-")
            [best] = probability.plot(frame.x, frame.best, color=palette["black"], ls=LINE_STYLES[2], lw=1.6)
            [found] = probability.plot(frame.x, frame.d, color=palette["vermillion"], ls=LINE_STYLES[1])
            handles = {"data p": data, "generated g": bars, "discriminator D": found, "best D* = p / (p + g)": best}
            ax.set(xlim=(frame.x[0] - bin_width / 2, frame.x[-1] + bin_width / 2), ylim=(0, highest))
            probability.set(ylim=(-0.02, 1.02), yticks=(0, 0.5, 1))
            probability.spines["right"].set_visible(True)
            ax.tick_params(labelsize=SMALL)
            probability.tick_params(labelsize=SMALL)
            ax.locator_params(axis="y", nbins=4)
            if col == 0:
                ax.set_ylabel("density")
            if col == cols - 1 or k == n - 1:
                probability.set_ylabel("D")
            if row == rows - 1 or k + cols >= n:
                ax.set_xlabel(xlabel)
            fig.text(across / WIDTH, (up + tall + 0.06) / height, name, fontsize=LABEL, fontweight="bold", va="bottom")
        anchor = (0.08 / WIDTH, 1 - (head - 0.3) / height)
        fig.legend(list(handles.values()), list(handles), loc="upper left", bbox_to_anchor=anchor, ncols=4,
                   fontsize=SMALL, frameon=False, borderaxespad=0, handlelength=2.2, columnspacing=1.4)  # fmt: skip
    return fig


def game_steps(frames, *, start=0, xlabel="x"):
    """Step through a game with a slider, one frame at a time.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        frames: list of at least two `GameFrame`, in the order of their steps.
        start: index of the frame in the first view.
        xlabel: what is on the horizontal axis.

    Raises:
        ValueError: for fewer than two frames, what is no frame, or a start outside of them.
    """
    frames = [_check(frame) for frame in frames]
    if len(frames) < 2 or not 0 <= start < len(frames):
        raise ValueError(f"expected at least two frames and a start among them, got {len(frames)} and start={start}")

    def figure(k):
        return game_figure([frames[k]], xlabel=xlabel)

    def caption(k):
        frame = frames[k]
        known = np.isfinite(frame.best)
        off = np.abs(frame.d - frame.best)[known].mean()
        return (
            f"Step {frame.step:,}: data and generated density share ≈ {100 * frame.overlap:.0f} % of their "
            f"probability; the discriminator is ≈ {off:.2f} from the best one, on average over the points where either "
            "has density."
        )

    slide("game-steps", figure, caption, [Dial("frame", start, 0, len(frames) - 1)])


def _check(frame):
    if not isinstance(frame, GameFrame):
        raise ValueError(f"expected a GameFrame(step, x, p, g, d), got {type(frame).__name__}")
    arrays = {name: as_array(getattr(frame, name)).astype(float) for name in ("x", "p", "g", "d")}
    m = len(arrays["x"]) if arrays["x"].ndim == 1 else 0
    if m < 2 or any(a.shape != (m,) or not np.isfinite(a).all() for a in arrays.values()):
        raise ValueError("expected x, p, g and d as finite numbers (M,) of one length, at least 2")
    if min(arrays["p"].min(), arrays["g"].min(), arrays["d"].min()) < 0 or arrays["d"].max() > 1:
        raise ValueError("expected densities p and g of at least 0, and a discriminator d in [0, 1]")
    return frame._replace(**arrays)


def orbit(play, *, gamma=0.0, high=2.0):
    """Turn up the brake on a game of two numbers and watch its path: a circle, a spiral, a slow approach.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        play: function from gamma to the path, a list of pairs (theta, psi), at least two.
        gamma: in the first view.
        high: end of the slider, which starts at 0.

    Raises:
        ValueError: for a gamma outside of the slider, or a path that is none.
    """
    if not 0 <= gamma <= high:
        raise ValueError(f"expected gamma in 0..{high:g}, got {gamma}")

    def caption(value):
        path = _path(play(value))
        first, last = (float(np.hypot(*path[k])) for k in (0, -1))
        return (
            f"gamma {value:.1f}: from a distance of {first:.2f} to the solution, "
            f"{len(path) - 1} steps lead to {last:.3f}."
        )

    slide("orbit", lambda value: orbit_figure(play(value)), caption, [Dial("gamma", float(gamma), 0.0, high, 0.1)])


def orbit_figure(path, *, title=None):
    """One path of `orbit`: in the plane of both players, and its distance from (0, 0) over the steps."""
    path = _path(path)
    reach = 1.15 * max(1e-9, np.abs(path).max())
    with style():
        title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
        head = 0.15 + 0.24 * (title.count("\n") + 1) * bool(title)
        side, below, left = 2.6, 0.55, 0.75
        height = head + side + below
        fig = new_figure(WIDTH, height)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        plane = fig.add_axes((left / WIDTH, below / height, side / WIDTH, side / height))
        plane.axhline(0, color=palette["black"], lw=0.6, ls="-")
        plane.axvline(0, color=palette["black"], lw=0.6, ls="-")
        plane.plot(*path.T, color=palette["blue"], lw=1.4, ls="-")
        plane.plot(*path[0], marker="o", ms=8, mfc="white", mec=palette["blue"], ls="")
        plane.plot(*path[-1], marker="D", ms=7, color=palette["vermillion"], mec="white", ls="")
        plane.set(
            xlim=(-reach, reach), ylim=(-reach, reach), xlabel=r"generator $\theta$", ylabel=r"discriminator $\psi$"
        )
        across = left + side + 0.85
        time = fig.add_axes((across / WIDTH, below / height, 1 - (across + 0.2) / WIDTH, side / height))
        time.plot(np.hypot(*path.T), color=palette["blue"], ls="-")
        time.plot(len(path) - 1, np.hypot(*path[-1]), marker="D", ms=7, color=palette["vermillion"], mec="white", ls="")
        time.set(xlim=(0, len(path) - 1), ylim=(0, 1.15 * np.hypot(*path.T).max()), xlabel="step")
        time.set_ylabel("distance from the solution")
        for ax in (plane, time):
            ax.tick_params(labelsize=SMALL)
            ax.locator_params(nbins=5)
    return fig


def _path(path):
    found = as_array(path).astype(float)
    if found.ndim != 2 or found.shape[1] != 2 or len(found) < 2 or not np.isfinite(found).all():
        raise ValueError(f"expected a path of at least two pairs of finite numbers, got shape {found.shape}")
    return found
