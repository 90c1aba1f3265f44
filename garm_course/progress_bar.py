"""A progress bar that a stored page does not keep: `GARM_PROGRESS=0` or `TQDM_DISABLE` switch it off."""

import os
import warnings


def progress(iterable=None, total=None, label="", unit="it", initial=0, disable=False):
    """Wrap an iterable in a progress bar, or with `total` alone return a bar to be moved by `bar.update()`.

    The bar is a widget in a notebook and text in a terminal. `release` and the tests switch it off by the environment
    variable `GARM_PROGRESS=0`: the notebook bar of tqdm ignores tqdm's own `TQDM_DISABLE`, this one does not.

    Args:
        iterable: what to loop over, or None.
        total: number of steps, if the iterable does not know it.
        label: what is being done, in front of the bar.
        unit: what is counted, as in "step"; "B" shows bytes as kB, MB and GB.
        initial: steps that are done already.
        disable: switch it off here.
    """
    if disable or switched_off():
        from tqdm.std import tqdm

        return tqdm(iterable, total=total, disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets tqdm warns and draws a text bar: nothing to act upon
        from tqdm.auto import tqdm

    return tqdm(iterable, total=total, desc=label or None, unit=unit, unit_scale=unit == "B", initial=initial)


def switched_off():
    """True if the environment asks for no progress bars."""
    return os.environ.get("GARM_PROGRESS") == "0" or os.environ.get("TQDM_DISABLE", "0").lower() not in (
        "",
        "0",
        "false",
    )
