"""Search the settings of a recipe with Optuna."""

from garm_course.practice.tuning import Pruner, Setting, tune
from garm_course.recipes.recipe import Recipe, Run
from garm_course.recipes.settings import changed, known_settings


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
    if recipe.kind not in ("likelihood", "text", "sound") or "evaluate_every" not in recipe.settings(budget):
        raise ValueError(
            f"{recipe.name} has no validation likelihood to search by; search by a loop of your own, see tune"
        )
    known = known_settings(recipe)
    for setting in space:
        if setting.name not in known:
            raise ValueError(f"{recipe.name} has no setting {setting.name!r}; it knows {', '.join(sorted(known))}")
    data = {split: recipe.load(split) for split in ("train", "validation")}

    def objective(chosen: dict, pruner: Pruner) -> float:
        chosen = {**({"steps": steps} if steps else {}), **chosen}
        ours = changed(recipe, chosen)
        settings = ours.settings(budget) | {name: value for name, value in chosen.items() if name in ours.quick}
        history = ours.fit(ours.build(model_seed), data, settings, model_seed, run=Run(tracker=pruner))
        return min(nats for _, nats in history.validation)

    return tune(objective, space, **options)
