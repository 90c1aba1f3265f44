"""`poisson_nll`: hints do not depend on the dtype in which ln k! is computed, and 0 ln 0 hides no infinity."""

import pytest
import torch

from garm_course.exercises import grade

FACTORIALS = {
    "k + 1": lambda rate, k: torch.lgamma(k + 1),
    "k.float()": lambda rate, k: torch.lgamma(k.float() + 1),
    "k.to(rate)": lambda rate, k: torch.lgamma(k.to(rate) + 1),
    "k.double()": lambda rate, k: torch.lgamma(k.double() + 1),
}
WRONG = {
    "Right except for a rate of 0": lambda rate, k, f: rate - k * rate.log() + f,
    "The sign of ln k!": lambda rate, k, f: rate - torch.xlogy(k, rate) - f,
    "The sign of k ln(rate)": lambda rate, k, f: rate + torch.xlogy(k, rate) + f,
    "The term + rate is missing": lambda rate, k, f: f - torch.xlogy(k, rate),
    "The rate is taken for its logarithm": lambda rate, k, f: rate.exp() - k * rate + f,
    "Right for small counts": lambda rate, k, f: -(torch.exp(-rate) * rate**k / f.exp()).log(),
    "A count above 0 at a rate of 0": lambda rate, k, f: torch.where(rate > 0, rate - k * rate.log() + f, 0.0),
    "About 1e-06 stands": lambda rate, k, f: rate - k * rate.clamp(min=1e-6).log() + f,
    "About 1e-08 stands": lambda rate, k, f: rate - k * (rate + 1e-8).log() + f,
    "An impossible count costs the largest": lambda rate, k, f: torch.nan_to_num(rate - k * rate.log() + f),
}


@pytest.mark.parametrize("factorial", FACTORIALS)
@pytest.mark.parametrize("start", WRONG)
def test_a_mistake_is_recognized_in_every_dtype(start, factorial):
    def answer(rate, k):
        return WRONG[start](rate, k, FACTORIALS[factorial](rate, k)).flatten(1).sum(1)

    assert grade("poisson_nll", answer).hint.startswith(start)


@pytest.mark.parametrize("factorial", FACTORIALS)
def test_only_another_dtype_than_that_of_the_rate_is_refused(factorial):
    def answer(rate, k):
        return (rate - torch.xlogy(k, rate) + FACTORIALS[factorial](rate, k)).flatten(1).sum(1)

    result = grade("poisson_nll", answer)
    if factorial == "k.double()":
        assert "k.to(rate)" in result.hint
    else:
        assert result.status == "passed"
