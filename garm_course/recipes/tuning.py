"""Search the settings of a recipe with Optuna."""

from dataclasses import replace

from garm_course.practice.tuning import Pruner, Setting, tune
from garm_course.recipes.recipe import Recipe, Run


def tune_recipe(
    recipe: Recipe, space: tuple[Setting, ...], *, budget: str = "quick", steps: int | None = None, model_seed: int = 0,
    **options: object,
) -> object:  # fmt: skip
    """Search the settings of a recipe: constructor arguments and arguments of `fit`, by its best validation figure.

    The test split is never loaded.

    Args:
        recipe: from `recipes.find`, of a likelihood model.
        space: settings that the model or `fit` knows.
        budget: of the recipe's settings, which the space replaces.
        steps: of every training, in place of the budget's.
        model_seed: of weights and order of the data, the same for all trials, so that settings are compared.
        options: of `tune`.

    Raises:
        ValueError: for a recipe that is not scored by validation nats, or an unknown setting. See `tune` for the rest.
    """
    settings = {**recipe.settings(budget), **({"steps": steps} if steps else {})}
    if recipe.kind not in ("likelihood", "text", "sound") or "evaluate_every" not in settings:
        raise ValueError(
            f"{recipe.name} has no validation likelihood to search by; search by a loop of your own, see tune"
        )
    known = {**recipe.config, **settings}
    model = recipe.build(0)
    known |= {**model.config, "lr": 0, "muon": 0, "weight_decay": 0, "clip": 0, "ema": 0}
    for fixed in ("shape", "levels", "n_classes"):
        known.pop(fixed, None)
    for setting in space:
        if setting.name not in known:
            raise ValueError(f"{recipe.name} has no setting {setting.name!r}; it knows {', '.join(sorted(known))}")
    data = {split: recipe.load(split) for split in ("train", "validation")}

    def objective(chosen: dict, pruner: Pruner) -> float:
        ours = {name: value for name, value in chosen.items() if name in model.config}
        chosen = {name: value for name, value in chosen.items() if name not in ours}
        network = replace(recipe, config={**recipe.config, **ours}).build(model_seed)
        history = recipe.fit(network, data, {**settings, **chosen}, model_seed, run=Run(tracker=pruner))
        return min(nats for _, nats in history.validation)

    return tune(objective, space, **options)
