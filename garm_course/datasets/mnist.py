"""MNIST: 70,000 handwritten digits of 28x28 pixels, in three variants that must not be confused.

Likelihoods of different variants cannot be compared: `mnist` has 256 levels; `mnist_thresholded` sets what is above
127; `mnist_dynamic` draws each pixel with its gray value as the probability, afresh each time an image is asked for.
The static benchmark, whose pixels were drawn once and for all, is `binarized_mnist`.
"""

import torch
from torch import Tensor

from garm_course.datasets.base import SPLITS, Dataset, check_integer
from garm_course.datasets.downloads import File, Source
from garm_course.datasets.fresh import Fresh
from garm_course.datasets.idx import IdxImages

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
    "http://yann.lecun.com/exdb/mnist/",  # the original; it has answered 403, 404 and 503 for years
)


def _file(stem: str, size: int, sha256: str) -> File:
    name = f"{stem}-ubyte.gz"
    plain = name.removesuffix(".gz")
    names = (name, plain, plain.replace("-idx", ".idx"))  # the last is how some unpackers call it
    return File(name, size, sha256, tuple(mirror + name for mirror in _MIRRORS), names)


# Sizes and SHA-256 as in the checksum list of TensorFlow Datasets (url_checksums/mnist.txt)
FILES = Source(
    "mnist",
    {
        "train images": _file(
            "train-images-idx3", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train labels": _file(
            "train-labels-idx1", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "test images": _file(
            "t10k-images-idx3", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "test labels": _file(
            "t10k-labels-idx1", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    },
    folders=("mnist", "MNIST/raw", "MNIST", "."),
    instead="digits",
)
FIXED = 2**31  # seeds of the fixed draws, far from those of fresh ones (torch takes a seed modulo 2^32)
# Images per class 0..9: they tell MNIST from the data sets that were made to look like it
COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}


class MNIST(IdxImages):
    """MNIST as it is: handwritten digits 0-9, 28x28 pixels, 256 gray levels.

    Card:
        What: handwritten digits by about 500 writers, centered in 28x28 pixels, 0 for paper and 255 for ink.
        Source: Y. LeCun, C. Cortes, C. J. C. Burges, from Special Databases 1 and 3 of NIST; downloaded, or your own
            files in IDX format.
        Licence: CC BY-SA 3.0 according to Keras; the authors' own page is not known to state one.
        Size: 50,000 images for training, 10,000 for validation (the last of the training file), 10,000 for test; 11.6
            MB to download.
        Cite: LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition,
            Proceedings of the IEEE 86(11), pages 2278-2324.
        Flaws: a few labels are wrong (Northcutt, Athalye, Mueller 2021, arXiv 2103.14749); gray comes from scaling
            black and white, so 0 and levels near 255 prevail; of 60,000 test digits only 10,000 were ever
            distributed (Yadav and Bottou 2019, arXiv 1905.10498).

    Args:
        split: "train", "validation" or "test".
        n: only the first n images of the split; None for all.

    Raises:
        ValueError: for another split or n, or files that are no MNIST.
        DownloadError: the files are not here and cannot be downloaded.
    """

    shown, instead = "mnist", "digits"  # what messages call it, and suggest

    def __init__(self, split: str = "train", *, n: int | None = None):
        files = FILES._replace(shown=self.shown, instead=self.instead)
        cite = "MNIST (LeCun, Cortes, Burges)"
        super().__init__("mnist", split, files, COUNTS, n, cite, "CC BY-SA 3.0 (according to Keras)")


class MNISTThresholded(MNIST):
    """MNIST in black and white: a pixel is 1 where its gray level is above 127.

    Card:
        What: the digits of `mnist`, binary, by a threshold: a variant of this course, without chance.
        Source: `mnist`.
        Licence: as `mnist`.
        Size: as `mnist`.
        Cite: as `mnist`; say "thresholded at > 127" beside every figure.
        Flaws: those of `mnist`. Its edges have no noise, so its figures are far below those of the dynamic and the
            static benchmark and must not be compared with them. Some ten images are the same in two splits.

    Args:
        split: as in `MNIST`.
        n: as in `MNIST`.

    Raises:
        ValueError, DownloadError: as in `MNIST`.
    """

    shown, instead = "mnist_thresholded", "glyphs"

    def __init__(self, split: str = "train", *, n: int | None = None):
        super().__init__(split, n=n)
        self.name, self.levels = "mnist_thresholded", 2
        torch.gt(self.x, 127, out=self.x)  # in place: no second tensor of this size


class _Gray(MNIST):
    shown, instead = "mnist_dynamic", "glyphs"


class MNISTDynamic(Fresh):
    """MNIST in black and white by chance: a pixel is 1 with probability gray / 255.

    In training, each time that an image is asked for it is drawn anew, which keeps a model from learning the pixels of
    one draw by heart. `x`, which evaluation, baselines and pictures look at, is one fixed draw in every split, the same
    whatever the seed.

    Card:
        What: the digits of `mnist`, binary, drawn with their gray as the probability; training draws afresh each time.
        Source: `mnist`.
        Licence: as `mnist`.
        Size: as `mnist`.
        Cite: as `mnist`; "dynamic binarization" after Salakhutdinov and Murray (2008), On the quantitative analysis of
            deep belief networks, ICML. Say "dynamic" beside every figure.
        Flaws: those of `mnist`. Papers draw their test images in different ways, some afresh at each evaluation; the
            draw here is fixed, so its figures repeat. It is not the static benchmark (`binarized_mnist`): figures
            differ by 1 to 2 nats.

    Args:
        split: as in `MNIST`.
        n: as in `MNIST`.
        seed: of the draws in training.

    Attributes:
        x: LongTensor (N, 1, 28, 28) of 0 and 1, the fixed draw.
        gray: uint8 tensor (N, 1, 28, 28), 255 times the probabilities.

    Raises:
        ValueError, DownloadError: as in `MNIST`.
    """

    def __init__(self, split: str = "train", *, n: int | None = None, seed: int = 0):
        check_integer("seed", seed, 0, 2**60)
        gray = _Gray(split, n=n)
        self.gray = gray.x.to(torch.uint8)
        fixed = torch.Generator().manual_seed(FIXED + SPLITS.index(split))
        x = gray.x
        for rows in torch.arange(len(x)).split(1000):  # in place, some images at a time: no second tensor of this size
            x[rows] = binarize(self.gray[rows], fixed)
        super().__init__(
            Dataset(
                "mnist_dynamic",
                split,
                x,
                gray.y,
                levels=2,
                n_classes=10,
                source=f"{gray.source}, pixels drawn",
                licence=gray.licence,
            ),
            seed,
        )

    def draw(self, index, rng: torch.Generator) -> Tensor:
        """The images at an index, their pixels drawn now."""
        return binarize(self.gray[index], rng)


def binarize(gray: Tensor, rng: torch.Generator) -> Tensor:
    """Draw each pixel: 1 with probability gray / 255.

    Args:
        gray: uint8 tensor (...).
        rng: one uniform a pixel is drawn from it.

    Returns:
        LongTensor (...) of 0 and 1.
    """
    return (torch.rand(gray.shape, generator=rng) * 255 < gray).long()
