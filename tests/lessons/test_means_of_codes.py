"""What lesson 17 says of squared error, in an equation that it does not number: the best decoder gives means."""

import torch


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_squared_error_wants_the_mean_of_all_images_with_the_same_code():
    images = torch.randn(60, 5, generator=rng(), dtype=torch.float64)
    code = torch.randint(4, (60,), generator=rng(1))
    means = torch.stack([images[code == k].mean(0) for k in range(4)])
    error = lambda decoded: (images - decoded[code]).square().sum(1).mean()  # noqa: E731
    variance = sum((images[code == k] - means[k]).square().sum() for k in range(4)) / 60
    torch.testing.assert_close(error(means), variance)
    for k in range(20):  # any other decoder is worse by the mean square of its distance from the means
        shift = 0.1 * torch.randn(4, 5, generator=rng(k), dtype=torch.float64)
        torch.testing.assert_close(error(means + shift), variance + shift[code].square().sum(1).mean())
