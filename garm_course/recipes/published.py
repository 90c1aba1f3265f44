"""Figures that papers publish on the standard benchmarks, each with its source, for the page of results.

Only figures of a paper stand here, not those of other people's repositories. A figure is that of the named variant of
the data: static and dynamic binarization of MNIST differ by 1 to 2 nats.
"""

from typing import NamedTuple

VARIANTS = {  # data sets whose name alone does not say what was done to the images
    "binarized_mnist": "MNIST, static binarization (pixels drawn once)",
    "mnist_dynamic": "MNIST, dynamic binarization (pixels drawn afresh)",
    "mnist_thresholded": "MNIST, thresholded at > 127",
    "cifar10": "CIFAR-10",
}


class Published(NamedTuple):
    """One figure of a paper, on the test split.

    Attributes:
        data: as recipes name it.
        model: as recipes name it; "" for a model that the course has no recipe for.
        what: the model as the paper has it.
        value: the negative log-likelihood, in "nats" per image or "bits/dim".
        unit: of the value.
        bound: whether the truth is at most the figure.
        source: authors and year.
        arxiv: number of the paper.
    """

    data: str
    model: str
    what: str
    value: float
    unit: str
    bound: bool
    source: str
    arxiv: str

    @property
    def text(self) -> str:
        """The figure with its unit, bounds marked; two digits after the point, as the papers print it."""
        return f"{'≤ ' if self.bound else ''}{self.value:.2f} {self.unit}"

    @property
    def link(self) -> str:
        """The source in Markdown, linked to the paper."""
        return f"[{self.source}, arXiv {self.arxiv}](https://arxiv.org/abs/{self.arxiv})"


_NADE = ("Uria, Murray, Larochelle (2014)", "1310.1757")
_MADE = ("Germain, Gregor, Murray, Larochelle (2015)", "1502.03509")
_PIXELRNN = ("van den Oord, Kalchbrenner, Kavukcuoglu (2016)", "1601.06759")
_GATED = ("van den Oord et al. (2016)", "1606.05328")
_IWAE = ("Burda, Grosse, Salakhutdinov (2016)", "1509.00519")
_PIXELCNNPP = ("Salimans, Karpathy, Chen, Kingma (2017)", "1701.05517")
_PIXELSNAIL = ("Chen, Mishra, Rohaninejad, Abbeel (2017)", "1712.09763")

PUBLISHED = (
    Published("binarized_mnist", "nade", "NADE, fixed order", 88.33, "nats", False, *_NADE),
    Published("binarized_mnist", "made", "MADE, two hidden layers, 32 masks", 86.64, "nats", False, *_MADE),
    Published("binarized_mnist", "pixelcnn", "PixelCNN", 81.30, "nats", False, *_PIXELRNN),
    Published("binarized_mnist", "row_lstm", "Row LSTM", 80.54, "nats", False, *_PIXELRNN),
    Published("binarized_mnist", "diagonal_bilstm", "Diagonal BiLSTM, 7 layers", 79.20, "nats", False, *_PIXELRNN),
    Published("binarized_mnist", "vae", "VAE, one stochastic layer", 88.71, "nats", True, *_IWAE),
    Published("binarized_mnist", "iwae", "IWAE, k = 50, one stochastic layer", 87.10, "nats", True, *_IWAE),
    Published("mnist_dynamic", "vae", "VAE, one stochastic layer", 86.76, "nats", True, *_IWAE),
    Published("mnist_dynamic", "iwae", "IWAE, k = 50, one stochastic layer", 84.78, "nats", True, *_IWAE),
    Published("cifar10", "pixelcnn", "PixelCNN", 3.14, "bits/dim", False, *_PIXELRNN),
    Published("cifar10", "gated_pixelcnn", "Gated PixelCNN", 3.03, "bits/dim", False, *_GATED),
    Published("cifar10", "diagonal_bilstm", "PixelRNN (Diagonal BiLSTM)", 3.00, "bits/dim", False, *_PIXELRNN),
    Published("cifar10", "pixelcnnpp", "PixelCNN++", 2.92, "bits/dim", False, *_PIXELCNNPP),
    Published("cifar10", "", "PixelSNAIL", 2.85, "bits/dim", False, *_PIXELSNAIL),
)
