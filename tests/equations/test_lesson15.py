"""The numbered equations of lesson 15, VAE-GAN, checked numerically."""

import math

import pytest
import torch
import torch.nn.functional as F

from garm_course.adversarial.losses import LOSSES
from garm_course.adversarial.vaegan import MLPVAEGAN, feature_nll, vaegan_losses


@pytest.mark.equation("15.2")
def test_the_error_in_features_is_a_gaussian_likelihood_of_features():
    rng = torch.Generator().manual_seed(0)
    fx, frec = (torch.randn(5, 7, dtype=torch.float64, generator=rng) for _ in range(2))
    log_p = torch.distributions.Normal(frec, 1.0).log_prob(fx).sum(1)
    assert torch.allclose(feature_nll(fx, frec) + 3.5 * math.log(2 * math.pi), -log_p)


@pytest.mark.equation("15.2")
def test_with_the_identity_for_features_it_is_the_squared_error_of_pixels():
    x, y = torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8)
    assert torch.allclose(feature_nll(x, y), 0.5 * ((x - y) ** 2).flatten(1).sum(1))


@pytest.mark.equation("15.3")
def test_the_routed_losses_have_exact_zeros_and_oppose_each_other_in_the_decoder():
    torch.manual_seed(0)
    model = MLPVAEGAN((1, 8, 8), 17, latents=3, hidden=(10,)).double()
    x = torch.rand(6, 1, 8, 8, dtype=torch.float64) * 2 - 1
    mu, logvar = model.encode(x)
    rebuilt = model.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
    prior = model.prior_loss(mu, logvar)
    rec = feature_nll(model.critic.features(x), model.critic.features(rebuilt)).mean()
    gan = LOSSES["minimax"].critic(model.critic(x), model.critic(rebuilt))
    encoder, decoder, discriminator = vaegan_losses(prior, rec, gan, 0.7)

    def gradient(loss, part):
        weights = list(getattr(model, part).parameters())
        found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        return torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for w, g in zip(weights, found)])  # noqa: B905

    assert torch.allclose(gradient(encoder, "encoder"), gradient(prior + rec, "encoder"))
    assert torch.allclose(gradient(decoder, "decoder"), 0.7 * gradient(rec, "decoder") - gradient(gan, "decoder"))
    assert torch.equal(gradient(discriminator, "critic"), gradient(gan, "critic"))
    # a step of the decoder on -gan raises the discriminator's loss, as the minimax game wants
    saturating = LOSSES["minimax"].generator(model.critic(rebuilt))
    assert torch.allclose(gradient(-gan, "decoder"), gradient(saturating, "decoder"))
    assert gradient(prior, "decoder").abs().max() == 0
    assert gradient(prior, "critic").abs().max() == 0
    # what the routing leaves out would not be zero
    assert gradient(gan, "encoder").abs().max() > 0
    assert gradient(rec, "critic").abs().max() > 0


@pytest.mark.equation("15.1")
def test_pixels_prefer_a_blank_to_a_shift_and_pooled_features_do_not():
    stripe, shifted, blank = torch.zeros(3, 1, 1, 8, 8)
    stripe[..., 3], shifted[..., 4] = 1.0, 1.0
    square = lambda a, b: (a - b).square().sum().item()  # noqa: E731
    assert (square(stripe, blank), square(stripe, shifted)) == (8, 16)
    pool = lambda t: F.max_pool2d(t, 3, 1, 1)  # noqa: E731
    assert (square(pool(stripe), pool(blank)), square(pool(stripe), pool(shifted))) == (24, 16)
