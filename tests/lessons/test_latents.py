"""Pictures of two latents: the decoded plane, the cloud of posterior means, and the widget that moves a point."""

import math
import re

import pytest
import torch

from garm_course.latent.vae import MLPVAE
from garm_course.lessons.lesson10.latents import (
    LatentMap,
    latent_cloud,
    latent_cloud_figure,
    latent_map,
    manifold,
    manifold_figure,
)

X = torch.randint(5, (30, 1, 4, 4), generator=torch.Generator().manual_seed(0))
Y = torch.arange(30) % 10


def model(**options):
    torch.manual_seed(0)
    return MLPVAE((1, 4, 4), 5, **{"latents": 2, "hidden": (8,), **options}).eval()


def test_the_manifold_shows_equal_shares_of_the_prior():
    vae = model()
    figure = manifold_figure(vae, title="Finding", n=4)
    (ax,) = figure.axes
    sheet = ax.images[0].get_array()
    assert sheet.shape == (4 * 8, 4 * 6)  # 4 x 4 pixels with a gap of 2 above and below, 1 on either side
    quantiles = torch.special.ndtri(torch.tensor([1, 3, 5, 7], dtype=torch.float64) / 8)
    for row, col in ((0, 0), (1, 3), (3, 2)):
        z = torch.tensor([[quantiles[col], quantiles[3 - row]]]).float()  # the first row is the top
        ink = vae.draw(z, mean=True)[0, 0] / 4
        tile = torch.tensor(sheet[row * 8 + 2 : row * 8 + 6, col * 6 + 1 : col * 6 + 5])
        assert torch.allclose(tile.double(), (1 - 0.9 * ink).double(), atol=1e-6)
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"{q:.1f}" for q in quantiles]


def test_the_cloud_shows_every_image_as_its_digit():
    means = model().encode(X).mean
    (ax,) = latent_cloud_figure(means, Y, drawn=torch.randn(50, 2)).axes
    assert sum(len(points.get_offsets()) for points in ax.collections) == 30 + 50
    low, high = ax.get_xlim()
    assert low == -high
    assert high >= 3
    for bad in ((means[:, :1], Y), (means, Y[:5])):
        with pytest.raises(ValueError, match="expected posterior means"):
            latent_cloud_figure(*bad)


def test_the_densities_of_the_map():
    view = LatentMap(model(), X, Y)
    assert view.prior_density(0.6, -0.8) == pytest.approx(math.exp(-0.5) / (2 * math.pi))
    grid = torch.linspace(-8, 8, 161).tolist()
    mass = sum(view.aggregated_density(a, b) for a in grid for b in grid) * 0.1**2
    assert mass == pytest.approx(1, abs=1e-3)
    torch.manual_seed(0)
    q = view.model.encode(X)
    one = torch.distributions.Normal(q.mean.double(), (0.5 * q.logvar).exp().double())
    by_hand = one.log_prob(torch.tensor([0.3, 0.1], dtype=torch.float64)).sum(1).exp().mean()
    assert view.aggregated_density(0.3, 0.1) == pytest.approx(by_hand.item())


def test_the_caption_says_what_the_picture_shows():
    view = LatentMap(model(), X, Y)
    words = view.caption(1.0, -0.5)
    assert "z = (1.0, -0.5)" in words
    prior, aggregated = map(float, re.findall(r"(\d\.\d{4})", words))
    assert prior == pytest.approx(view.prior_density(1.0, -0.5), abs=1e-4)
    assert aggregated == pytest.approx(view.aggregated_density(1.0, -0.5), abs=1e-4)
    figure = view.figure(1.0, -0.5)
    image = torch.tensor(figure.axes[1].images[0].get_array())
    expected = view.model.draw(torch.tensor([[1.0, -0.5]]), mean=True)[0, 0] / 4
    assert torch.allclose(image.double(), (1 - 0.9 * expected).double(), atol=1e-6)
    assert view.figure(0.0, 0.0).axes[1].images[0].get_array() is not None


def test_moving_the_point_changes_picture_and_caption(shown):
    latent_map(model(), X, Y, start=(0.5, 0.0))
    (name, first), (z1, z2) = shown["first"][0], shown["sliders"]
    assert (z1.value, z2.value) == (0.5, 0.0)
    assert "z = (0.5, 0.0)" in first
    z2.value = -1.2
    (_, picture), (_, caption) = shown["later"]
    assert [n for n, _ in shown["later"]] == [name, f"{name}-caption"]
    assert picture["image/png"].startswith(b"\x89PNG")
    assert "z = (0.5, -1.2)" in caption["text/plain"]
    assert repr(z1) == "[slider z1: -3 to 3]"


def test_pictures_outside_of_a_notebook_print_their_caption(monkeypatch, capsys):
    monkeypatch.setattr("garm_course.show.figures._shell", lambda: None)
    manifold(model(), alt="A plane.", n=3)
    latent_cloud(model().encode(X).mean, Y, alt="A cloud.")
    assert capsys.readouterr().out == "A plane.\nA cloud.\n"


def test_models_of_other_latents_are_refused():
    for bad in (model(latents=3), model(prior="poisson")):
        with pytest.raises(ValueError, match="expected a VAE of two Gaussian latents"):
            manifold_figure(bad)
        with pytest.raises(ValueError, match="expected a VAE of two Gaussian latents"):
            LatentMap(bad, X, Y)
    with pytest.raises(ValueError, match="start within"):
        latent_map(model(), X, Y, start=(9.0, 0.0))
