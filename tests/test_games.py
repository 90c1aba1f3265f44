"""Pictures of the game on a line: what a frame knows, what is drawn, and what is refused."""

import math

import numpy as np
import pytest

from garm_course.display import GameFrame, game, game_figure, game_steps, png


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
