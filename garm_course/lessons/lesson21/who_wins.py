"""A ranking by weights that the reader sets: which model wins depends on what is asked for."""

from garm_course.show.figures import (
    LABEL,
    SMALL,
    TITLE,
    WIDTH,
    new_figure,
    palette,
    style,
    text_width,
)
from garm_course.show.sliders import Dial, slide


def weighted(table, weights):
    """Models by the weighted mean of their ranks, best first; a model that lacks what is weighted drops out.

    Args:
        table: measurement -> {model: value}, smaller is better.
        weights: measurement -> weight, at least 0.

    Returns:
        {model: mean rank}, sorted; empty if all weights are 0. The rank of a model counts who is better, from 1, equal
        values share one; it is among the models that have everything that is weighted.

    Example:
        >>> weighted({"nats": {"a": 1.0, "b": 2.0}, "ms": {"a": 9.0, "b": 3.0, "c": 1.0}}, {"nats": 0, "ms": 1})
        {'c': 1.0, 'b': 2.0, 'a': 3.0}
    """
    wanted = {name: weight for name, weight in weights.items() if weight > 0}
    if not wanted:
        return {}
    models = set.intersection(*(set(table[name]) for name in wanted))
    total = sum(wanted.values())
    found = {
        model: sum(
            weight * (1 + sum(table[name][other] < table[name][model] for other in models))
            for name, weight in wanted.items()
        )
        / total
        for model in models
    }
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def who_wins(table):
    """Show who wins for weights of the measurements, with a slider for each.

    Args:
        table: see `weighted`.
    """
    models = list(dict.fromkeys(model for values in table.values() for model in values))

    def caption(*weights):
        found = weighted(table, dict(zip(table, weights, strict=True)))
        if not found:
            return "All weights are zero: nothing is asked for, and nobody wins."
        out = [model for model in models if model not in found]
        best, rank = next(iter(found.items()))
        lacking = f" Without all that is weighted: {', '.join(out)}." if out else ""
        return f"With these weights {best} is first, with a mean rank of {rank:.1f} among {len(found)}.{lacking}"

    def figure(*weights):
        return _figure(models, weighted(table, dict(zip(table, weights, strict=True))))

    slide("who-wins", figure, caption, [Dial(name, 1, 0, 4) for name in table])


def _figure(models, found):
    order = [*found, *(model for model in models if model not in found)]
    with style():
        tall = 0.26 * len(order)
        height = tall + 1.0
        left = 0.3 + max(text_width(model, LABEL) for model in order)
        fig = new_figure(WIDTH, height)
        title = "Who wins depends on what you ask for"
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((left / WIDTH, 0.55 / height, 1 - (left + 0.2) / WIDTH, tall / height))
        for k, model in enumerate(order):
            if model in found:
                ax.barh(k, found[model], height=0.7, color=palette["blue" if k else "green"], linewidth=0)
                ax.text(found[model] + 0.08, k, f"{found[model]:.1f}", va="center", fontsize=SMALL)
            else:
                ax.text(0.08, k, "has no such number", va="center", fontsize=SMALL, style="italic")
        ax.set(ylim=(len(order) - 0.5, -0.5), xlim=(0, len(order) + 0.6), xlabel="mean rank, 1 is best")
        ax.set_yticks(range(len(order)), order, fontsize=LABEL)
        ax.tick_params(axis="y", length=0)
    return fig
