"""Two tokens on the wheel of one rotary pair: both turn with their places, and the angle between them stays."""

import math

from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide

FREQUENCY = 0.3  # radians a place
QUERY, KEY = (1.0, 0.35), (0.85, 0.2)  # length, angle at place 0


def rotary_wheel(query=9, key=5):
    """Show a query and a key, each turned by its place, with sliders over both places.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        query: place of the query in the first view, 0..20.
        key: place of the key in the first view, 0..20.
    """
    if not (0 <= query <= 20 and 0 <= key <= 20):
        raise ValueError(f"expected places 0..20, got {query} and {key}")
    slide(
        "rotary-wheel",
        wheel_figure,
        wheel_caption,
        [Dial("query at", query, 0, 20), Dial("key at", key, 0, 20)],
    )


def product(query, key):
    """The product of the query at one place with the key at another.

    >>> math.isclose(product(9, 5), product(14, 10))
    True
    """
    return QUERY[0] * KEY[0] * math.cos(QUERY[1] - KEY[1] + FREQUENCY * (query - key))


def wheel_caption(query, key):
    """The picture in words."""
    return (
        f"The query at place {query} and the key at place {key} are {query - key} places apart, and their product is "
        f"{product(query, key):.3f}, as at places {query + 5} and {key + 5}."
    )


def wheel_figure(query, key):
    """Left, both arrows at their places and, in gray, five places further; right, the product against the distance."""
    with style():
        height = 3.4
        fig = new_figure(WIDTH, height)
        title = wrap("Both turn with their places; the product keeps the distance only", WIDTH - 0.3, TITLE, "bold")
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0.3 / WIDTH, 0.25 / height, 2.6 / WIDTH, 2.6 / height))
        ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
        ax.axis("off")
        circle = [2 * math.pi * i / 120 for i in range(121)]
        ax.plot([math.cos(a) for a in circle], [math.sin(a) for a in circle], color="#BBBBBB", lw=1, ls="-")
        for further, colors in ((5, ("#AAAAAA", "#AAAAAA")), (0, (palette["vermillion"], palette["blue"]))):
            for (length, angle), place, color, name in (
                (QUERY, query, colors[0], "query"),
                (KEY, key, colors[1], "key"),
            ):
                turned = angle + FREQUENCY * (place + further)
                x, y = length * math.cos(turned), length * math.sin(turned)
                ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2})
                if not further:
                    ax.text(1.2 * x / length, 1.2 * y / length, name, ha="center", va="center", fontsize=LABEL,
                            color=color)  # fmt: skip
        right = fig.add_axes((3.6 / WIDTH, 0.55 / height, 3.3 / WIDTH, 2.25 / height))
        distances = [d / 4 for d in range(-80, 81)]
        right.plot(distances, [product(d, 0) for d in distances], color=palette["green"], ls="-")
        right.plot([query - key], [product(query, key)], marker="o", ms=9, mfc=palette["orange"], mec="black")
        right.set(xlim=(-20, 20), ylim=(-1, 1), xlabel="place of the query minus place of the key", ylabel="product")
        right.axhline(0, color="#BBBBBB", lw=0.8, ls="-", zorder=0)
        fig.text(0.1 / WIDTH, 0.06 / height, "gray: both five places further", fontsize=SMALL, color=MUTED)
    return fig
