"""Was this example in the training data? Attacks that read it off the model's likelihood, and how they are judged.

Every score here is lower for a member, as a negative log-likelihood is. One number does not judge an attack: one that
is right about few examples and knows which has a modest area under its curve and does the more harm, so look at the
true positives at few false ones (Carlini et al. 2022).
"""

import torch
from torch import Tensor

from garm_course.inputs import check_settings
from garm_course.trust.ranks import check_numbers, share_below


def membership_auc(member_nll: Tensor, other_nll: Tensor) -> float:
    """The area under the curve of an attack: how often a member has the lower score, ties counted half; (19.3).

    Args:
        member_nll: (N,) scores of training examples, lower for members.
        other_nll: (M,) scores of examples of the same law that were not trained on.

    Returns:
        In [0, 1]; 1/2 for an attack that knows nothing.

    Raises:
        TypeError, ValueError: for what are no numbers (N,), none, or NaN.

    Source:
        Yeom, Giacomelli, Fredrikson, Jha (2018), "Privacy Risk in Machine Learning", arXiv 1709.01604 (the attack by
        the loss).

    Example:
        >>> membership_auc(torch.tensor([80.0, 90.0]), torch.tensor([90.0, 99.0]))
        0.875
    """
    return share_below(member_nll, other_nll)


def tpr_at_fpr(members: Tensor, others: Tensor, fpr: float) -> float:
    """The largest share of members that a threshold finds while it takes at most this share of the others for members.

    Args:
        members: (N,) scores, lower for members.
        others: (M,) scores of others.
        fpr: in [0, 1): at 0, below all others.

    Returns:
        The true positive rate, in [0, 1].

    Raises:
        TypeError, ValueError: as for `membership_auc`, or a share out of range.

    Example:
        >>> tpr_at_fpr(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([2.0, 4.0]), fpr=0.5)
        0.6666666666666666
    """
    members, others = check_numbers(members=members, others=others)
    check_settings(0, fpr=fpr)
    if fpr >= 1:
        raise ValueError(f"fpr={fpr} is out of range: expected a share in [0, 1); 0.01 is usual")
    allowed = int(fpr * len(others) + 1e-9)  # false positives
    return (members < others.sort().values[allowed]).double().mean().item()


def roc(members: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """False and true positive rates at all thresholds, from (0, 0) to (1, 1): both rise.

    Args:
        members: (N,) scores, lower for members.
        others: (M,) scores of others.

    Returns:
        (fpr, tpr), each float64 (K,), K - 1 different scores.

    Raises:
        TypeError, ValueError: as for `membership_auc`.
    """
    members, others = check_numbers(members=members, others=others)
    thresholds = torch.cat([members, others]).unique()
    rates = [
        torch.cat([torch.zeros(1), torch.searchsorted(x.sort().values, thresholds, right=True)]).double() / len(x)
        for x in (others, members)
    ]
    return rates[0], rates[1]


def complementary_halves(n: int, shadows: int, rng: torch.Generator) -> Tensor:
    """Training sets of shadow models in pairs, a random half and the other one: each example is in half of them.

    Args:
        n: examples, at least 2.
        shadows: an even number of models, at least 2.
        rng: source of the halves.

    Returns:
        BoolTensor (shadows, n), True where the example belongs to the training set.

    Raises:
        ValueError: for counts outside these ranges.
    """
    check_settings(2, whole=True, n=n, shadows=shadows)
    if shadows % 2:
        raise ValueError(f"expected an even number of shadow models, which come in pairs, got {shadows}")
    ranks = torch.rand(shadows // 2, n, generator=rng).argsort(1).argsort(1)
    first = ranks < n // 2
    return torch.stack([first, ~first], 1).flatten(0, 1)


def shadow_scores(nll: Tensor, inside: Tensor, target: Tensor, *, pooled: bool = True) -> dict[str, Tensor]:
    """Scores of membership by the loss alone, and by the loss as other models see the example.

    Some examples are difficult for every model, and some are easy without having been seen. Shadow models, trained as
    the target was on data of their own, say which: with means and deviations of an example's loss over those that had
    it (in) and those that had not (out),

    - "loss": the loss of the target;
    - "calibrated": its difference to the mean of out;
    - "lira": minus the likelihood ratio log N(loss; mu_in, sd_in) - log N(loss; mu_out, sd_out); equation (19.4).

    Args:
        nll: (S, N) nats of N examples under S shadow models.
        inside: BoolTensor (S, N), True where the model was trained on the example; each example needs models with and
            without it.
        target: (N,) nats under the model that is attacked.
        pooled: one deviation of in and one of out for all examples, which few shadow models need; otherwise one for
            each example, from at least two models.

    Returns:
        {"loss", "calibrated", "lira"}: float64 (N,), each lower for members.

    Raises:
        TypeError, ValueError: for other shapes or types, NaN, or an example with too few models on one side.

    Source:
        Carlini, Chien, Nasr, Song, Terzis, Tramèr (2022), "Membership Inference Attacks From First Principles", arXiv
        2112.03570, algorithm 1; they too pool the deviations where shadows are few.
    """
    (target,) = check_numbers(target=target)
    if not isinstance(inside, Tensor) or inside.dtype != torch.bool:
        raise TypeError("expected inside as a BoolTensor (S, N), True where a shadow model had the example")
    if nll.ndim != 2 or nll.shape != inside.shape or nll.shape[1:] != target.shape:
        raise ValueError(
            f"expected nll (S, N), inside (S, N) and target (N,), got {tuple(nll.shape)}, {tuple(inside.shape)} and "
            f"{tuple(target.shape)}"
        )
    nll, inside = nll.detach().double().cpu(), inside.cpu()
    if not torch.isfinite(nll).all():
        raise ValueError("expected finite numbers as nll, got NaN or infinity; look for the shadow that diverged")
    least = 1 if pooled else 2
    counts = torch.stack([inside.sum(0), (~inside).sum(0)])
    if counts.min() < least or counts.sum(1).min() <= len(target):
        raise ValueError(
            f"expected at least {2 if counts.min() >= least else least} shadow models with and without each example, "
            f"got {int(counts.min())}; use complementary_halves"
        )
    sides = {"in": _mean_and_deviation(nll, inside, pooled), "out": _mean_and_deviation(nll, ~inside, pooled)}
    with_it, without = (torch.distributions.Normal(*side).log_prob(target) for side in sides.values())
    return {"loss": target, "calibrated": target - sides["out"][0], "lira": without - with_it}


def _mean_and_deviation(nll: Tensor, of: Tensor, pooled: bool) -> tuple[Tensor, Tensor]:
    """Of each example's losses under the models that `of` marks; pooled, one deviation around all these means."""
    count = of.sum(0)
    mean = (nll * of).sum(0) / count
    squares = ((nll - mean).square() * of).sum(0)
    variance = squares.sum() / (count - 1).sum() if pooled else squares / (count - 1)
    return mean, variance.sqrt().clamp(min=1e-6).expand_as(mean)
