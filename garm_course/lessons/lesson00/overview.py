"""The three families of the course in one figure: how a sample is made, what is optimized, what can be measured."""

import numpy as np

from garm_course.show.figures import (
    INK,
    LABEL,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    new_figure,
    palette,
    readable,
    show_figure,
    style,
)

ALT = (
    "Three families of generative models. Autoregressive: pixels are drawn one after another, each from a distribution "
    "given all before it; trained by exact log-likelihood; a sample of D pixels costs D passes. "
    "Variational autoencoder: a decoder turns noise z into an image, an encoder guesses z from an image; "
    "trained by a lower bound of the "
    "log-likelihood; one pass. Adversarial network: a generator turns noise z into an image, a discriminator tells "
    "images of the data from generated ones; no likelihood; one pass."
)


def families(*, alt=ALT, display_id=None):
    """Show how autoregressive models, variational autoencoders and adversarial networks differ."""
    show_figure(families_figure(), alt, display_id=display_id)


def families_figure():
    """The figure that `families` shows: one row per family, its mechanism at the left, the facts at the right."""
    height, row_height = 5.72, 1.9
    with style():
        fig = new_figure(WIDTH, height)
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDTH), ylim=(height, 0))  # inches from the upper left corner
        ax.axis("off")
        for row, (draw, color, name, note, facts) in enumerate(ROWS):
            top = 0.12 + row_height * row
            ink = readable(palette[color])
            ax.plot([0.12, 0.12], [top, top + 1.66], color=palette[color], lw=4, ls="-", solid_capstyle="butt")
            ax.text(0.26, top + 0.12, name, fontsize=TITLE, fontweight="bold", va="center", color=ink)
            draw(ax, top + 0.88, palette[color])
            ax.text(0.26, top + 1.58, note, fontsize=SMALL, va="center", color=MUTED)
            for down, (what, fact) in zip((0.12, 0.82, 1.32), facts, strict=True):
                ax.text(4.66, top + down, what, fontsize=SMALL, color=MUTED, va="center")
                ax.text(4.66, top + down + 0.11, fact, fontsize=LABEL, color=INK, va="top", linespacing=1.15)
            if row:
                ax.plot([0.12, WIDTH - 0.12], [top - 0.12] * 2, color="#D9D9D9", lw=0.8, ls="-")
    return fig


def _autoregressive(ax, y, color):
    names, xs, y = ["$x_1$", "$x_2$", "$x_3$", None, "$x_D$"], [0.52, 1.32, 2.12, 2.92, 3.72], y + 0.18
    for k, (x, name) in enumerate(zip(xs, names, strict=True)):
        for j in range(k - 1):  # every earlier pixel conditions every later one
            if None not in (names[j], name):
                _arrow(ax, (xs[j] + 0.08, y - 0.25), (x - 0.08, y - 0.25), color, bend=-0.25, width=1.0)
        if k:
            _arrow(ax, (xs[k - 1] + 0.26, y), (x - 0.26, y), color)
        if name is None:
            ax.text(x, y, "· · ·", fontsize=TITLE, ha="center", va="center", color=INK)
        else:
            _square(ax, x, y, 0.23)
            ax.text(x, y, name, fontsize=LABEL + 1, ha="center", va="center")


def _latent(ax, y, color):
    _noise(ax, 0.52, y)
    _network(ax, 2.05, y - 0.3, "decoder  $p(x|z)$", color, 0.72)
    _network(ax, 2.05, y + 0.3, "encoder  $q(z|x)$", color, 0.72)
    _picture(ax, 3.62, y, THREE)
    ax.text(3.98, y, "$x$", fontsize=LABEL + 1, va="center")
    _arrow(ax, (0.74, y - 0.13), (1.29, y - 0.3), color)
    _arrow(ax, (2.81, y - 0.3), (3.3, y - 0.13), color)
    _arrow(ax, (3.3, y + 0.13), (2.81, y + 0.3), color, dashed=True)
    _arrow(ax, (1.29, y + 0.3), (0.74, y + 0.13), color, dashed=True)


def _adversarial(ax, y, color):
    up, down = y - 0.2, y + 0.34
    _noise(ax, 0.52, up)
    _network(ax, 1.42, up, "generator", color, 0.44)
    _picture(ax, 2.4, up, ALMOST_THREE)
    _picture(ax, 2.4, down, THREE)
    ax.text(2.4, up - 0.34, "$G(z)$", fontsize=LABEL, ha="center", va="center")
    ax.text(2.08, down, "$x$, from the data", fontsize=LABEL, ha="right", va="center")
    _network(ax, 3.37, y + 0.07, "discriminator", color, 0.52)
    _arrow(ax, (0.77, up), (0.95, up), color)
    _arrow(ax, (1.89, up), (2.13, up), color)
    _arrow(ax, (2.64, up), (2.84, y - 0.02), color, dashed=True)
    _arrow(ax, (2.64, down), (2.84, y + 0.16), color, dashed=True)
    _arrow(ax, (3.92, y + 0.07), (4.02, y + 0.07), color, dashed=True)
    ax.text(4.05, y + 0.07, "real or\nfake?", fontsize=SMALL, va="center", linespacing=1.1)


ROWS = (
    (
        _autoregressive,
        "blue",
        "Autoregressive models",
        "drawn pixel by pixel, each given all before it",
        (
            ("maximizes", r"$\log p(x)=\Sigma_i\,\log p(x_i|x_1\dots x_{i-1})$"),
            ("likelihood", "exact"),
            ("a sample costs", "$D$ passes, one per pixel"),
        ),
    ),
    (
        _latent,
        "green",
        "Variational autoencoders",
        "solid: to draw an image;  dashed: in training only",
        (
            ("maximizes", "$E_q[\\log p(x|z)]$\n$-\\,\\mathrm{KL}(q(z|x)\\,\\Vert\\,p(z))$"),
            ("likelihood", "a lower bound of it"),
            ("a sample costs", "1 pass"),
        ),
    ),
    (
        _adversarial,
        "vermillion",
        "Adversarial networks",
        "solid: to draw an image;  dashed: in training only",
        (
            ("plays", "$\\mathrm{min}_G\\,\\mathrm{max}_D\\ E[\\log D(x)]$\n$+\\,E[\\log(1-D(G(z)))]$"),
            ("likelihood", "none that can be computed"),
            ("a sample costs", "1 pass"),
        ),
    ),
)


# An image of the data and one that a generator nearly got right: 8 x 8 pixels, 0 paper to 9 ink.
THREE = ["00379500", "09935990", "00000790", "00059500", "00038960", "00000790", "08605980", "01697400"]
ALMOST_THREE = ["00257300", "07900980", "00000880", "00457200", "00039930", "00100890", "07000560", "03997000"]


def _picture(ax, x, y, rows):
    ink = 1 - np.array([[int(digit) for digit in row] for row in rows]) / 10
    half = 0.24
    ax.imshow(ink, cmap="gray", vmin=0, vmax=1, extent=(x - half, x + half, y + half, y - half), zorder=2)
    ax.set(xlim=(0, WIDTH), ylim=(ax.figure.get_size_inches()[1], 0), aspect="auto")
    _square(ax, x, y, half)


def _square(ax, x, y, half):
    from matplotlib.patches import Rectangle

    ax.add_patch(
        Rectangle((x - half, y - half), 2 * half, 2 * half, fill=False, edgecolor=INK, linewidth=1.2, zorder=3)
    )


def _noise(ax, x, y):
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), 0.22, facecolor="#EDEDED", edgecolor=INK, linewidth=1.2))
    ax.text(x, y, "$z$", fontsize=LABEL + 1, ha="center", va="center")


def _network(ax, x, y, name, color, half):
    from matplotlib.patches import FancyBboxPatch

    corner = "round,pad=0,rounding_size=0.1"
    face = readable(color)  # white words on it
    ax.add_patch(FancyBboxPatch((x - half, y - 0.19), 2 * half, 0.38, boxstyle=corner, facecolor=face, linewidth=0))
    options = {"ha": "center", "va": "center_baseline", "fontsize": SMALL, "fontweight": "bold"}
    ax.text(x, y, name, color="white", **options)


def _arrow(ax, start, end, color, bend=0.0, dashed=False, width=1.6):
    from matplotlib.patches import FancyArrowPatch

    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>,head_length=4.5,head_width=2.4",
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=0,
            shrinkB=0,
            color=color,
            linewidth=width,
            linestyle=(0, (3, 1.6)) if dashed else "-",
        )
    )
