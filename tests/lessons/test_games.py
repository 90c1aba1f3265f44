"""Pictures of the game on a line: what a frame knows, what is drawn, and what is refused."""

import math

import numpy as np
import pytest

from garm_course.lessons.lesson13 import GameFrame, game, game_figure, game_steps, orbit, orbit_figure
from garm_course.show import png


def frame(step=0, shift=0.0, d=0.5):
    x = np.linspace(-4, 4, 81)
    p = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    g = np.exp(-0.5 * (x - shift) ** 2) / math.sqrt(2 * math.pi)
    return GameFrame(step, x, p, g, np.full(81, d))


def test_a_frame_knows_the_best_discriminator_and_the_overlap():
    same = frame()
    assert np.allclose(same.best[np.isfinite(same.best)], 0.5)
    assert same.overlap == pytest.approx(1, abs=1e-3)
    apart = frame(shift=2.0)
    assert apart.overlap == pytest.approx(2 * 0.5 * math.erfc(1 / math.sqrt(2)), abs=1e-2)  # 2 Φ(-1)
    x = apart.x[np.isfinite(apart.best)]
    assert np.allclose(apart.best[np.isfinite(apart.best)], 1 / (1 + np.exp(2 * x - 2)))
    empty = frame()._replace(p=np.zeros(81), g=np.where(np.arange(81) == 40, 1.0, 0.0))
    assert np.isnan(empty.best).sum() == 80


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_each_frame_has_its_panel_with_both_scales(n):
    fig = game_figure([frame(k, shift=k) for k in range(n)], title="A finding")
    assert len(fig.axes) == 2 * n
    assert {ax.get_ylim()[1] for ax in fig.axes[1::2]} == {1.02}
    assert len({ax.get_ylim() for ax in fig.axes[::2]}) == 1, "one scale for all densities"
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels == ["data p", "generated g", "discriminator D", "best D* = p / (p + g)"]
    assert len(png(fig)) < 45_000
    texts = [t.get_text() for t in fig.texts]
    assert "A finding" in texts
    assert f"step {n - 1}" in texts


def test_the_widget_steps_through_the_frames(shown):
    frames = [frame(0, 3.0), frame(50, 1.0), frame(1500, 0.0)]
    game_steps(frames, start=1)
    [(_, caption)] = shown["first"]
    assert caption.startswith("Step 50: ")
    [slider] = shown["sliders"]
    slider.value = 2
    assert "Step 1,500" in str(shown["later"][-1])
    assert "100 % of their probability" in str(shown["later"][-1])
    assert "0.00 from the best one" in str(shown["later"][-1])


def test_what_is_no_game_is_refused():
    good = frame()
    for call, message in [
        (lambda: game_figure([]), "one to four frames, got 0"),
        (lambda: game_figure([good] * 5), "one to four frames, got 5"),
        (lambda: game_figure([3]), "expected a GameFrame"),
        (lambda: game_figure([good._replace(d=good.d + 1)]), r"a discriminator d in \[0, 1\]"),
        (lambda: game_figure([good._replace(p=-good.p)]), "at least 0"),
        (lambda: game_figure([good._replace(g=good.g[:-1])]), "of one length"),
        (lambda: game_figure([good._replace(g=good.g / 0)]), "finite numbers"),
        (lambda: game_steps([good]), "at least two frames"),
        (lambda: game_steps([good, good], start=2), "a start among them"),
        (lambda: game([good], alt=""), "alt"),
    ]:
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=message):
            call()


def spiral(gamma):
    return [
        (math.exp(-gamma * k / 10) * math.cos(k / 5), math.exp(-gamma * k / 10) * math.sin(k / 5)) for k in range(60)
    ]


def test_an_orbit_is_drawn_in_the_plane_and_over_the_steps():
    fig = orbit_figure(spiral(0.5), title="Inwards")
    plane, time = fig.axes
    [path] = [line for line in plane.lines if len(line.get_xdata()) == 60]
    assert np.allclose(np.stack([path.get_xdata(), path.get_ydata()], 1), spiral(0.5))
    assert np.allclose(time.lines[0].get_ydata(), np.exp(-0.05 * np.arange(60)))
    assert plane.get_xlim() == plane.get_ylim()
    assert len(png(fig)) < 45_000


def test_the_brake_of_an_orbit_is_a_slider(shown):
    orbit(spiral, gamma=0.0)
    assert shown["first"][0][1] == "gamma 0.0: from a distance of 1.00 to the solution, 59 steps lead to 1.000."
    [slider] = shown["sliders"]
    slider.value = 1.0
    assert "gamma 1.0" in str(shown["later"][-1])
    assert "lead to 0.003" in str(shown["later"][-1])
    for call, message in [
        (lambda: orbit(spiral, gamma=3.0), r"gamma in 0..2, got 3"),
        (lambda: orbit_figure([(0.0, 1.0)]), "at least two pairs"),
        (lambda: orbit_figure([(0.0, 1.0), (math.nan, 0.0)]), "finite numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
