"""Pictures of a space of two latents: what is decoded where, where the data are, and a point to move."""

import math

import numpy as np
import torch

from garm_course.show.figures import (
    INK,
    LABEL,
    LINE_COLORS,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    as_array,
    new_figure,
    palette,
    show_figure,
    style,
    wrap,
)
from garm_course.show.sliders import Dial, slide

REACH = 3.0  # of the map, in standard deviations of the prior


def manifold(model, *, alt, title=None, n=14, display_id=None):
    """Show what a model of two latents decodes on a grid of equal shares of the prior, as one sheet of images.

    The grid stands at the quantiles (i + ½) / n of the prior in either direction, so that every image stands for the
    same probability.

    Args:
        model: a VAE with two latents under a standard normal prior, for gray images.
        alt: alternative text, also the caption.
        title: the finding.
        n: images in a row.

    Raises:
        ValueError: for a model with another number of latents or channels.
    """
    show_figure(manifold_figure(model, title=title, n=n), alt, display_id=display_id)


def manifold_figure(model, *, title=None, n=14):
    """The figure that `manifold` shows; arguments as there."""
    _check(model)
    at = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    z2, z1 = torch.meshgrid(at.flip(0), at, indexing="ij")  # the first row is the top
    ink = _decode(model, torch.stack([z1.flatten(), z2.flatten()], 1))  # (n², H, W)
    ink = np.pad(ink, ((0, 0), (2, 2), (1, 1)))  # digits fill their frame: a gap keeps them apart
    sheet = np.block([[ink[row * n + col] for col in range(n)] for row in range(n)])
    with style():
        fig, ax = _square(title, 5.0)
        ax.imshow(1 - 0.9 * sheet, cmap="gray", vmin=0, vmax=1, extent=(0, n, 0, n), aspect="auto")
        marks = np.arange(0, n, max(1, n // 4)) + 0.5
        words = [f"{at[int(m)]:.1f}" for m in marks]
        ax.set_xticks(marks, words)
        ax.set_yticks(marks, words)
        ax.set(xlabel="$z_1$, in standard deviations of the prior", ylabel="$z_2$")
    return fig


def latent_cloud(means, y, *, alt, title=None, drawn=None, display_id=None):
    """Show posterior means, each as the digit of its class, over rings of the prior.

    Args:
        means: (N, 2), posterior means.
        y: whole numbers (N,), classes 0 to 9.
        alt: alternative text, also the caption.
        title: the finding.
        drawn: (M, 2), points to show in gray behind them, such as draws from the aggregated posterior.

    Raises:
        ValueError: for another shape.
    """
    show_figure(latent_cloud_figure(means, y, title=title, drawn=drawn), alt, display_id=display_id)


def latent_cloud_figure(means, y, *, title=None, drawn=None):
    """The figure that `latent_cloud` shows; arguments as there."""
    means, y = as_array(means), as_array(y).astype(int)
    if means.ndim != 2 or means.shape[1] != 2 or y.shape != means.shape[:1]:
        raise ValueError(f"expected posterior means (N, 2) and classes (N,), got {means.shape} and {y.shape}")
    with style():
        fig, ax = _square(title, 4.6)
        if drawn is not None:
            ax.scatter(*as_array(drawn).T, s=5, color="#C8C8C8", linewidths=0, zorder=1)
        _draw_cloud(ax, means, y)
    return fig


def _square(title, side):
    """A page with a title and one square panel of `side` inches."""
    title = wrap(title, WIDTH - 0.2, TITLE, "bold") if title else ""
    head = 0.15 + 0.24 * (title.count("\n") + 1) * bool(title)
    high = head + side + 0.6
    fig = new_figure(WIDTH, high)
    if title:
        fig.text(0.1 / WIDTH, 1 - 0.08 / high, title, fontsize=TITLE, fontweight="bold", va="top")
    return fig, fig.add_axes((0.9 / WIDTH, 0.55 / high, side / WIDTH, side / high))


def _draw_cloud(ax, means, y, pale=False):
    """Each posterior mean as its digit, circles of the prior at 1, 2 and 3 standard deviations."""
    for k in sorted(set(y.tolist())):
        color = palette[LINE_COLORS[k % len(LINE_COLORS)]]
        ax.scatter(*means[y == k].T, marker=f"${k}$", s=26, color=color, linewidths=0.2, alpha=0.35 if pale else 0.9)
    angle = np.linspace(0, 2 * math.pi, 200)
    for radius in (1, 2, 3):
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=MUTED, lw=0.8, ls="-", zorder=0)
        at = radius * math.cos(-math.pi / 4), radius * math.sin(-math.pi / 4)  # below to the right, on white
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        ax.text(*at, f"{radius} sd", fontsize=SMALL - 1, color=MUTED, ha="center", va="center", bbox=paper, zorder=5)
    limit = max(REACH + 0.4, 1.05 * np.abs(means).max())
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$z_1$", ylabel="$z_2$")


def latent_map(model, x, y, *, start=(0.0, 0.0)):
    """Move a point over the two latents, and see the image that is decoded there and how probable the place is.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        model: a VAE with two latents under a standard normal prior, for gray images.
        x: LongTensor (N, 1, H, W), whose posteriors make the aggregated posterior.
        y: their classes (N,).
        start: the point of the first view.

    Raises:
        ValueError: for a model with another number of latents or channels, or a start off the map.
    """
    view = LatentMap(model, x, y)
    if not all(abs(value) <= REACH for value in start):
        raise ValueError(f"expected a start within -{REACH:g}..{REACH:g}, got {tuple(start)}")
    dials = [Dial(f"z{k + 1}", float(value), -REACH, REACH, 0.1) for k, value in enumerate(start)]
    slide("latent-map", view.figure, view.caption, dials)


class LatentMap:
    """A model of two latents with the posteriors of a data set.

    Attributes:
        mean: (N, 2), of the posteriors.
        logvar: (N, 2), of the posteriors.
        y: (N,), classes.
    """

    def __init__(self, model, x, y):
        _check(model)
        self.model, self.y = model, as_array(y).astype(int)
        with torch.no_grad():
            posterior = model.eval().encode(x)
        self.mean, self.logvar = posterior.mean.double(), posterior.logvar.double()

    def prior_density(self, z1, z2):
        """p(z) at the point."""
        return math.exp(-0.5 * (z1**2 + z2**2)) / (2 * math.pi)

    def aggregated_density(self, z1, z2):
        """q(z) = mean over the data of q(z | x), at the point."""
        z = torch.tensor([z1, z2], dtype=torch.float64)
        log_q = -0.5 * (math.log(2 * math.pi) + self.logvar + (z - self.mean) ** 2 * torch.exp(-self.logvar)).sum(1)
        return log_q.exp().mean().item()

    def image(self, z1, z2):
        """The expected ink (H, W) at the point, 0 to 1."""
        return _decode(self.model, torch.tensor([[z1, z2]], dtype=torch.float64))[0]

    def caption(self, z1, z2):
        """One sentence with both densities and the class that is nearest."""
        p, q = self.prior_density(z1, z2), self.aggregated_density(z1, z2)
        near = ((self.mean - torch.tensor([z1, z2], dtype=torch.float64)) ** 2).sum(1).topk(15, largest=False).indices
        votes = np.bincount(self.y[near.numpy()], minlength=10)
        return (
            f"Latent map at z = ({z1:.1f}, {z2:.1f}): density of the prior {p:.4f}, of the aggregated posterior "
            f"≈ {q:.4f}; of the 15 nearest posterior means, ≈ {votes.max()} belong to digit ≈ {votes.argmax()}."
        )

    def figure(self, z1, z2):
        """Left: the cloud of posterior means with the point. Right: what is decoded there."""
        side, high = 3.5, 4.2
        with style():
            fig = new_figure(WIDTH, high)
            ax = fig.add_axes((0.65 / WIDTH, 0.5 / high, side / WIDTH, side / high))
            _draw_cloud(ax, self.mean.numpy(), self.y, pale=True)
            ax.plot(z1, z2, marker="P", ms=11, mfc=palette["vermillion"], mec="white", mew=1.2, zorder=6)
            right = fig.add_axes((4.75 / WIDTH, 1.2 / high, 2.1 / WIDTH, 2.1 / high))
            right.imshow(1 - 0.9 * self.image(z1, z2), cmap="gray", vmin=0, vmax=1)
            right.set(xticks=[], yticks=[])
            right.spines[:].set(visible=True, color=MUTED, linewidth=0.8)
            fig.text(4.75 / WIDTH, 3.6 / high, "Decoded at the point", fontsize=LABEL, fontweight="bold", color=INK)
            fig.text(0.65 / WIDTH, 1 - 0.1 / high, "Posterior means", fontsize=LABEL, fontweight="bold", va="top")
        return fig


def _check(model):
    if model.latents != 2 or model.shape[0] != 1 or not hasattr(model.prior, "posterior") or model.prior.n_params != 2:
        raise ValueError(
            f"expected a VAE of two Gaussian latents for images of one channel, got {model.latents} latents and "
            f"{model.shape[0]} channels"
        )


@torch.no_grad()
def _decode(model, z):
    """(N, 2) -> expected ink (N, H, W), 0 to 1."""
    z = z.to(next(model.parameters()))
    return as_array(model.draw(z, mean=True)[:, 0]) / (model.levels - 1)
