"""The challenge: a player's model is trained where no test data are, and scored by questions about prefixes.

A player's file has a class `Model` with three methods, see `example_player`. The referee trains it once, in a sandbox.
Then it asks, position by position: these are the first i values of n images, the rest is noise; your logits for value
i? The softmax is the referee's, so whatever the player answers, its probabilities of all images sum to 1: equation
(21.7) of lesson 21. And as long as an answer depends on nothing but the prefix, they are one model's.

That is what the second round looks at: a random half of the images is asked about again, in another order and with
other noise. An honest player answers alike, to the rounding of its arithmetic; one that looks behind the prefix, at
other images of the batch, or learns from the questions does not.

Models without conditionals play for another kind of score, on a board of its own: see `kinds`.
"""

import hashlib
import math
import platform
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from garm_course import __version__, datasets, load_pretrained
from garm_course.evaluation.likelihood import Difference, Likelihood, standard_error
from garm_course.grading.kinds import ALIKE, DRAWS, KINDS, Samples, blind_bounds, judge
from garm_course.grading.sandbox import WAIT, Foul, Sandbox, walls

LARGEST = 32_000  # bytes of a player's file
PLAYER = Path(__file__).with_name("player.py")
CLOSED = ("sklearn.datasets", "garm_course.datasets", "garm_course.weights", "garm_course.recipes")


class Task(NamedTuple):
    """What is played for."""

    words: str
    train: Callable[[], object]  # a data set
    test: Callable[[int], object]  # a data set, of a secret seed
    turned: bool  # whether images are shown in a secret one of the eight turned and mirrored forms


TASKS = {
    "digits": Task(
        "1,797 handwritten digits of 8 x 8 pixels, which everybody has on disk: shown turned or mirrored in secret",
        lambda: datasets.load("digits", "train"),
        lambda seed: datasets.load("digits", "test"),
        turned=True,
    ),
    "glyphs": Task(
        "printed digits of 28 x 28 pixels, the test set drawn anew from a secret seed: nobody can have stored it",
        lambda: datasets.load("glyphs", "train"),
        lambda seed: datasets.load("glyphs", "test", n=200, seed=seed),
        turned=False,
    ),
}


class Result(NamedTuple):
    """What a referee saw of an honest player."""

    data: str
    dims: int
    scores: list[float]  # nats of each test image; of kind "samples", the Fréchet distance of each set
    kl: Difference | None  # KL(data || model) in nats, where the probability of the data is known
    repeat: float  # the largest difference between two answers about one image, in nats
    cpu_seconds: float  # for training; by the clock where there is no /proc
    file_sha256: str
    test_sha256: str  # of the test images as they were shown: scores of equal ones can be paired
    walls: str
    versions: dict[str, str]
    kind: str = "exact"
    coverage: float | None = None  # of samples
    copying: float | None = None  # of samples, see `kinds.Samples`

    @property
    def likelihood(self) -> Likelihood:
        """Mean and standard error over the images, of kinds "exact" and "bound"."""
        bound = f"IWAE-{DRAWS}" if self.kind == "bound" else ""
        return replace(_mean(self.scores, self.dims, Likelihood), bound=bound)


def challenge(
    file: Path,
    data: str = "digits",
    *,
    kind: str = "exact",
    seconds: float = 60.0,
    seed: int | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    wait: float = WAIT,
) -> Result:
    """Train the player of a file and score it.

    Args:
        file: one Python file of at most 32 kB with a class `Model`.
        data: "digits" or "glyphs", see `TASKS`.
        kind: "exact", "bound" or "samples", see `kinds`.
        seconds: of a processor for training, and as many again for all answers; at most 5 % more are tolerated.
        seed: of the test set or of the turn, the order of questions and the noise; None draws one in secret, as it must
            be where something depends on the outcome.
        n_train: only the first of the training images.
        n_test: only the first of the test images.
        wait: seconds by the clock that a player may spend without computing.

    Returns:
        The result, for `submit`.

    Raises:
        Foul: what the player did wrong, in one line.
        ValueError: for unknown data, seconds that are not positive, or a file that is not there.
    """
    if data not in TASKS:
        raise ValueError(f"expected data of a challenge, {' or '.join(TASKS)}, got {data!r}")
    if kind not in KINDS:
        raise ValueError(f"expected a kind of {', '.join(KINDS)}, got {kind!r}")
    if not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise ValueError(f"expected seconds > 0 of a processor, got {seconds!r}")
    source = _source(Path(file))
    seed = secrets.randbits(31) if seed is None else seed
    rng = np.random.default_rng([seed, 21])
    task = TASKS[data]
    train, test = task.train(), task.test(seed)
    form = int(rng.integers(8)) if task.turned else 0
    x, y, images = turn(train.x[:n_train], form), train.y[:n_train], turn(test.x[:n_test], form)
    shape, levels = tuple(x.shape[1:]), train.levels
    setup = {"hidden": _hidden(), "modules": CLOSED}
    # a seed of its own: the referee's gives the test set away
    model = {"source": source, "shape": shape, "levels": levels, "seed": secrets.randbits(31)}
    log_probs = found = None
    apart = 0.0
    with Sandbox(PLAYER, setup, wait=wait) as player:
        begun = player.seconds()
        player.ask("train", {**model, "y": y.tolist(), "seconds": seconds}, _bytes(x), seconds=1.05 * seconds)
        trained = player.seconds()
        ask = Questions(player, 1.05 * seconds)
        flat = images.flatten(1)
        if kind == "exact":
            log_probs, apart = ask_twice(lambda prefix, i: ask.logits(prefix, levels, i), flat, levels, rng)
        elif kind == "bound":
            state = player.ask("state", seconds=seconds)
            with Sandbox(PLAYER, setup, wait=wait) as other:
                other.ask("load", model, state, seconds=seconds)
                decoder = Questions(other, 1.05 * seconds)
                log_probs, apart = blind_bounds(
                    ask.code, lambda z: decoder.decoded(z, flat.shape[1], levels), flat, levels, rng
                )
        else:
            back = lambda x: turn_back(x, form)  # noqa: E731  to the form that the classifier knows
            classifier = load_pretrained(f"classifier-{data}")
            found = judge(lambda n, s: back(ask.samples(n, s, shape, levels)), back(x), back(images), classifier, rng)
    return _result(kind, data, test, images, source, log_probs, found, apart, trained - begun)


def _result(
    kind: str, data: str, test: object, images: Tensor, source: str, log_probs: Tensor | None, found: Samples | None,
    apart: float, seconds: float,
) -> Result:  # fmt: skip
    """What was measured, with what it was measured on."""
    dims, kl = images[0].numel(), None
    if log_probs is not None and hasattr(test, "log_prob"):
        kl = _mean((test.log_prob(images).double() - log_probs).tolist(), dims, Difference)
    versions = {"garm_course": __version__, "torch": torch.__version__, "python": platform.python_version()}
    of_file, of_test = (hashlib.sha256(part).hexdigest() for part in (source.encode(), _bytes(images)))
    scores = found.distances if found else (-log_probs).tolist()
    coverage, copying = (found.coverage, found.copying) if found else (None, None)
    return Result(
        data, dims, scores, kl, apart, round(seconds, 2), of_file, of_test, walls(), versions, kind, coverage, copying
    )


class Questions:
    """What a trained player is asked, within a limit for all answers together.

    Args:
        child: that has been trained.
        seconds: of a processor, for all answers.
    """

    def __init__(self, child: Sandbox, seconds: float):
        self.child, self.until = child, child.seconds() + seconds

    def _ask(self, word: str, values: dict, data: bytes) -> bytes:
        return self.child.ask(word, values, data, seconds=max(self.until - self.child.seconds(), 0.01))

    def logits(self, prefix: Tensor, levels: int, i: int) -> Tensor:
        """(n, levels), of value i after prefixes (n, D)."""
        values = {"n": len(prefix), "levels": levels, "i": i}
        return _numbers(self._ask("logits", values, _bytes(prefix)), len(prefix), levels)

    def code(self, x: Tensor) -> Tensor:
        """(n, 2 Z) means and log-variances, of images (n, D)."""
        answer = self._ask("encode", {"n": len(x)}, _bytes(x))
        latents, rest = divmod(len(answer), 16 * len(x))
        if rest or not latents:
            raise Foul("its encoder gave no latents")
        return _numbers(answer, len(x), 2 * latents)

    def decoded(self, z: Tensor, d: int, levels: int) -> Tensor:
        """(m, D, levels) logits, of latents (m, Z)."""
        values = {"n": len(z), "d": d, "levels": levels}
        return _numbers(self._ask("decode", values, z.numpy().tobytes()), len(z), d, levels)

    def samples(self, n: int, seed: int, shape: tuple, levels: int) -> Tensor:
        """LongTensor (n, *shape) of levels."""
        answer = self._ask("sample", {"n": n, "seed": seed, "shape": shape, "levels": levels}, b"")
        if len(answer) != n * math.prod(shape):
            raise Foul("it wrote into the pipe that its answers take")
        x = torch.from_numpy(np.frombuffer(answer, np.uint8).astype(np.int64)).view(n, *shape)
        if x.max() >= levels:
            raise Foul(f"its samples have levels up to {x.max()}, there are {levels}")
        return x


def _numbers(answer: bytes, *shape: int) -> Tensor:
    """The float64 numbers of an answer."""
    if len(answer) != 8 * math.prod(shape):
        raise Foul("it wrote into the pipe that its answers take")
    return torch.from_numpy(np.frombuffer(answer, np.float64).reshape(shape).copy())


def ask_twice(
    ask: Callable[[Tensor, int], Tensor], x: Tensor, levels: int, rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Score images, and ask again about a random half: half, since a mean over the batch is the same in any order.

    Args:
        ask: see `blind_log_probs`.
        x: see `blind_log_probs`.
        levels: see `blind_log_probs`.
        rng: see `blind_log_probs`.

    Returns:
        (n,) nats of the first round, and by how much the second one differs at most.

    Raises:
        Foul: the answers differ, or are not finite.
    """
    first = blind_log_probs(ask, x, levels, rng)
    half = torch.from_numpy(rng.permutation(len(x))[: (len(x) + 1) // 2])
    apart = (blind_log_probs(ask, x[half], levels, rng) - first[half]).abs().max().item()
    if not apart <= ALIKE:
        raise Foul(
            "asked again about half of the images, in another order and with other noise behind the prefix, it answers "
            f"otherwise, by up to {apart:.3g} nats: an answer must depend on the prefix alone"
        )
    return first, apart


def blind_log_probs(ask: Callable[[Tensor, int], Tensor], x: Tensor, levels: int, rng: np.random.Generator) -> Tensor:
    """Log-probabilities of images by questions about prefixes, in a random order of the images.

    Args:
        ask: (prefixes (n, D), i) -> logits (n, levels) for value i; values i and later are noise.
        x: LongTensor (n, D) of levels.
        levels: number of levels.
        rng: of the order and the noise.

    Returns:
        (n,) nats, in the order of x.

    Raises:
        Foul: logits that are not finite.
    """
    n, d = x.shape
    order = torch.from_numpy(rng.permutation(n))
    total = torch.zeros(n, dtype=torch.float64)
    for i in range(d):
        prefix = x[order].clone()
        prefix[:, i:] = torch.from_numpy(rng.integers(levels, size=(n, d - i)))
        logits = ask(prefix, i)
        if not torch.isfinite(logits).all():
            raise Foul(f"its logits at position {i} are not finite; a value that cannot occur may have -1e30")
        total[order] += logits.log_softmax(1).gather(1, x[order, i : i + 1])[:, 0]
    return total


def turn(x: Tensor, form: int) -> Tensor:
    """Images (N, C, H, W) in one of their eight turned and mirrored forms, 0 as they are."""
    x = x.rot90(form % 4, (2, 3))
    return (x.flip(3) if form >= 4 else x).contiguous()


def turn_back(x: Tensor, form: int) -> Tensor:
    """The images whose `turn` x is."""
    return (x.flip(3) if form >= 4 else x).rot90(-(form % 4), (2, 3)).contiguous()


def example_player(kind: str = "exact") -> str:
    """The text of an honest player to start from."""
    name = "example_player.py" if kind == "exact" else "example_vae.py"
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _source(file: Path) -> str:
    if not file.is_file():
        raise ValueError(f"there is no file {file}; garm challenge --example writes one to start from")
    if file.stat().st_size > LARGEST:
        raise Foul(f"the file has {file.stat().st_size:,} bytes, more than {LARGEST:,}: weights are made in fit")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Foul("the file is no text in UTF-8") from None


def _hidden() -> list[str]:
    """Folders with data that the course or scikit-learn brings along."""
    import sklearn

    package = Path(__file__).parents[1]
    folders = [Path(sklearn.__file__).parent / "datasets", package / "datasets", package / "weights"]
    return [str(folder) for folder in folders]


def _bytes(x: Tensor) -> bytes:
    return x.to(torch.uint8).numpy().tobytes()


def _mean(values: list[float], dims: int, kind: type[Likelihood]) -> Likelihood:
    numbers = torch.tensor(values, dtype=torch.float64)
    return kind(numbers.mean().item(), standard_error(numbers), len(numbers), dims)
