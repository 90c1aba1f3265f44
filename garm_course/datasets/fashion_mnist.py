"""Fashion-MNIST: articles of clothing in the format and the numbers of MNIST, and harder than its digits."""

from garm_course.datasets.downloads import File, Source
from garm_course.datasets.idx import IdxImages

_MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def _file(stem: str, size: int, sha256: str) -> File:
    name = f"{stem}-ubyte.gz"
    return File(name, size, sha256, tuple(mirror + name for mirror in _MIRRORS), (name, name.removesuffix(".gz")))


# Sizes and SHA-256 as TensorFlow Datasets lists them (url_checksums/fashion_mnist.txt), and Keras for its mirror
FILES = Source(
    "fashion_mnist",
    {
        "train images": _file(
            "train-images-idx3", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        "train labels": _file(
            "train-labels-idx1", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        "test images": _file(
            "t10k-images-idx3", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        "test labels": _file(
            "t10k-labels-idx1", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    },
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST"),
    instead="digits",
)
COUNTS = {"train": (6000,) * 10, "test": (1000,) * 10}  # images per class
CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


class FashionMNIST(IdxImages):
    """Fashion-MNIST: photographs of clothing, 28x28 pixels, 256 gray levels.

    Card:
        What: articles of Zalando in ten classes: T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker,
            bag, ankle boot; light on dark.
        Source: H. Xiao, K. Rasul, R. Vollgraf; downloaded, or your own files in IDX format.
        Licence: MIT.
        Size: 50,000 images for training, 10,000 for validation (the last of the training file), 10,000 for test; 30.9
            MB to download.
        Cite: Xiao, Rasul, Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
            Algorithms, arXiv 1708.07747.
        Flaws: shirt, T-shirt, pullover and coat overlap; some articles are in training and test in nearly the same
            picture.

    Args:
        split: "train", "validation" or "test".
        n: only the first n images of the split; None for all.

    Raises:
        ValueError: for another split or n, or files that are no Fashion-MNIST.
        DownloadError: the files are not here and cannot be downloaded.
    """

    def __init__(self, split: str = "train", *, n: int | None = None):
        cite = "Fashion-MNIST (Xiao, Rasul, Vollgraf)"
        super().__init__("fashion_mnist", split, FILES, COUNTS, n, cite, "MIT")
