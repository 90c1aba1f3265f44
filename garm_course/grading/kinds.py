"""What a player may be scored by: its likelihood, a bound on it, or its samples.

"exact": logits given prefixes, see `challenge.blind_log_probs`.

"bound": an encoder q(z | x) and a decoder p(x | z), whose prior is standard normal. The referee draws the latents,
evaluates both Gaussians, and takes the softmax of the decoder's logits itself, so p(x) = E p(x | z) sums to 1 over all
images whatever the decoder is, and log of the mean of K weights is at most log p(x) in expectation: equation (21.1) of
lesson 21. That needs a decoder that knows the latents only. A process that has seen the images could find the image
that a latent belongs to; so the decoder runs in a child of its own, which is given the trained weights, and no image.

"samples": sets of samples, compared with test images in the features of the course's classifier.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from garm_course.evaluation.features import features
from garm_course.evaluation.samples import density_coverage, frechet_distance
from garm_course.grading.sandbox import Foul
from garm_course.trust.memorization import copy_test

KINDS = ("exact", "bound", "samples")
ALIKE = 1e-3  # nats by which two answers may differ: sums in another order
DRAWS = 50  # latents for each image
ROWS = 600  # latents in one question
MOST_LATENTS = 512
SETS = 5  # of samples
COPIES = 4.0  # standard deviations of the copy test above which samples count as copies


def blind_bounds(
    encode: Callable[[Tensor], Tensor],
    decode: Callable[[Tensor], Tensor],
    x: Tensor,
    levels: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[Tensor, float]:
    """Lower bounds on log p(x) of images, from an encoder and a decoder that know nothing of each other.

    Args:
        encode: x (n, D) -> (n, 2 Z), means and log-variances of the latents.
        decode: z (m, Z) -> logits (m, D, levels).
        x: LongTensor (n, D) of levels.
        levels: number of levels.
        rng: of the latents and the order of the questions.
        draws: K, latents for each image.

    Returns:
        (n,) nats, and by how much answers about the same latents differ at most.

    Raises:
        Foul: numbers that are not finite, or too many latents; or the decoder's answers depend on more than z.
    """
    n, code = len(x), encode(x)
    if code.shape[1] // 2 > MOST_LATENTS:
        raise Foul(f"its code has {code.shape[1] // 2} latents, more than {MOST_LATENTS}")
    if not torch.isfinite(code).all():
        raise Foul("the means and log-variances of its encoder are not finite")
    mean, log_var = code.chunk(2, 1)
    noise = torch.from_numpy(rng.standard_normal((draws, *mean.shape)))
    z = mean + (0.5 * log_var).exp() * noise
    if not torch.isfinite(z).all():
        raise Foul("the variances of its encoder overflow")
    log_prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(2)
    log_q = -0.5 * (noise.square() + log_var + math.log(2 * math.pi)).sum(2)
    flat, whose = z.flatten(0, 1), torch.arange(n).repeat(draws)
    log_x = torch.empty(len(flat), dtype=torch.float64)
    for rows in torch.from_numpy(rng.permutation(len(flat))).split(ROWS):
        log_x[rows] = _log_probs(decode(flat[rows]), x[whose[rows]])
    again = torch.from_numpy(rng.permutation(len(flat))[: min(ROWS, len(flat))])
    apart = (_log_probs(decode(flat[again]), x[whose[again]]) - log_x[again]).abs().max().item()
    if not apart <= ALIKE:
        raise Foul(
            f"asked again about the same latents among others, its decoder answers otherwise, by up to {apart:.3g} "
            "nats: an answer must depend on the latents alone"
        )
    log_w = log_x.view(draws, n) + log_prior - log_q
    return log_w.logsumexp(0) - math.log(draws), apart


def _log_probs(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x | z) of images (m, D), from logits (m, D, levels)."""
    if not torch.isfinite(logits).all():
        raise Foul("the logits of its decoder are not finite; a value that cannot occur may have -1e30")
    return logits.log_softmax(2).gather(2, x[..., None])[..., 0].sum(1)


class Samples(NamedTuple):
    """What the sets of samples of a player are like."""

    distances: list[float]  # Fréchet distance to the test images, of each set
    coverage: float
    copying: float  # share of the copy test: 1/2 for samples of the law of the data, above for copies


def judge(
    sample: Callable[[int, int], Tensor], train: Tensor, test: Tensor, classifier: object, rng: np.random.Generator
) -> Samples:
    """Compare sets of samples with test images, as many of them.

    Args:
        sample: (n, seed) -> LongTensor (n, C, H, W) of levels.
        train: LongTensor (N, C, H, W), what the player learned from.
        test: LongTensor (n, C, H, W).
        classifier: of these images, see `evaluation.features`.
        rng: of the seeds.

    Raises:
        Foul: samples that are all equal, the same for two seeds, or copies of training images.
    """
    sets = [sample(len(test), int(seed)) for seed in rng.integers(2**31, size=SETS)]
    if any(len(x.flatten(1).unique(dim=0)) < 2 for x in sets):
        raise Foul("its samples are all equal")
    if all(torch.equal(x, sets[0]) for x in sets[1:]):
        raise Foul("its samples are the same for every seed")
    copying = copy_test(train, test, torch.cat(sets))
    if copying.z > COPIES:
        raise Foul(
            f"its samples lie nearer to training images than test images do, in {copying.share:.0%} of pairs: they are "
            "copies"
        )
    real = features(classifier, test)
    fakes = [features(classifier, x) for x in sets]
    coverage = sum(density_coverage(real, fake).coverage for fake in fakes) / SETS
    return Samples([frechet_distance(real, fake) for fake in fakes], coverage, copying.share)
