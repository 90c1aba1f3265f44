"""A small masked network as a drawing: the paths from inputs to the output that is chosen on a slider light up.

Inputs and outputs hold the index of their pixel, with its place in the order beside them; hidden units hold their
degree.
"""

import numpy as np

from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide

MOST = 20  # units of a layer that can be told apart in a drawing
# What a unit can be to the chosen output: face, edge, and a text color that is read on the face.
LOOKS = {
    "target": ("black", "black", "white"),
    "on": (palette["blue"], palette["blue"], "white"),
    "leak": (palette["yellow"], "black", "black"),
    "off": ("white", "#8C8C8C", MUTED),
}


def made_paths(masks, *, order=None, degrees=None, output=None):
    """Show a masked network and every path from an input to one output, with a slider over the outputs.

    Squares are pixels, with their place in the order (1st, 2nd, ...) beside them; circles are hidden units. The first
    view is that of `output`. Without ipywidgets, and on a printed page, it stands by itself.

    Args:
        masks: one mask (units out, units in) of 0 and 1 for each layer of weights, from the input on.
        order: a permutation of 0..D-1, order[0] is the pixel drawn first; None is 0, 1, ..., D-1.
        degrees: one list of whole numbers for the inputs and for each hidden layer, written into the units.
        output: the pixel that is predicted in the first view; the middle one of the order by default.

    Raises:
        ValueError: for masks that do not fit together or are not of 0 and 1, or too many units to draw.
    """
    net = Wiring(masks, order=order, degrees=degrees)
    output = int(net.order[len(net.order) // 2]) if output is None else output
    if not 0 <= output < net.sizes[-1]:
        raise ValueError(f"expected an output 0..{net.sizes[-1] - 1}, got {output}")
    slide("made-paths", net.figure, net.caption, [Dial("output", output, 0, net.sizes[-1] - 1)])


class Wiring:
    """Which units of a masked network lie on a path from an input to an output: numbers and pictures of `made_paths`.

    Attributes:
        masks: bool arrays (units out, units in).
        sizes: units of each layer, inputs first.
        order: (D,) pixels in the order in which they are drawn.
    """

    def __init__(self, masks, order=None, degrees=None):
        arrays = [np.asarray(m.detach().cpu() if hasattr(m, "detach") else m) for m in masks]
        if not arrays or any(m.ndim != 2 or m.size == 0 for m in arrays):
            shapes = ", ".join(str(m.shape) for m in arrays) or "none"
            raise ValueError(f"expected one mask (units out, units in) for each layer of weights, got {shapes}")
        if not all(np.isin(m, (0, 1)).all() for m in arrays):
            raise ValueError("expected masks of 0 and 1, got other numbers; did you pass weights?")
        self.masks = [m.astype(bool) for m in arrays]
        self.sizes = [self.masks[0].shape[1], *(len(m) for m in self.masks)]
        for k, (below, m) in enumerate(zip(self.sizes, self.masks, strict=False)):
            if m.shape[1] != below:
                raise ValueError(f"mask {k} has {m.shape[1]} columns, but the layer before it has {below} units")
        if self.sizes[0] != self.sizes[-1]:
            raise ValueError(f"expected as many outputs as inputs, got {self.sizes[-1]} and {self.sizes[0]}")
        if max(self.sizes) > MOST:
            raise ValueError(f"expected at most {MOST} units in a layer, got {max(self.sizes)}; draw a smaller network")
        self.order = np.arange(self.sizes[0]) if order is None else np.asarray(order)
        if self.order.dtype.kind not in "iu" or not np.array_equal(np.sort(self.order), np.arange(self.sizes[0])):
            raise ValueError(f"expected order: each of 0..{self.sizes[0] - 1} exactly once, got {self.order.tolist()}")
        self.degrees = None if degrees is None else [[int(v) for v in layer] for layer in degrees]
        if self.degrees is not None and [len(layer) for layer in self.degrees] != self.sizes[:-1]:
            raise ValueError(f"expected degrees of {self.sizes[:-1]} units, got {[len(d) for d in self.degrees]}")

    def lit(self, output):
        """Units and connections on a path from an input to `output`.

        Returns:
            One bool array (units,) for each layer, and one (units out, units in) for each layer of weights.
        """
        reached = [np.ones(self.sizes[0], bool)]
        for m in self.masks:
            reached.append((m & reached[-1]).any(1))
        wanted = [np.arange(self.sizes[-1]) == output]
        for m in reversed(self.masks):
            wanted.insert(0, (m & wanted[0][:, None]).any(0))
        units = [a & b for a, b in zip(reached, wanted, strict=True)]
        return units, [m & units[k + 1][:, None] & units[k] for k, m in enumerate(self.masks)]

    def inputs(self, output):
        """Pixels seen by the output, in three lists: earlier in the order, earlier but not seen, and leaked."""
        seen = self.lit(output)[0][0]
        place = int(np.flatnonzero(self.order == output)[0])
        earlier = set(self.order[:place].tolist())
        found = set(np.flatnonzero(seen).tolist())
        return sorted(earlier & found), sorted(earlier - found), sorted(found - earlier)

    def caption(self, output):
        """The picture in words."""
        seen, missing, leaked = self.inputs(output)
        units, _ = self.lit(output)
        place = int(np.flatnonzero(self.order == output)[0]) + 1
        hidden = " and ".join(f"{int(u.sum())} of {len(u)}" for u in units[1:-1])
        through = f" through {hidden} hidden units" if hidden else ""
        words = (
            f"Paths to output {output}, number {place} of {len(self.order)} in the order {self.order.tolist()}: it "
            f"sees {_pixels(seen)}{through}"
        )
        if missing:
            words += f"; {_pixels(missing)} would be allowed, but no path leads from there"
        if leaked:
            words += f"; it must not see {_pixels(leaked)}, but a path leads from there"
        return words + "."

    def figure(self, output):
        """Layers from left to right; what is on a path to `output` is dark, all other connections are pale."""
        seen, missing, leaked = self.inputs(output)
        units, edges = self.lit(output)
        gap, tallest = 0.36, max(self.sizes)
        height = 0.75 + gap * tallest + 0.2 * (self.degrees is not None)
        place = _ordinal(int(np.flatnonzero(self.order == output)[0]) + 1)
        title = f"Order {', '.join(map(str, self.order))}: output {output}, the {place}, sees {_pixels(seen)}"
        title += f" and, wrongly, {_pixels(leaked)}" if leaked else ""
        if missing:
            title += f", but not {_pixels(missing)}"
        title = wrap(title, WIDTH - 0.3, TITLE, "bold")
        height += 0.235 * (title.count("\n") + 1)
        with style():
            fig = new_figure(WIDTH, height)
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
            ax = fig.add_axes((0, 0, 1, (height - 0.1 - 0.235 * (title.count("\n") + 1)) / height))
            top = height - 0.1 - 0.235 * (title.count("\n") + 1)
            xs = np.linspace(0.9, WIDTH - 0.9, len(self.sizes))
            ys = [
                (top - 0.45 - 0.2 * (self.degrees is not None)) / 2 + gap * ((n - 1) / 2 - np.arange(n))
                for n in self.sizes
            ]
            for k, m in enumerate(self.masks):
                for to, source in np.argwhere(m):
                    on = edges[k][to, source]
                    look = {"color": palette["blue"], "lw": 1.5, "zorder": 2} if on else {"color": "#DADADA", "lw": 0.6}
                    ends = [xs[k] + 0.13, xs[k + 1] - 0.13], [ys[k][source], ys[k + 1][to]]
                    ax.plot(*ends, ls="-", **look)
            last = len(self.sizes) - 1
            for k, n in enumerate(self.sizes):
                for unit in range(n):
                    look = "on" if units[k][unit] else "off"
                    look = "leak" if k == 0 and unit in leaked else look
                    look = "target" if k == last and unit == output else look
                    self._unit(ax, xs[k], ys[k][unit], LOOKS[look], self._text(k, unit), pixel=k in (0, last))
                    if k in (0, last):
                        side = -1 if k == 0 else 1
                        ordinal = _ordinal(int(np.flatnonzero(self.order == unit)[0]) + 1)
                        look = {"ha": "right" if k == 0 else "left", "va": "center_baseline", "fontsize": SMALL}
                        ax.text(xs[k] + 0.2 * side, ys[k][unit], ordinal, color=MUTED, **look)
                name = {0: "inputs", last: "outputs"}.get(k, f"hidden layer {k}" if last > 2 else "hidden units")
                name += "\n(degrees)" if 0 < k < last and self.degrees is not None else ""
                ax.text(xs[k], top - 0.12, name, ha="center", va="top", fontsize=LABEL)
            ax.set(xlim=(0, WIDTH), ylim=(0, top))
            ax.axis("off")
        return fig

    def _text(self, layer, unit):
        if layer == len(self.sizes) - 1 or layer == 0:
            return f"{unit}"
        return "" if self.degrees is None else f"{self.degrees[layer][unit]}"

    @staticmethod
    def _unit(ax, x, y, look, text, pixel):
        from matplotlib.patches import Circle, Rectangle

        face, edge, ink = look
        colors = {"facecolor": face, "edgecolor": edge, "linewidth": 1.2, "zorder": 3}
        square = Rectangle((x - 0.13, y - 0.13), 0.26, 0.26, **colors)
        ax.add_patch(square if pixel else Circle((x, y), 0.13, **colors))
        ax.text(x, y, text, color=ink, ha="center", va="center_baseline", fontsize=SMALL, zorder=4)


def _ordinal(n):
    """A place in words.

    >>> [_ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 20)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '20th']
    """
    return f"{n}{'th' if n in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def _pixels(pixels):
    """A list of pixels in words.

    >>> _pixels([]), _pixels([3]), _pixels([0, 2, 3])
    ('no pixel', 'pixel 3', 'pixels 0, 2 and 3')
    """
    if len(pixels) < 2:
        return f"pixel {pixels[0]}" if pixels else "no pixel"
    return f"pixels {', '.join(map(str, pixels[:-1]))} and {pixels[-1]}"
