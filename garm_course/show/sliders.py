"""A picture with sliders or menus under it: every picture that moves is shown by `slide`."""

import itertools
from dataclasses import dataclass

from garm_course.show.figures import show_figure, update

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Dial:
    """One slider: its name, the value of the first view, its ends and its step; whole numbers stay whole."""

    name: str
    value: float
    low: float
    high: float
    step: float = 1


@dataclass(frozen=True)
class Menu:
    """One drop-down menu: its name, the choice of the first view, and all choices, which are words."""

    name: str
    value: str
    choices: tuple[str, ...]


def slide(kind, figure, caption, dials):
    """Show a picture and its caption, with sliders and menus that replace both.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        kind: words for the picture's name in the notebook.
        figure: function of the values of the dials that returns a matplotlib figure.
        caption: function of the same values that returns a sentence.
        dials: list of `Dial` and `Menu`.
    """
    name = f"{kind}-{next(_numbers)}"
    first = [dial.value for dial in dials]
    show_figure(figure(*first), caption(*first), display_id=name)
    sliders = widgets_of(dials)
    if sliders is None:
        print(
            "ipywidgets is not installed, so this view stands still; pip install ipywidgets brings the "
            f"slider{'s' if len(dials) > 1 else ''}."
        )
        return

    def moved(_):
        values = [slider.value for slider in sliders]
        update(figure(*values), caption(*values), display_id=name)

    for slider in sliders:
        slider.observe(moved, names="value")
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:
        for slider in sliders:
            display(slider)


def widgets_of(dials):
    """Sliders and menus of ipywidgets whose text form says what they are; None where ipywidgets is missing."""
    try:
        from ipywidgets import Dropdown, FloatSlider, IntSlider, Layout
    except ImportError:
        return None

    class Readable:
        def __repr__(self):
            return f"[slider {self.description}: {self.min:g} to {self.max:g}]"

    class Whole(Readable, IntSlider):
        pass

    class Real(Readable, FloatSlider):
        pass

    class Words(Dropdown):
        def __repr__(self):
            return f"[menu {self.description}: {', '.join(self.options)}]"

    layout = Layout(width="95%", max_width="720px")
    return [
        Words(value=dial.value, options=dial.choices, description=dial.name, layout=Layout(width="240px"))
        if isinstance(dial, Menu)
        else (Whole if isinstance(dial.value, int) else Real)(
            value=dial.value, min=dial.low, max=dial.high, step=dial.step, description=dial.name, layout=layout,
            **({} if isinstance(dial.value, int) else {"readout_format": f".{_decimals(dial.step)}f"}),
        )
        for dial in dials
    ]  # fmt: skip


def _decimals(step):
    """Digits behind the point that tell two neighboring values of a slider apart, at least one.

    >>> _decimals(0.25), _decimals(1)
    (2, 1)
    """
    return max(1, len(f"{step:g}".partition(".")[2]))
