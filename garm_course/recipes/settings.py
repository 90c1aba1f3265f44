"""A recipe with other settings: what `garm train --set` and a search change."""

import json
from dataclasses import replace

from garm_course.practice.tuning import read_value
from garm_course.recipes.recipe import Recipe

OF_ANY_FIT = ("lr", "muon", "weight_decay", "clip", "ema")
OF_DATA = ("shape", "levels", "n_classes")


def known_settings(recipe: Recipe) -> dict:
    """What may be changed of a recipe, with its values at budget quick: arguments of the constructor and of `fit`."""
    settings = {**dict.fromkeys(OF_ANY_FIT), **recipe.build(0).config, **recipe.settings("quick")}
    return {name: value for name, value in settings.items() if name not in OF_DATA}


def changed(recipe: Recipe, chosen: dict) -> Recipe:
    """The recipe with some settings replaced, at every budget.

    Args:
        recipe: from `recipes.find`.
        chosen: name -> value.

    Raises:
        ValueError: for a setting that the recipe does not have; the message lists those that it has.

    Example:
        >>> from garm_course.recipes import find
        >>> other = changed(find("made", "digits"), {"lr": 0.001, "hidden": [64]})
        >>> other.settings("full")["lr"], other.config["hidden"]
        (0.001, [64])
    """
    if not chosen:
        return recipe
    known, ours = known_settings(recipe), recipe.build(0).config
    for name in chosen:
        if name not in known:
            raise ValueError(f"{recipe.name} has no setting {name!r}; it knows {', '.join(sorted(known))}")
    config = {name: value for name, value in chosen.items() if name in ours}
    fit = {name: value for name, value in chosen.items() if name not in ours}
    return replace(
        recipe, config={**recipe.config, **config}, quick={**recipe.quick, **fit}, full={**recipe.full, **fit}
    )


def parse_settings(text: str) -> dict:
    """Settings from text: "lr=0.01; hidden=[64, 64]; encoding=scaled". Values are JSON or words.

    Raises:
        ValueError: for what cannot be read, or a setting named twice.

    Example:
        >>> parse_settings("lr=1e-2; hidden=[64]; direct=false")
        {'lr': 0.01, 'hidden': [64], 'direct': False}
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not name.isidentifier() or not equals or not value:
            raise ValueError(f'cannot read {part!r} of the settings; write such as "lr=0.01; hidden=[64, 64]"')
        if name in found:
            raise ValueError(f"the settings have {name} twice; leave one out")
        found[name] = read_value(value)
    return found


def written(chosen: dict) -> str:
    """Settings as `parse_settings` reads them.

    Example:
        >>> written({"lr": 0.01, "hidden": [64], "encoding": "scaled"})
        'lr=0.01; hidden=[64]; encoding=scaled'
    """
    return "; ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in chosen.items()
    )
