"""Digits as bitmaps, from the outlines of the fonts inside matplotlib.

FreeType reads the outline in the font's own units, unhinted, and the pixels are computed here: the same bits on every
machine, whatever anti-aliasing or hinting the installed matplotlib would apply. Nothing of matplotlib's state is used.
"""

from functools import cache
from pathlib import Path

import numpy as np

PIXELS = 28
SUBPIXELS = 4  # each pixel is sampled at 4x4 points
INK = 6  # a pixel is set when at least 6 of its 16 points lie inside: hairlines stay connected, counters stay open

# The upright text fonts of matplotlib's wheel; its italics are left out because slant is a factor of its own, the math
# fonts (cmmi, cmsy, cmex, STIXNonUni, STIXSiz...) and the fallback font because their digits are missing or old-style.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmtt10",
)


@cache
def outline(font: str, digit: int) -> np.ndarray:
    """The outline of a digit as straight edges, with its lowest point at y = 0 and its highest at y = 1.

    Args:
        font: one of FONTS.
        digit: 0..9.

    Returns:
        (E, 2, 2) float64: edge, end, (x, y); y points up.

    Raises:
        FileNotFoundError: when this matplotlib came without its fonts, as some Linux distributions pack it.
    """
    import matplotlib
    from matplotlib import ft2font

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    if not path.exists():
        raise FileNotFoundError(f"matplotlib's font file {path} is missing; install its wheel: pip install matplotlib")
    # Until 3.10 matplotlib divided x by a hinting factor and rounded; from 3.11 on there is none to set
    exact = {} if matplotlib.__version_info__ >= (3, 11) else {"hinting_factor": 1}
    face = ft2font.FT2Font(str(path), **exact)
    no_scale = ft2font.LoadFlags.NO_SCALE if hasattr(ft2font, "LoadFlags") else ft2font.LOAD_NO_SCALE
    face.load_char(ord(str(digit)), flags=no_scale)
    edges = straighten(*face.get_path())
    edges[..., 1] -= edges[..., 1].min()
    return edges / edges[..., 1].max()


def straighten(vertices: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """A path of lines and quadratic curves as edges (E, 2, 2), each curve as 8 of them.

    Args:
        vertices: (V, 2).
        codes: (V,) of matplotlib's path codes 1 (move), 2 (line), 3 (quadratic curve: two vertices), 79 (close).
    """
    t = np.linspace(0, 1, 9)[1:, None]
    edges, i = [], 0
    while i < len(codes):
        if codes[i] == 1:
            start = here = vertices[i]
            targets, used = [], 1
        elif codes[i] == 2:
            targets, used = [vertices[i]], 1
        elif codes[i] == 3:
            control, end = vertices[i], vertices[i + 1]
            targets, used = list((1 - t) ** 2 * here + 2 * t * (1 - t) * control + t**2 * end), 2
        elif codes[i] == 79:
            targets, used = [start], 1
        else:
            raise ValueError(f"expected lines and quadratic curves (TrueType), got path code {codes[i]}")
        for target in targets:
            edges.append((here, target))
            here = target
        i += used
    return np.array(edges)


def place(font: str, digit: int, size: int, slant: float) -> np.ndarray:
    """The outline of a digit in the middle of the image.

    Args:
        font: one of FONTS.
        digit: 0..9.
        size: height in pixels.
        slant: shift to the right per pixel of height; positive leans to the right.

    Returns:
        (E, 2, 2) in pixels: edge, end, (x, y); y down.
    """
    edges = outline(font, digit) * size
    x = edges[..., 0] + slant * edges[..., 1]
    x = x - (x.min() + x.max()) / 2 + PIXELS / 2
    y = PIXELS // 2 + size // 2 - edges[..., 1]  # the foot on a pixel boundary, so that horizontal strokes are sharp
    return np.stack([x, y], axis=-1)


def rasterize(edges: np.ndarray) -> np.ndarray:
    """The bitmap of an outline.

    A point is inside when the outline winds around it (nonzero rule); a pixel is set when INK of its points are inside.

    Args:
        edges: (E, 2, 2) in pixels: edge, end, (x, y); y down.

    Returns:
        (28, 28) uint8 of 0 and 1.
    """
    (x0, y0), (x1, y1) = edges.transpose(1, 2, 0)
    n = PIXELS * SUBPIXELS
    y = (np.arange(n)[:, None] + 0.5) / SUBPIXELS  # the sample lines (n, 1)
    direction = ((y0 <= y) & (y < y1)).astype(int) - ((y1 <= y) & (y < y0))  # (n, E): does the edge cross this line?
    line, edge = direction.nonzero()
    crossing = x0[edge] + (y[line, 0] - y0[edge]) / (y1 - y0)[edge] * (x1 - x0)[edge]
    first = np.clip(np.ceil(crossing * SUBPIXELS - 0.5).astype(int), 0, n)  # the first sample right of the crossing
    winding = np.zeros((n, n + 1), dtype=int)
    np.add.at(winding, (line, first), direction[line, edge])
    inside = winding.cumsum(1)[:, :n] != 0
    return (inside.reshape(PIXELS, SUBPIXELS, PIXELS, SUBPIXELS).sum((1, 3)) >= INK).astype(np.uint8)
