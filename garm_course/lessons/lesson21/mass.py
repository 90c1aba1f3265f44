"""The mass of a model on each of the 30 bars-and-stripes images, and on all others together; with a temperature."""

import torch

from garm_course.evaluation.audits import all_examples
from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, show_figure, style, wrap
from garm_course.show.sliders import Dial, slide


def show_mass(panels, *, title, alt):
    """Show the mass on each image of the data as a bar, the fair share as a line, and beside them what is left.

    Args:
        panels: mapping from the title of a panel to the masses (M,), at least 0, sum at most 1.
        title: the finding.
        alt: alternative text, also the caption.
    """
    show_figure(mass_figure(panels, title), alt)


def mass_figure(panels, title):
    """The figure that `show_mass` shows; arguments as there."""
    with style():
        title = wrap(title, WIDTH - 0.3, TITLE, "bold")
        head = 0.62 + 0.24 * title.count("\n")
        height, n = 2.15 + head, len(panels)
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        wide = (WIDTH - 0.7 - 0.15 - 0.25 * (n - 1)) / n
        top = 1.15 * max(mass.max().item() for mass in panels.values())
        for k, (name, mass) in enumerate(panels.items()):
            left, up = 0.7 + k * (wide + 0.25), 0.5 / height
            ax = fig.add_axes((left / WIDTH, up, (wide - 0.75) / WIDTH, 1.65 / height))
            mass, m = mass.tolist(), len(mass)
            ax.bar(range(m), mass, width=0.8, color=palette["blue"], linewidth=0)
            ax.plot([-0.6, m - 0.4], [1 / m, 1 / m], color=MUTED, lw=1.0, ls=(0, (4, 2)))
            ax.set(xlim=(-1, m), ylim=(0, top))
            ax.set_xticks([(m - 1) / 2], [f"the {m} valid images"], fontsize=SMALL)
            ax.tick_params(axis="x", length=0)
            ax.locator_params(axis="y", nbins=4)
            if k:
                ax.set_yticklabels([])
            else:
                ax.set_ylabel("probability", fontsize=LABEL)
            ax.set_title(wrap(name, wide, LABEL, "bold"), fontsize=LABEL, loc="left", pad=4)
            rest = max(0.0, 1 - sum(mass))  # on a scale of its own, from 0 to 1
            beside = fig.add_axes(((left + wide - 0.62) / WIDTH, up, 0.55 / WIDTH, 1.65 / height))
            look = {"edgecolor": "black", "linewidth": 0.8}
            beside.bar(0, 1, width=0.6, color="white", **look)
            beside.bar(0, rest, width=0.6, color=palette["orange"], hatch="////", **look)
            beside.text(0, min(rest, 0.85) + 0.03, f"{rest:.0%}", ha="center", fontsize=SMALL, fontweight="bold",
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
            beside.set(xlim=(-0.6, 0.6), ylim=(0, 1.03))
            beside.set_xticks([0], ["others"], fontsize=SMALL)
            beside.set_yticks([])
            beside.spines[:].set_visible(False)
            beside.tick_params(axis="x", length=0)
    return fig


@torch.inference_mode()
def mass_at(logits, x, inside, temperature):
    """The mass on the images x[inside], (M,), when each conditional is drawn at a temperature.

    Args:
        logits: (N, D) of p(1), for every image x, in the order of the pixels.
        x: LongTensor (N, D) of all images.
        inside: indices (M,).
        temperature: above 0.
    """
    log_p = -torch.nn.functional.softplus(torch.where(x == 1, -logits, logits) / temperature)
    return log_p.sum(1)[inside].exp()


def temperature(model, data, start=1.0):
    """Show the exact mass of a binary autoregressive model at a temperature, with a slider.

    Args:
        model: of binary images so small that all of them can be enumerated, whose forward gives logits (N, C, H, W).
        data: a data set, each image once.
        start: temperature of the first view.
    """
    x = all_examples(tuple(data.shape), 2)
    with torch.inference_mode():
        logits = model(x).reshape(len(x), -1).double()
    codes = 2 ** torch.arange(x[0].numel() - 1, -1, -1)
    order = {code: i for i, code in enumerate((x.flatten(1) * codes).sum(1).tolist())}
    inside = torch.tensor([order[code] for code in (data.x.flatten(1) * codes).sum(1).tolist()])

    def mass(t):
        return mass_at(logits, x.flatten(1), inside, t)

    def caption(t):
        found = mass(t)
        return (
            f"Temperature {t:.1f}: the valid images have ≈ {found.sum():.3f} of the mass, the most probable one "
            f"≈ {found.max():.3f}, the least probable one ≈ {found.min():.4f}. The dashed line is a fair share."
        )

    def figure(t):
        return mass_figure({f"temperature {t:.1f}": mass(t)}, "Temperature buys valid images with unequal shares")

    slide("temperature", figure, caption, [Dial("temperature", start, 0.2, 3.0, 0.1)])
