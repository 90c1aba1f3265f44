"""What one outlier among the samples does to recall, and not to coverage: the balls, in two dimensions."""

import torch

from garm_course.evaluation.samples import density_coverage, precision_recall
from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style
from garm_course.show.sliders import Dial, slide

K = 3


def outlier(start=6.0):
    """Move one sample away from the others with a slider, and see which balls hold data.

    The data are two clusters, the samples lie in one of them. Without ipywidgets, and on a printed page, the first view
    stands by itself.

    Args:
        start: how far to the right the outlier lies in the first view, 0 to 12.
    """
    slide("outlier", outlier_figure, outlier_caption, [Dial("outlier", float(start), 0.0, 12.0, 0.5)])


def clouds(where):
    """Data (24, 2) in two clusters, samples (24, 2) in the left one, the last of them moved to `where`."""
    g = torch.Generator().manual_seed(2)
    noise = 0.45 * torch.randn(2, 24, 2, dtype=torch.float64, generator=g)
    real, fake = noise[0], noise[1].clone()
    real[12:, 0] += 4
    fake[-1] = torch.tensor([float(where), 0.0])
    return real, fake


def outlier_caption(where):
    """The picture in words."""
    real, fake = clouds(where)
    recall, coverage = precision_recall(real, fake, K).recall, density_coverage(real, fake, K).coverage
    return (
        f"24 data points in two clusters, 24 samples in the left one but for an outlier at {where:g}. Balls around "
        f"samples hold {100 * recall:.0f} % of the data (recall), and {100 * coverage:.0f} % of the balls around data "
        "hold a sample (coverage)."
    )


def outlier_figure(where):
    """Left: balls around samples. Right: balls around data."""
    from matplotlib.patches import Circle

    real, fake = clouds(where)
    recall, coverage = precision_recall(real, fake, K).recall, density_coverage(real, fake, K).coverage
    panels = (
        (f"balls around samples: recall {recall:.2f}", fake, palette["orange"]),
        (f"balls around data: coverage {coverage:.2f}", real, palette["sky"]),
    )
    with style():
        height = 2.75
        fig = new_figure(WIDTH, height)
        title = "The ball of one outlier swallows data that no sample resembles"
        fig.text(0.1 / WIDTH, 1 - 0.08 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, (name, centers, color) in enumerate(panels):
            ax = fig.add_axes(((0.1 + 3.55 * k) / WIDTH, 0.32 / height, 3.45 / WIDTH, 1.85 / height))
            radii = torch.cdist(centers, centers).sort(1).values[:, K]
            for center, radius in zip(centers.tolist(), radii.tolist(), strict=True):
                ax.add_patch(Circle(center, radius, facecolor=color, alpha=0.18, edgecolor=color, linewidth=0.8))
            ax.plot(*real.T, "o", color=palette["blue"], markersize=4, label="data")
            ax.plot(*fake.T, "x", color=palette["vermillion"], markersize=5, label="samples")
            ax.set(xlim=(-2, 12.6), ylim=(-3.9, 3.9), xticks=[], yticks=[])
            ax.set_aspect("equal", adjustable="box")
            ax.spines[:].set(visible=True, color="#D0D0D0", linewidth=0.8)
            ax.set_title(name, fontsize=LABEL, loc="left", pad=4)
        ax.legend(loc="upper left", bbox_to_anchor=(-1.05, -0.02), ncols=2, frameon=False, fontsize=SMALL)
        fig.text(0.4, 0.1 / height, f"a ball reaches to the {K}rd neighbor in its own set", fontsize=SMALL, color=MUTED)
    return fig
