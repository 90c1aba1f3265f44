"""garm_course: the library of a course on deep generative models that checks its numbers.

Importing it is cheap: no data set is read, nothing is downloaded, and matplotlib, ipywidgets and scikit-learn load
when they are first needed. The packages below export the names of their modules in the same way.
"""

from collections.abc import Callable
from importlib import import_module

__version__ = "0.1.0"


def lazily(package: str, modules: dict[str, str]) -> tuple[Callable, Callable, list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package whose modules are imported when a name of theirs is used.

        __getattr__, __dir__, __all__ = lazily(__name__, {"made": "MADE FVSBN", "nade": "NADE"})

    Args:
        package: its `__name__`.
        modules: module within the package -> the names that the package exports from it, with spaces between them.
    """
    home = {name: module for module, names in modules.items() for name in names.split()}
    known = sorted(home)

    def get(name: str) -> object:
        if name not in home:
            raise AttributeError(f"{package} has no {name!r}; it has {', '.join(known)}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return get, lambda: known, known


__getattr__, __dir__, _exported = lazily(
    __name__,
    {
        "datasets": "load",
        "exercises": "check progress",
        "lesson": "budget claims guess report seed",
        "recipes": "recorded recorded_on recorded_study",
        "training": "fit",
        "weights": "load_pretrained",
    },
)
__all__ = ["__version__", *_exported]
