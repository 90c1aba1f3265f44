"""What temperature and nucleus do to samples and to their likelihood, with a slider for each."""

import numpy as np

from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.grids import check_images, colors
from garm_course.show.sliders import Dial, slide


def filtered_samples(model, data, *, y=None, n=64, temperature=1.0, top_p=1.0, seed=0, ink=None):
    """Show samples at a temperature and a nucleus beside what they cost under the model, with a slider for each.

    All settings use the same uniforms, so that a picture changes only where a setting changes it. The likelihood is
    that of the model itself, without filters.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        model: an autoregressive model.
        data: LongTensor (N, C, H, W), held-out images for comparison.
        y: LongTensor (n,) of classes of the samples, for a model with classes.
        n: number of samples, at least 16.
        temperature: of the first view.
        top_p: of the first view.
        seed: of the uniforms.
        ink: as in `grid`.
    """
    view = Filtering(model, data, y=y, n=n, seed=seed, ink=ink)
    dials = [Dial("temperature", float(temperature), 0.0, 2.0, 0.1), Dial("top-p", float(top_p), 0.1, 1.0, 0.1)]
    slide("filtered-samples", view.figure, view.caption, dials)


class Filtering:
    """Samples and their cost at every setting, computed when it is first asked for.

    Attributes:
        data_nats: (N,) nats of the held-out images.
        limit: nats of the uniform distribution.
    """

    def __init__(self, model, data, *, y=None, n=64, seed=0, ink=None):
        if n < 16:
            raise ValueError(f"expected n >= 16 samples, of which 16 are shown, got {n}")
        if model.n_classes and y is None:
            raise ValueError(f"expected y, the classes of the {n} samples, for a model with classes")
        check_images(data, model.levels)
        self.model, self.y, self.n, self.seed, self.ink = model, y, n, seed, ink
        self.limit = float(np.prod(model.shape) * np.log(model.levels))
        self.views = {}
        self.data_nats = self._data_nats(data)

    def _data_nats(self, data):
        import torch

        with torch.no_grad():
            if not self.model.n_classes:
                log_p = self.model.log_prob(data)
            else:  # without a label: p(x) with equally frequent classes
                log_p = self.model.class_log_probs(data).logsumexp(1) - np.log(self.model.n_classes)
        return -log_p.double().cpu().numpy()

    def at(self, temperature, top_p):
        """Of a setting: images (n, C, H, W); their cost (n,) under the model; mean of their cost under the sampler."""
        import torch

        from garm_course.distributions.filters import filter_logits

        key = (round(temperature, 3), round(top_p, 3))
        if key not in self.views:
            rng = torch.Generator().manual_seed(self.seed)
            x = self.model.sample(self.n, self.y, temperature=key[0], top_p=key[1], rng=rng)
            with torch.no_grad():
                logits = self.model.head.logits(self.model(x, self.y))  # (n, C, H, W, levels)
            filtered = filter_logits(logits, temperature=key[0], top_p=key[1])
            nats, own = (
                -t.log_softmax(-1).gather(-1, x.unsqueeze(-1)).flatten(1).sum(1).double().cpu().numpy()
                for t in (logits, filtered)
            )
            self.views[key] = (x, nats, own.mean())
        return self.views[key]

    def caption(self, temperature, top_p):
        """The picture in words."""
        _, nats, entropy = self.at(temperature, top_p)
        return (
            f"Temperature {temperature:.1f}, top-p {top_p:.1f}: on average, a sample costs ≈ {nats.mean():.1f} nats "
            f"and a held-out image ≈ {self.data_nats.mean():.1f}; the entropy of the samples is ≈ {entropy:.1f} nats."
        )

    def figure(self, temperature, top_p):
        """Left: the first 16 samples. Right: what samples and held-out images cost, in nats of the model."""
        x, nats, entropy = self.at(temperature, top_p)
        height, width = x.shape[2:]
        pictures = colors(x[:16].cpu().numpy(), self.model.levels, self.ink)  # (16, H, W, 3)
        gap = max(1, width // 8)
        sheet = np.full((4 * (height + gap) - gap, 4 * (width + gap) - gap, 3), 0.82)
        for k, picture in enumerate(pictures):
            r, c = k // 4 * (height + gap), k % 4 * (width + gap)
            sheet[r : r + height, c : c + width] = picture
        with style():
            tall, side = 3.75, 2.55
            fig = new_figure(WIDTH, tall)
            words = f"Temperature {temperature:.1f}, top-p {top_p:.1f}: {self._finding(nats, entropy)}"
            title = wrap(words, WIDTH - 0.3, TITLE, "bold")
            fig.text(0.1 / WIDTH, 1 - 0.1 / tall, title, fontsize=TITLE, fontweight="bold", va="top")
            ax = fig.add_axes((0.15 / WIDTH, 0.2 / tall, side / WIDTH, side / tall))
            ax.imshow(sheet, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.set_title(f"The first 16 of {self.n} samples", fontsize=LABEL, loc="left", pad=4)
            left, wide = side + 0.6, WIDTH - side - 0.8
            bins = np.linspace(0, self.limit, 46)
            rows = [
                (f"Samples: {nats.mean():.1f} nats on average", nats, palette["vermillion"]),
                (f"Held-out images: {self.data_nats.mean():.1f} nats", self.data_nats, palette["blue"]),
            ]
            for k, (name, values, color) in enumerate(rows):
                bottom = 0.55 + (1 - k) * 1.2
                part = fig.add_axes((left / WIDTH, bottom / tall, wide / WIDTH, 0.85 / tall))
                shares = np.full(len(values), 1 / len(values))
                part.hist(np.clip(values, 0, self.limit), bins, weights=shares, color=color)
                part.axvline(values.mean(), color="black", lw=1.2)
                part.set(xlim=(0, self.limit), yticks=[])
                part.spines[["left", "right", "top"]].set_visible(False)
                part.set_title(name, fontsize=LABEL, loc="left", pad=4)
                if k:
                    part.set_xlabel("nats of an image under the model without filters", fontsize=SMALL, color=MUTED)
                else:
                    part.tick_params(labelbottom=False)
        return fig

    def _finding(self, nats, entropy):
        gap = nats.mean() - self.data_nats.mean()
        cost = "as much as data" if abs(gap) < 2 else f"{abs(gap):.0f} nats {'less' if gap < 0 else 'more'} than data"
        return f"samples cost {cost}, their entropy is {entropy:.0f} nats"
