"""In which order three PixelRNNs compute the features of an image: pixel by pixel, row by row, diagonal by diagonal."""

import numpy as np

from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide

# name, step at which each pixel is computed, offsets of the pixels whose state it takes over
SCANS = {
    "GRU over pixels": (lambda h, w: np.arange(h * w).reshape(h, w), [(0, -1)]),
    "Row LSTM": (lambda h, w: np.repeat(np.arange(h), w).reshape(h, w), [(-1, -1), (-1, 0), (-1, 1)]),
    "Diagonal LSTM": (lambda h, w: np.add.outer(np.arange(h), np.arange(w)), [(0, -1), (-1, 0)]),
}


def scan_orders(height, width, *, step=3):
    """Show which pixels are computed at a time step in training, with a slider over the steps.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        height: of the image.
        width: of the image.
        step: time step of the first view, from 0.
    """
    if min(height, width) < 1:
        raise ValueError(f"expected a positive height and width, got {height} and {width}")
    last = height * width - 1
    if not 0 <= step <= last:
        raise ValueError(f"expected a step 0..{last}, got {step}")
    slide(
        "scan-orders",
        lambda at: scan_figure(height, width, at),
        lambda at: scan_caption(height, width, at),
        [Dial("time step", step, 0, last)],
    )


def scan_caption(height, width, step):
    """The picture in words."""
    parts = []
    for name, (order, _) in SCANS.items():
        steps = order(height, width)
        total, done = steps.max() + 1, int((steps <= step).sum())
        parts.append(f"{name} {done} of {height * width} pixels ({min(step + 1, total)} of {total} steps)")
    return f"After time step {step} (the first is 0): {', '.join(parts)}."


def scan_figure(height, width, step):
    """One image for each network: computed before, computed now, not yet; lines lead to the states that are read."""
    from matplotlib.patches import Rectangle

    with style():
        panel = 2.05
        tall = panel * height / width
        total = tall + 1.25
        fig = new_figure(WIDTH, total)
        title = wrap(f"Time step {step}: what can be computed at once", WIDTH - 0.3, TITLE, "bold")
        fig.text(0.1 / WIDTH, 1 - 0.1 / total, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, (name, (order, sources)) in enumerate(SCANS.items()):
            steps = order(height, width)
            left = 0.15 + k * (panel + 0.4)
            ax = fig.add_axes((left / WIDTH, 0.5 / total, panel / WIDTH, tall / total))
            ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
            ax.spines[:].set_visible(False)
            for (r, c), at in np.ndenumerate(steps):
                now, done = at == step, at < step
                face = palette["vermillion"] if now else "#9CC9E8" if done else "#F2F2F2"
                ax.add_patch(Rectangle((c - 0.5, r - 0.5), 1, 1, facecolor=face, edgecolor="white", lw=1.2))
                if now:
                    ax.plot(c, r, marker="o", ms=3.5, color="white", zorder=4)
                    for dr, dc in sources:
                        if 0 <= r + dr < height and 0 <= c + dc < width:
                            ax.plot([c + dc, c], [r + dr, r], color="black", lw=1.1, ls="-", zorder=3)
            count = steps.max() + 1
            ax.set_title(name, fontsize=LABEL, loc="left", pad=4)
            words = f"{int((steps <= step).sum())} of {height * width} pixels, {count} steps in all"
            ax.set_xlabel(words, fontsize=SMALL, loc="left", color=MUTED)
        key = "orange with a dot: computed now      blue: before      gray: later      lines: states that are read"
        fig.text(0.15 / WIDTH, 0.08 / total, key, fontsize=SMALL, color=MUTED, va="bottom")
    return fig
