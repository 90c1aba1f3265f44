"""Pictures of the course: figures with alternative text and caption, sample grids, curves, receptive fields, a widget.

Every function of this package shows its picture and returns nothing. The functions that end in `_figure` build the
same picture and return it, for whoever wants a file: `png(panels_figure(...))` are the bytes.
matplotlib and ipywidgets load with the first name that is used.
"""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "figures": "palette png show_figure style update",
        "grids": "grid panels panels_figure",
        "line_charts": "curves curves_figure",
        "receptive_fields": "field fields fields_figure masks masks_figure",
        "scatter": "points points_figure",
        "waveforms": "waves waves_figure",
        "sounds": "audio sounds_figure wav",
        "bar_charts": "distribution distribution_figure",
        "densities": "density_fit histograms histograms_figure",
        "tables": "ladder table",
        "ladders": "likelihood_ladder",
        "drawing": "pixel_by_pixel",
        "intervals": "interval runs runs_figure",
    },
)
