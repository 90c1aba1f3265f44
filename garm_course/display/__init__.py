"""Pictures of the course: figures with alternative text and caption, sample grids, curves, receptive fields, a widget.

Every function of this package shows its picture and returns nothing. The functions that end in `_figure` build the
same picture and return it, for whoever wants a file: `png(panels_figure(...))` are the bytes.
matplotlib and ipywidgets load with the first name that is used.
"""

from importlib import import_module

_MODULE_OF = {
    "figures": ("palette", "png", "show", "style", "update"),
    "grids": ("grid", "panels", "panels_figure"),
    "lines": ("curves", "curves_figure"),
    "receptive": ("field", "fields", "fields_figure", "masks", "masks_figure"),
    "scatter": ("points", "points_figure"),
    "waveforms": ("waves", "waves_figure"),
    "bars": ("distribution", "distribution_figure"),
    "densities": ("density_fit", "histograms", "histograms_figure"),
    "rate_distortion": ("beta_sweep",),
    "tables": ("ladder",),
    "rungs": ("likelihood_ladder",),
    "overview": ("families", "families_figure"),
    "scans": ("scan_orders",),
    "widgets": ("pixel_by_pixel",),
    "filtering": ("filtered_samples",),
    "rings": ("ring_buffers",),
    "connections": ("made_paths",),
    "codes": (
        "code_editor",
        "code_map",
        "code_map_figure",
        "code_patches",
        "codebook",
        "codebook_figure",
        "staircase",
        "staircase_figure",
    ),
    "comparisons": ("beside", "beside_figure"),
    "intervals": ("interval", "runs", "runs_figure"),
    "games": ("GameFrame", "game", "game_figure", "game_steps", "orbit", "orbit_figure"),
    "latents": ("latent_cloud", "latent_cloud_figure", "latent_map", "manifold", "manifold_figure"),
    "translations": ("patch_fields", "patch_fields_figure", "round_trips"),
    "progressbar": ("progress",),
}
_HOME = {name: module for module, names in _MODULE_OF.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"garm_course.display has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
