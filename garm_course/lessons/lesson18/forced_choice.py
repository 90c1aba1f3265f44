"""Twenty pairs of one data image and one sample: which is the data? With buttons, and with a classifier's own score."""

import math

import torch

from garm_course.show.figures import MUTED, SMALL, TITLE, WIDTH, new_figure, palette, show_figure, style, update
from garm_course.show.grids import check_images, colors

PAIRS, COLUMNS = 20, 5


def exact_interval(hits, n, level=0.95):
    """The exact binomial interval of a share (Clopper and Pearson 1934): the p under which `hits` is no surprise.

    Args:
        hits: 0..n.
        n: independent trials, at least 1.
        level: of the interval, in (0, 1).

    Returns:
        (low, high) in [0, 1].

    Example:
        >>> [round(end, 3) for end in exact_interval(10, 20)]
        [0.272, 0.728]
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"expected 0 <= hits <= n and n >= 1, got {hits} of {n}")
    tail = (1 - level) / 2

    def at_least(p, k):
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

    def solve(above):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if above(middle) else (middle, high)
        return (low + high) / 2

    low = 0.0 if hits == 0 else solve(lambda p: at_least(p, hits) > tail)
    high = 1.0 if hits == n else solve(lambda p: 1 - at_least(p, hits + 1) < tail)
    return low, high


class ForcedChoice:
    """Twenty pairs, which side of each is the data, and the answers so far.

    Args:
        real: LongTensor (N, C, H, W) of levels, N above 20: the first 20 are shown, the others fit the classifier.
        fake: the same of samples.
        levels: of a pixel.
        rng: of the sides.
    """

    def __init__(self, real, fake, *, levels, rng):
        if len(real) <= PAIRS or len(fake) <= PAIRS:
            raise ValueError(f"expected more than {PAIRS} images of each kind, got {len(real)} and {len(fake)}")
        self.levels = levels
        self.data_left = torch.rand(PAIRS, generator=rng) < 0.5
        pair = torch.stack([real[:PAIRS], fake[:PAIRS]], 1)  # (20, 2, C, H, W)
        self.images = torch.where(self.data_left[:, None, None, None, None], pair, pair.flip(1))
        self.answers = []
        self.machine = self._classifier(real, fake)

    def _classifier(self, real, fake):
        """How many pairs logistic regression on pixels gets right, fitted on the other images."""
        from sklearn.linear_model import LogisticRegression

        rows = torch.cat([fake[PAIRS:], real[PAIRS:]]).flatten(1).double().numpy()
        labels = [0] * (len(fake) - PAIRS) + [1] * (len(real) - PAIRS)
        fitted = LogisticRegression(max_iter=1000, C=0.01).fit(rows, labels)
        left, right = (fitted.decision_function(self.images[:, k].flatten(1).double().numpy()) for k in (0, 1))
        return int(((left > right) == self.data_left.numpy()).sum())

    @property
    def right(self):
        return sum(a == bool(t) for a, t in zip(self.answers, self.data_left, strict=False))

    def answer(self, left):
        """Note that the left (or right) image of the current pair is taken for the data."""
        if len(self.answers) < PAIRS:
            self.answers.append(bool(left))

    def caption(self):
        """The state in words."""
        low, high = exact_interval(self.machine, PAIRS)
        machine = (
            f"Logistic regression on pixels gets ≈ {self.machine} of the twenty right (exact interval of its share: "
            f"≈ {low:.2f} to ≈ {high:.2f})."
        )
        if not self.answers:
            return f"Twenty pairs of a held-out image and a sample, in random order: which is the data? {machine}"
        low, high = exact_interval(self.right, len(self.answers))
        you = f"You: {self.right} of {len(self.answers)} right (95 % interval: {low:.2f} to {high:.2f})."
        return you if len(self.answers) < PAIRS else f"{you} {machine}"

    def figure(self):
        """All pairs; the current one is framed, and of answered ones the data are underlined."""
        from matplotlib.patches import Rectangle

        side, gap, between, line = 0.6, 0.05, 0.16, 0.24
        rows = PAIRS // COLUMNS
        height = 0.42 + rows * (side + line)
        with style():
            fig = new_figure(WIDTH, height)
            ax = fig.add_axes((0, 0, 1, 1))
            ax.set(xlim=(0, WIDTH), ylim=(height, 0))
            ax.axis("off")
            ax.text(0.1, 0.24, "Which image of each pair is the data?", fontsize=TITLE, fontweight="bold")
            for k in range(PAIRS):
                r, c = divmod(k, COLUMNS)
                x, y = 0.1 + c * (2 * side + gap + between), 0.42 + r * (side + line)
                for s in (0, 1):
                    at = x + s * (side + gap)
                    image = colors(check_images(self.images[k, s : s + 1], self.levels), self.levels)[0]
                    ax.imshow(image, extent=(at, at + side, y + side, y), vmin=0, vmax=1, aspect="auto")
                    ax.add_patch(Rectangle((at, y), side, side, fill=False, edgecolor="#D0D0D0", linewidth=0.6))
                    if k < len(self.answers) and bool(self.data_left[k]) == (s == 0):
                        ax.hlines(y + side + 0.03, at, at + side, color=palette["green"], linewidth=3)
                word, color = f"{k + 1}", MUTED
                if k < len(self.answers):
                    hit = self.answers[k] == bool(self.data_left[k])
                    word, color = f"{k + 1} {'right' if hit else 'wrong'}", "black"
                elif k == len(self.answers):
                    frame = (x - 0.04, y - 0.04), 2 * side + gap + 0.08, side + 0.08
                    ax.add_patch(Rectangle(*frame, fill=False, edgecolor=palette["vermillion"], linewidth=2))
                ax.text(x, y + side + 0.17, word, fontsize=SMALL, color=color)
            ax.set(xlim=(0, WIDTH), ylim=(height, 0))
        return fig


def forced_choice(real, fake, *, levels, rng):
    """Show twenty pairs, with two buttons to say which side is the data; Tab and the space bar work as well.

    Without ipywidgets, and on a printed page, the pairs stand by themselves.

    Args:
        real: see `ForcedChoice`.
        fake: see `ForcedChoice`.
        levels: of a pixel.
        rng: of the sides.
    """
    game = ForcedChoice(real, fake, levels=levels, rng=rng)
    name = "forced-choice"
    show_figure(game.figure(), game.caption(), display_id=name)
    buttons = _buttons()
    if buttons is None:
        print("ipywidgets is not installed, so this view stands still; pip install ipywidgets brings the buttons.")
        return

    def clicked(left):
        game.answer(left)
        update(game.figure(), game.caption(), display_id=name)

    for button, left in zip(buttons, (True, False), strict=True):
        button.on_click(lambda _, left=left: clicked(left))
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:
        for button in buttons:
            display(button)


def _buttons():
    try:
        from ipywidgets import Button
    except ImportError:
        return None

    class Named(Button):
        def __repr__(self):
            return f"[button {self.description}]"

    return [
        Named(description=f"{side} is the data", tooltip=f"In the framed pair the {side} image is the data")
        for side in ("left", "right")
    ]
