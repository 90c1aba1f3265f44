"""One look for every figure: palette, style, PNG bytes, and `show`: a picture, its alternative text and its caption.

JupyterLab drops the alternative text of a stored picture, other readers of notebooks keep it. So `show` stores it as
metadata *and* writes it under the picture: whoever cannot see the picture loses nothing.
"""

import contextlib
import functools
import io
import re
import sys

import numpy as np

# Okabe and Ito, "Color Universal Design" (2008): eight colors that people with any color vision tell apart.
palette = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
# Thin lines need a contrast of 3:1 against white (WCAG 1.4.11): orange, sky and yellow are for areas only.
LINE_COLORS = ("blue", "vermillion", "green", "purple", "black")
LINE_STYLES = ("-", (0, (6, 2)), (0, (2, 1.4)), (0, (6, 1.6, 1.4, 1.6)), (0, (10, 3)))
MARKERS = ("o", "s", "^", "D", "v")
INK, MUTED, FAINT = "#222222", "#595959", "#D9D9D9"

WIDTH = 7.2  # inches, the width of a notebook page
PIXELS_PER_INCH = 100  # of the page: a figure of 7.2 inches is shown 720 pixels wide ...
DPI = 150  # ... and stored with 1.5 times as many, so that it stays sharp on dense screens
MAX_BYTES = 45_000  # a PNG this large is 60 kB in a notebook, where it is stored as base64
TITLE, LABEL, SMALL = 12.0, 10.5, 9.5  # points


@contextlib.contextmanager
def style():
    """Context in which matplotlib draws as the course does; whatever the reader's own settings are, they come back."""
    import matplotlib.style

    ours = {
        "figure.facecolor": "white",
        "figure.figsize": (WIDTH, 3.6),
        "figure.dpi": DPI,
        "font.size": LABEL,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.titlesize": TITLE,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": LABEL,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "lines.linewidth": 2.0,
        "hatch.linewidth": 1.2,
        "mathtext.fontset": "dejavuserif",
        "image.interpolation": "nearest",
        "axes.prop_cycle": matplotlib.cycler(color=[palette[name] for name in LINE_COLORS])
        + matplotlib.cycler(linestyle=LINE_STYLES),
    }
    with matplotlib.style.context(["default", ours]):
        yield


def new_figure(width, height, **options):
    """A figure of `width` x `height` inches that pyplot knows nothing about, so that nothing has to be closed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=DPI, **options)
    FigureCanvasAgg(fig)
    return fig


@functools.cache
def text_width(text, points, weight="normal"):
    """Width in inches of one line of text in the course's font."""
    from matplotlib.cbook import is_math_text
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    prop = FontProperties(family="DejaVu Sans", size=points, weight=weight)
    math = bool(is_math_text(text))
    return text_to_path.get_text_width_height_descent(text, prop, math)[0] / 72


def wrap(text, inches, points, weight="normal"):
    """Break `text` into lines of about the same length, at most `inches` wide; the caller's own line breaks stay."""
    broken = _break(text, inches, points, weight)
    for share in (0.95, 0.9, 0.8, 0.7, 0.6):  # no last line of one word
        narrower = _break(text, inches * share, points, weight)
        if narrower.count("\n") > broken.count("\n"):
            break
        broken = narrower
    return broken


def _break(text, inches, points, weight):
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}".strip()
            if line and text_width(longer, points, weight) > inches:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def readable(color):
    """The same hue, dark enough to be read as text on white (contrast 4.5:1, WCAG 1.4.3)."""
    from matplotlib.colors import to_hex, to_rgb

    rgb = np.array(to_rgb(color))
    while contrast(rgb) < 4.5:
        rgb = rgb * 0.95
    return to_hex(rgb)


def contrast(color, background="white"):
    """Contrast ratio of two colors, 1 to 21. Source: WCAG 2.2, "contrast ratio" and "relative luminance"."""
    from matplotlib.colors import to_rgb

    def luminance(c):
        c = np.array(to_rgb(c))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    light, dark = sorted((luminance(color), luminance(background)), reverse=True)
    return float((light + 0.05) / (dark + 0.05))


def as_array(values):
    """A tensor or anything like an array as a numpy array of double precision."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values).astype(float)


def fitting_width(content, title):
    """Width in inches of a figure: its content's, or more if that keeps the title on one line of the page."""
    one_line = max(text_width(line, TITLE, "bold") for line in (title or "").split("\n")) + 0.3
    return max(content, one_line) if one_line <= WIDTH else content


def png(fig, dpi=DPI, *, passing=False):
    """PNG bytes of a figure: no date, no version, at most `MAX_BYTES`, by fewer dots if need be.

    Drawings are stored with a palette of 256 or 64 colors, which looks the same and halves the file; photographs keep
    their own as long as they fit. A `passing` picture, which is not stored, is made fast instead of small.
    """
    from PIL import Image

    with style():
        buffer = io.BytesIO()
        fast = {"compress_level": 1}
        fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None}, pil_kwargs=fast)
    if passing:
        return buffer.getvalue()
    picture = Image.open(buffer).convert("RGB")
    drawing = picture.getcolors(maxcolors=5000) is not None
    for colors in (256, 64) if drawing else (None, 256):
        options = {"method": Image.Quantize.MEDIANCUT, "dither": Image.Dither.NONE}
        stored = picture.quantize(colors, **options) if colors else picture
        buffer = io.BytesIO()
        stored.save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= MAX_BYTES or dpi <= 60:
            return buffer.getvalue()
    return png(fig, dpi=dpi * 0.8)


def show_figure(fig, alt, *, display_id=None):
    """Show a figure with its alternative text, write the same text under it as the caption, and close it.

    Outside of IPython there is no place for a picture: only the caption is printed.

    Args:
        fig: a matplotlib figure.
        alt: one or two sentences with the finding and the numbers that matter in it. Write a measured number that
            another machine may not reproduce to the digit as `≈ 81.4`: the tests compare the text around it only.
        display_id: name under which `update` finds picture and caption again; each has its own.

    Raises:
        ValueError: if there is no alternative text.
    """
    alt = _sentence(alt)
    if _shell() is None:
        print(alt)
    else:
        from IPython.display import display

        picture, metadata = _picture(fig, alt)
        display(picture, metadata=metadata, raw=True, display_id=display_id)
        # Not print: stored streams of one cell are merged, which would move a second caption under the first picture.
        display(_caption(alt), raw=True, display_id=display_id and f"{display_id}-caption")
    _close(fig)


def update(fig, alt, *, display_id):
    """Replace the picture and the caption that `show` put out under `display_id`."""
    from IPython.display import update_display

    alt = _sentence(alt)
    picture, metadata = _picture(fig, alt, passing=True)
    update_display(picture, metadata=metadata, raw=True, display_id=display_id)
    update_display(_caption(alt), raw=True, display_id=f"{display_id}-caption")
    _close(fig)


def _picture(fig, alt, passing=False):
    width = round(fig.get_size_inches()[0] * PIXELS_PER_INCH)
    data = {"image/png": png(fig, passing=passing), "text/plain": "[figure]"}
    return data, {"image/png": {"alt": alt, "width": width}}


def _caption(alt):
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", alt)
    return {"text/plain": alt, "text/markdown": f"*{escaped}*"}


def _sentence(alt):
    alt = " ".join(str(alt or "").split())
    if not alt:
        raise ValueError("expected alternative text, got none; say in one sentence what the picture shows")
    return alt


def _shell():
    ipython = sys.modules.get("IPython")  # never imported here: under plain Python there is no shell
    return ipython.get_ipython() if ipython else None


def _close(fig):
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)
