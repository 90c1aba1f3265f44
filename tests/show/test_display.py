"""Figures: readable, small, the same bytes twice, with alternative text and caption, and true to the numbers."""

import base64
import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from limits import PATIENCE
from PIL import Image

from garm_course import show
from garm_course.lessons.lesson00 import overview
from garm_course.progress_bar import progress
from garm_course.show import bar_charts as bars
from garm_course.show import figures, grids, scatter, waveforms
from garm_course.show import line_charts as lines
from garm_course.show import receptive_fields as receptive

rng = np.random.default_rng(0)
DIGITS = torch.tensor(rng.integers(0, 17, (40, 1, 8, 8)))
BINARY = torch.tensor(rng.integers(0, 2, (16, 1, 28, 28)))
COLOR = torch.tensor(rng.integers(0, 256, (16, 3, 12, 10)))
TOP_HALF = torch.arange(8)[:, None].expand(8, 8) < 4

rows, columns = np.mgrid[:11, :11]
PAST = (rows < 9) | ((rows == 9) & (columns < 5))
BLIND = PAST & (columns - 5 > 9 - rows)  # SYLLABUS (4.2): a 3x3 stack does not see (-dr, +dc) if dc > dr
STRENGTH = rng.random((11, 11))
LEAKY = PAST | ((rows == 10) & (abs(columns - 5) < 3))

steps = np.arange(0, 601, 20)
FALLING = 78 + 70 * np.exp(-steps / 60)
NOISY_STEPS = np.arange(600)
NOISY = 76 + 80 * np.exp(-NOISY_STEPS / 55) + rng.normal(0, 3, 600)

CENTERS = torch.cartesian_prod(torch.arange(-4.0, 5, 2), torch.arange(-4.0, 5, 2))
POINTS = CENTERS[torch.tensor(rng.integers(0, 25, 5000))] + 0.05 * torch.tensor(rng.normal(size=(5000, 2))).float()
ASTRAY = torch.cat([POINTS[POINTS[:, 0] < -1], torch.tensor([[-6.0, 0.0]])])  # ten of 25 modes, and one point far off
CLOCK = torch.arange(16_000) / 8000
TONE = 0.8 * torch.exp(-3 * CLOCK) * torch.sin(2 * np.pi * 220 * CLOCK)


def log_density(x):
    """Of 25 Gaussians of standard deviation 0.05; it need not be normalized."""
    return torch.logsumexp(-torch.cdist(x, CENTERS).square() / (2 * 0.05**2), 1)


MASK_A = np.ones((7, 7)) * (np.arange(49).reshape(7, 7) < 24)

FIGURES = {
    "grid": lambda: grids.panels_figure({"": DIGITS}, levels=17, cols=8, title="Samples that look like digits"),
    "grid with labels": lambda: grids.panels_figure(
        {"": DIGITS}, levels=17, rows=["zero", "one", "two"], cols=[f"seed {k}" for k in range(8)], title="By class"
    ),
    "grid with titles": lambda: grids.panels_figure(
        {"": BINARY}, levels=2, cols=8, titles=[f"{k}: 7" for k in range(16)], title="With titles"
    ),
    "panels": lambda: grids.panels_figure(
        {"Data": DIGITS, "PixelCNN\n80.4 nats": DIGITS, "Gated, class-conditional\n77.3 nats": DIGITS},
        levels=17,
        title="Three models in the same layout, and a title that is too long to stand in one line of the page",
    ),
    "completion": lambda: grids.panels_figure(
        {"original": DIGITS, "completed": DIGITS}, levels=17, given_mask={"completed": TOP_HALF}, title="Completed"
    ),
    "color": lambda: grids.panels_figure({"": COLOR}, levels=256, given_mask=torch.ones(12, 10)),
    "curves": lambda: lines.curves_figure(
        {"train": (NOISY_STEPS, NOISY), "PixelCNN": (steps, FALLING + 2), "gated": (steps, FALLING)},
        baselines={"uniform": 181.3, "independent pixels": 133.1, "per class": 130.0},
        floors={"entropy": 70.2},
        title="Both pass every baseline within 60 steps",
    ),
    "fields": lambda: receptive.fields_figure(
        {"All 3 × 3": PAST & ~BLIND, "Two stacks": PAST, "Not shifted": LEAKY | (rows == 9)},
        (9, 5),
        title="One stack is blind",
    ),
    "field": lambda: receptive.fields_figure({"": PAST * STRENGTH}, (9, 5), title="Near pixels matter most"),
    "masks": lambda: receptive.masks_figure({"Kind A": MASK_A, "Kind B, 3 × 3": np.ones((3, 3))}, title="Two kinds"),
    "channel masks": lambda: receptive.masks_figure(
        {"A": np.tril(np.ones((3, 3)), -1), "B": np.tril(np.ones((3, 3)))}, rows="RGB", cols="RGB", title="Same pixel"
    ),
    "distribution": lambda: bars.distribution_figure(np.full(17, 1 / 17), drawn=16, title="Undecided"),
    "families": overview.families_figure,
    "points": lambda: scatter.points_figure(
        {"Data": POINTS, "Generated, 10 of 25 modes": ASTRAY},
        density=log_density,
        modes=CENTERS,
        limits=(-5, 5),
        title="The generator reaches ten of the 25 modes",
    ),
    "one panel of points": lambda: scatter.points_figure(
        POINTS, density=log_density, modes=CENTERS, title="A title that is longer than the panel under it is wide"
    ),
    "five panels of points": lambda: scatter.points_figure(
        {f"after {k} steps of training": POINTS[k:] / 4 for k in range(5)}, limits=(-0.7, 0.9), title="Five panels"
    ),
    "waves": lambda: waveforms.waves_figure(
        {"220 Hz": TONE[:2000], "fading": TONE[3000:5000]}, rate=8000, title="A tone fades within a quarter of a second"
    ),
    "long waves": lambda: waveforms.waves_figure(TONE.expand(3, -1), rate=8000, labels="abc", title="Two seconds"),
    "zoom": lambda: waveforms.waves_figure(TONE, rate=8000, zoom=(12_000, 12_073), title="Quiet, but still a tone"),
    "short wave": lambda: waveforms.waves_figure(TONE[9000:9060], rate=11_025),
}
each_figure = pytest.mark.parametrize("name", FIGURES)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@each_figure
def test_a_figure_is_small_wide_enough_and_the_same_twice(name):
    first, second = (show.png(FIGURES[name]()) for _ in range(2))
    assert first == second
    assert len(first) <= figures.MAX_BYTES
    assert b"Software" not in first
    shape = pixels(first).shape
    assert 400 <= shape[1] <= figures.WIDTH * figures.DPI + 1
    assert pixels(first).std() > 5, "blank"


def hidden_ticks(ax):
    """Labels of ticks that matplotlib keeps but does not draw: of axes that are off, and outside of the limits."""
    for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        for label, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True):
            if not ax.axison or not min(limits) <= place <= max(limits):
                yield label


@each_figure
def test_words_stay_inside_are_large_enough_and_do_not_overlap(name):
    fig = FIGURES[name]()
    fig.draw_without_rendering()
    words = [t for t in fig.findobj(lambda a: hasattr(a, "get_text")) if t.get_visible() and t.get_text().strip()]
    hidden = {t for ax in fig.axes for t in hidden_ticks(ax)}
    words = [t for t in words if t not in hidden]
    boxes = [(t.get_text(), t.get_window_extent()) for t in words]
    assert boxes or name == "color"
    for text, box in boxes:
        assert min(box.x0, box.y0, fig.bbox.x1 - box.x1, fig.bbox.y1 - box.y1) >= -1, f"{text!r} leaves the figure"
    for k, (text, box) in enumerate(boxes):
        for other, second in boxes[:k]:
            across = min(box.x1, second.x1) - max(box.x0, second.x0)
            down = min(box.y1, second.y1) - max(box.y0, second.y0)
            assert min(across, down) < 2, f"{text!r} covers {other!r}"
    assert min(t.get_fontsize() for t in words) >= 8 if words else True


def test_a_photograph_that_does_not_fit_is_stored_with_fewer_dots_not_refused():
    fig = grids.panels_figure({"": torch.tensor(rng.integers(0, 256, (16, 3, 100, 100)))}, levels=256)
    png = show.png(fig)
    assert len(png) <= figures.MAX_BYTES
    assert 200 < pixels(png).shape[1] < fig.get_size_inches()[0] * figures.DPI


def test_quantizing_changes_no_color_visibly():
    fig = FIGURES["completion"]()
    difference = np.abs(pixels(show.png(fig)).astype(int) - pixels(show.png(fig, passing=True)))
    assert difference.max() <= 24
    assert difference.mean() < 0.5


def test_palette_has_the_contrast_it_needs():
    for name in figures.LINE_COLORS:
        assert figures.contrast(show.palette[name]) >= 3, name
    for color in show.palette.values():
        assert figures.contrast(figures.readable(color)) >= 4.5
    assert figures.contrast("black") == pytest.approx(21)
    assert figures.contrast("#777777") == pytest.approx(4.48, abs=0.01)  # the example of WCAG


@pytest.mark.parametrize(("places", "whole"), [(range(1, 5), True), (range(4, 9), True), ([0.0, 0.5, 2.0], False)])
def test_an_axis_of_whole_numbers_has_no_halves(places, whole):
    fig = lines.curves_figure({"x": (list(places), [float(k) for k in range(len(places))])}, xlabel="frame")
    ticks = fig.axes[0].get_xticks()
    assert all(tick == round(tick) for tick in ticks) == whole


def test_curves_differ_in_more_than_color():
    fig = lines.curves_figure({f"model {k}": (steps, FALLING + 9 * k) for k in range(5)})
    drawn = [line for line in fig.axes[0].lines if len(line.get_xdata()) == len(steps)]
    assert len({(str(line.get_linestyle()), str(line._dash_pattern)) for line in drawn}) == 5
    assert len({line.get_marker() for line in drawn}) == 5


def test_the_readers_own_style_comes_back():
    import matplotlib as mpl

    with mpl.rc_context({"lines.linewidth": 7.5, "figure.facecolor": "red"}):
        show.png(FIGURES["curves"]())
        assert mpl.rcParams["lines.linewidth"] == 7.5
        with show.style():
            assert mpl.rcParams["figure.facecolor"] == "white"
        assert mpl.rcParams["figure.facecolor"] == "red"


# Grids


@pytest.mark.parametrize(("images", "levels"), [(DIGITS, 17), (BINARY, 2), (COLOR, 256)])
def test_the_sheet_holds_every_pixel_of_every_image(images, levels):
    height, width = images.shape[2:]
    sheet, _ = grids._sheet(images.numpy(), levels, 2, 8, 3, 0, None, None)
    wanted = grids.colors(images.numpy(), levels)
    for k in range(16):
        top = (k // 8) * (3 * height + grids.GAP) + grids.GAP
        left = (k % 8) * (3 * width + grids.GAP) + grids.GAP
        tile = sheet[top : top + 3 * height, left : left + 3 * width]
        for corner in (tile[::3, ::3], tile[2::3, 2::3]):
            assert np.array_equal(corner, wanted[k])


def test_ink_is_dark_on_white_paper_and_photographs_are_not_inverted():
    paper = np.zeros((1, 1, 2, 2), int)
    assert grids.colors(paper, 17).min() == 1
    assert grids.colors(paper, 17, ink=False).max() == 0
    assert grids.colors(np.zeros((1, 3, 2, 2), int), 17).max() == 0


def test_every_image_pixel_is_a_square_of_whole_dots():
    shown = pixels(show.png(grids.panels_figure({"": DIGITS}, levels=17, cols=8)))
    row = shown[shown.shape[0] // 4 * 1 + 10]
    changes = np.flatnonzero(np.abs(np.diff(row.astype(int).sum(1))) > 3)
    scale = np.diff(changes)
    inside = scale[scale > grids.GAP + 2]
    unit = inside.min()
    assert len(inside) > 20
    assert (inside % unit == 0).all()


def test_given_pixels_are_tinted_and_outlined_and_no_others():
    blank = np.zeros((2, 1, 8, 8), int)
    mask = np.zeros((2, 1, 8, 8), bool)
    mask[0, 0, :4] = True
    mask[1, 0, 2, 3] = True
    sheet, (xs, ys) = grids._sheet(blank, 17, 1, 2, 4, 0, mask, None)
    for k in range(2):
        left = grids.GAP + k * (32 + grids.GAP)
        tile = sheet[grids.GAP : grids.GAP + 32, left : left + 32][::4, ::4]
        assert np.array_equal((tile < 1).any(-1), mask[k, 0])
    assert np.isfinite(xs).sum() == np.isfinite(ys).sum() == 2 * (4 + 4 + 8 + 8 + 4)  # both ends of every unit edge


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.float(), "whole gray levels"),
        (lambda x: x[0], r"shape \(N, C, H, W\)"),
        (lambda x: x[:0], "N at least 1"),
        (lambda x: x.expand(-1, 2, -1, -1), "C 1 or 3"),
        (lambda x: x + 1, r"gray levels 0\.\.16, got 1\.\.17"),
        (lambda x: x - 1, r"gray levels 0\.\.16, got -1\.\.15"),
    ],
)
def test_images_that_are_none_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        show.grid(change(DIGITS), levels=17, alt="no")


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected given_mask \(8, 8\)"):
        show.grid(DIGITS, levels=17, alt="no", given_mask=torch.ones(5, 5))


# Curves


@pytest.mark.parametrize("trial", range(20))
def test_labels_are_spread_in_order_inside_and_as_little_as_possible(trial):
    draw = np.random.default_rng(trial)
    wanted = sorted(draw.uniform(0, 10, draw.integers(1, 9)).tolist())
    placed = lines.spread(wanted, 1.0, 0.0, 10.0)
    assert all(b - a >= 1 - 1e-9 for a, b in itertools.pairwise(placed))
    assert min(placed) >= 0
    assert max(placed) <= 10
    if all(b - a >= 1 for a, b in itertools.pairwise(wanted)):
        assert placed == pytest.approx(wanted)


def test_a_curve_is_a_pair_of_sequences_or_a_list_of_pairs():
    pairs = list(zip(steps.tolist(), FALLING.tolist(), strict=True))
    for points in ((steps, FALLING), pairs, (torch.tensor(steps), torch.tensor(FALLING)), [steps, FALLING]):
        found = lines._points("x", points)
        assert np.allclose(found, (steps, FALLING))
    assert np.allclose(lines._points("x", [(0, 5.0), (10, 4.0)]), ([0, 10], [5, 4]))
    assert np.allclose(lines._points("x", ([0, 10], [5.0, 4.0])), ([0, 10], [5, 4]))


@pytest.mark.parametrize("points", [([1, 2], [1.0]), [], ([1, 2], [1.0, float("nan")])])
def test_a_curve_that_is_none_is_refused(points):
    with pytest.raises(ValueError, match="for the curve 'x'"):
        lines.curves_figure({"x": points})


def test_baselines_and_floors_are_always_inside_the_axes():
    fig = lines.curves_figure({"x": (steps, FALLING)}, baselines={"a": 300.0}, floors={"b": 10.0})
    low, high = fig.axes[0].get_ylim()
    assert low < 10 < 300 < high
    texts = [t.get_text() for t in fig.axes[0].texts]
    assert {"a  300.0", "b  10.0", f"x  {FALLING[-1]:.1f}"} == set(texts)


# Receptive fields and masks


def test_the_blind_spot_of_the_syllabus_is_counted():
    found = receptive.states(PAST & ~BLIND, (9, 5))
    assert (found["seen"].sum(), found["blind"].sum(), found["leaked"].sum()) == (94, 10, 0)
    assert receptive._counted(found, 9) == "94 of 104 past pixels seen, 10 blind"
    assert receptive._counted(receptive.states(LEAKY, (9, 5)), 9) == "104 of 104 past pixels seen, 5 leaked"


@pytest.mark.parametrize("trial", range(10))
def test_every_pixel_but_the_target_has_one_state(trial):
    draw = np.random.default_rng(trial)
    height, width = draw.integers(1, 7, 2)
    at = draw.integers(height), draw.integers(width)
    support = torch.tensor(draw.integers(0, 2, (3, height, width)))
    found = receptive.states(support, at, channel=1)
    parts = sum(found[s].astype(int) for s in ("seen", "blind", "leaked", "future"))
    parts[at] += 1
    assert (parts == 1).all()
    assert (
        (found["seen"] | found["leaked"]) == (support.sum(0).numpy() > 0) & (parts > 0) & ~_only(at, parts.shape)
    ).all()
    assert found["self"].any() == bool(support[1:, at[0], at[1]].any())


def _only(at, shape):
    where = np.zeros(shape, bool)
    where[at] = True
    return where


def test_a_target_that_sees_itself_is_marked():
    own = PAST.copy()
    own[9, 5] = True
    assert "sees itself" in receptive._counted(receptive.states(own, (9, 5)), 9)
    words = [t.get_text() for t in receptive.fields_figure({"": own}, (9, 5)).texts]
    assert "sees itself" in words


def test_fields_and_masks_refuse_what_they_cannot_draw():
    with pytest.raises(ValueError, match="inside 11 x 11"):
        show.field(PAST, (11, 0), alt="no")
    with pytest.raises(ValueError, match="finite receptive field"):
        show.field(np.full((3, 3), np.nan), (1, 1), alt="no")
    with pytest.raises(ValueError, match="of 0 and 1"):
        show.masks({"half": np.full((3, 3), 0.5)}, alt="no")


def test_masks_show_every_entry():
    fig = receptive.masks_figure({"a": MASK_A})
    shown = [int(t.get_text()) for t in fig.axes[0].texts]
    assert shown == MASK_A.astype(int).ravel().tolist()


# Points


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_panels_of_points_share_limits_and_one_unit_is_as_many_dots_everywhere(count):
    clouds = {str(k): POINTS[k::50] * torch.tensor([1, 0.2]) + torch.tensor([k, 30]) for k in range(count)}
    fig = scatter.points_figure(clouds)
    shown = fig.axes
    assert len(shown) == count
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in shown}) == 1
    units = []
    for ax, x in zip(shown, clouds.values(), strict=True):
        box = ax.get_window_extent()
        units += [box.width / np.ptp(ax.get_xlim()), box.height / np.ptp(ax.get_ylim())]
        assert np.allclose(ax.collections[0].get_offsets(), x), "every point is drawn, where it is"
        assert ax.get_xlim()[0] < x[:, 0].min() < x[:, 0].max() < ax.get_xlim()[1]
        assert ax.get_ylim()[0] < x[:, 1].min() < x[:, 1].max() < ax.get_ylim()[1]
        assert np.allclose(np.diff(ax.get_xticks())[0], np.diff(ax.get_yticks())[0])
    assert np.allclose(units, units[0])
    assert len({ax.collections[0].get_sizes()[0] for ax in shown}) == 1


def test_shaded_areas_are_those_of_a_gaussian_in_closed_form():
    asked = []

    def log_p(x):
        asked.append(x)
        return 7.0 - (x - 3).square().sum(1) / (2 * 0.4**2)

    dots, side = 400, 4.0
    found = scatter._areas(log_p, (1.0, 1.0), side, dots)
    grid = torch.cat(asked)
    assert grid.shape == (dots * dots, 2)
    assert grid.dtype == torch.float32
    step = side / dots
    assert np.allclose([grid[0, 0], grid[0, 1]], [1 + step / 2, 5 - step / 2], atol=1e-5), "first row at the top"
    assert np.allclose([grid[-1, 0], grid[-1, 1]], [5 - step / 2, 1 + step / 2], atol=1e-5)
    for k, share in enumerate(scatter.SHARES):  # radius² = -2 s² ln(1 - share)
        wanted = -2 * np.pi * 0.4**2 * np.log(1 - share)
        assert (found >= 3 - k).sum() * step**2 == pytest.approx(wanted, rel=0.01)


def test_the_density_is_asked_at_every_dot_of_a_panel_and_outside_of_its_support_the_paper_is_white():
    counted = []

    def log_p(x):
        counted.append(len(x))
        return torch.where((x > 0).all(1), 0.0, -torch.inf)

    fig = scatter.points_figure({"a": POINTS, "b": POINTS}, density=log_p, limits=(-1, 1))
    assert sum(counted) == round(fig.axes[0].get_window_extent().width) ** 2, "once for all panels"
    for ax in fig.axes[:2]:
        image = ax.images[0]
        assert image.origin == "upper"
        assert image.get_extent() == [-1, 1, -1, 1] == [*ax.get_xlim(), *ax.get_ylim()]
        shaded = (np.asarray(image.get_array()) < 1).any(-1)
        half = len(shaded) // 2
        assert shaded[:half, -half:].all()
        assert not shaded[-half:].any()
        assert not shaded[:, :half].any()


def test_the_shares_are_told_apart_without_color_and_points_stand_out_on_all_of_them():
    tints = scatter._tint(np.arange(len(scatter.SHARES) + 1))
    light = [figures.contrast(tint) for tint in tints]  # against white
    assert light == sorted(light)
    assert min(np.diff(light)) > 0.1
    assert all(figures.contrast(show.palette["blue"], tint) >= 3 for tint in tints)


def test_points_outside_of_given_limits_are_counted_and_modes_are_never_cut_off():
    words = [t.get_text() for t in FIGURES["points"]().texts]
    assert f"1 of {len(ASTRAY):,} outside" in words
    assert sum("outside" in word for word in words) == 1
    ax = scatter.points_figure(POINTS[:1], modes=CENTERS).axes[0]
    assert ax.get_xlim()[0] < -4 < 4 < ax.get_xlim()[1]
    assert np.allclose(np.stack(ax.lines[0].get_data(), 1), CENTERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": POINTS[:, 0]}, r"expected samples of shape \(N, 2\), N at least 1, got \(5000,\)"),
        ({"samples": POINTS[:0]}, "N at least 1"),
        ({"samples": {}}, "at least one panel"),
        ({"samples": {"GAN": POINTS * torch.nan}}, "finite samples for 'GAN', got NaN"),
        ({"samples": POINTS, "modes": torch.zeros(8, 3)}, r"expected modes of shape"),
        ({"samples": POINTS, "limits": (1, -1)}, r"limits \(low, high\)"),
        ({"samples": POINTS, "limits": (0, 1, 2)}, r"limits \(low, high\)"),
        ({"samples": POINTS, "density": lambda x: x}, r"log-densities \(\d+,\) for \d+ points"),
        ({"samples": POINTS, "density": lambda x: x[:, 0] * torch.nan}, "finite log-densities .* got NaN"),
        ({"samples": POINTS, "density": lambda x: x[:, 0] - torch.inf}, "got -inf as the largest"),
    ],
)
def test_points_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as refusal:
        show.points(**arguments, alt="no")
    assert "\n" not in str(refusal.value)


# Waves


@pytest.mark.parametrize("dots", [2, 7, 300, 930])
def test_the_envelope_of_a_long_wave_holds_its_true_extremes_and_has_no_gaps(dots):
    wave = np.random.default_rng(dots).uniform(-0.5, 0.5, 16_000)
    wave[[4321, 15_999]] = 0.9, -1.0
    places, low, high = waveforms._envelope(wave, dots)
    assert (low.min(), high.max()) == (-1.0, 0.9)
    assert abs(places[high.argmax()] - 4321) <= 8000 / dots
    assert (np.diff(places) > 0).all()
    for slope in (1, -1):
        _, low, high = waveforms._envelope(np.linspace(-slope, slope, 16_000), dots)
        assert (low[1:] <= high[:-1]).all(), "a stretch lies above the one before it"
        assert (low[:-1] <= high[1:]).all(), "a stretch lies below the one before it"
    for peak in np.random.default_rng(dots).integers(0, 16_000, 20):
        spike = np.zeros(16_000)
        spike[peak] = 1
        places, low, high = waveforms._envelope(spike, dots)
        assert high.max() == 1
        assert abs(places[high.argmax()] - peak) <= 8000 / dots + 1


@pytest.mark.parametrize("samples", [100, 1800, 16_000])
def test_a_peak_of_one_sample_reaches_the_paper(samples):
    wave = torch.zeros(samples)
    wave[samples // 3] = 1.0
    ax = waveforms.waves_figure(wave, rate=8000).axes[0]
    drawn = ax.collections[0].get_paths()[0].vertices if ax.collections else np.stack(ax.lines[0].get_data(), 1)
    assert drawn[:, 1].max() == 1.0
    seconds = drawn[drawn[:, 1].argmax(), 0] / (1 if samples == 16_000 else 1000)
    assert seconds == pytest.approx(samples // 3 / 8000, abs=samples / 8000 / 900)


@pytest.mark.parametrize(
    ("samples", "rate", "unit", "end"),
    [(2000, 8000, "milliseconds", 250), (16_000, 8000, "seconds", 2), (100, 11_025, "milliseconds", 9.07029478)]
    + [(k, 8000, "seconds" if k >= 8000 else "milliseconds", k / (8 if k < 8000 else 8000)) for k in (321, 7999, 8001)],
)
def test_the_time_axis_has_the_right_unit_and_ends_with_the_sound(samples, rate, unit, end):
    ax = waveforms.waves_figure(np.zeros(samples), rate=rate).axes[-1]
    assert ax.get_xlabel() == f"time ({unit})"
    ticks = ax.get_xticks()
    assert (ticks[0], ticks[-1]) == pytest.approx((0, end))
    assert ax.get_xlim() == pytest.approx((0, end))
    assert 4 <= len(ticks) <= 10
    assert [float(t.get_text()) for t in ax.get_xticklabels()] == pytest.approx(ticks, rel=1e-3)


def test_waves_share_time_and_amplitude_and_a_zoom_shows_the_same_samples():
    fig = waveforms.waves_figure({"loud": TONE[:2000], "quiet": TONE[:2000] / 9}, rate=8000, zoom=(400, 500))
    whole, near = fig.axes[::2], fig.axes[1::2]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in whole}) == 1
    assert len({ax.get_ylim() for ax in fig.axes}) == 1
    assert near[0].get_xlim() == pytest.approx((50, 62.5))  # milliseconds
    for ax, scale in zip(near, (1, 1 / 9), strict=True):
        times, values = ax.lines[0].get_data()
        assert np.allclose(values, TONE[399:501] * scale, atol=1e-6)
        assert np.allclose(times * 8, np.arange(399, 501))
    assert not any(t.get_text() for ax in near for t in ax.get_yticklabels()), "the numbers at the left hold here, too"
    assert [t.get_text() for t in fig.texts].count("the 100 marked samples") == 1
    corners = whole[0].patches[0].get_extents().transformed(whole[0].transData.inverted())
    assert (corners.x0, corners.x1) == pytest.approx((50, 62.5))


def test_a_quiet_wave_is_drawn_larger_and_the_axis_says_so():
    assert waveforms.waves_figure(TONE * 0.05, rate=8000).axes[0].get_yticks().tolist() == [-0.05, 0, 0.05]
    assert waveforms.waves_figure(TONE * 0, rate=8000).axes[0].get_yticks().tolist() == [-1, 0, 1]
    near = waveforms.waves_figure(TONE, rate=8000, zoom=(12_000, 12_080)).axes[1]
    assert [t.get_text() for t in near.get_yticklabels()] == ["−0.01", "0", "0.01"]
    assert near.get_ylim()[1] >= near.lines[0].get_ydata().max() > 0.008


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signals": torch.arange(256)}, "expected floats.* got int64; decode mu-law codes first"),
        ({"signals": torch.arange(256.0)}, r"values in \[-1, 1\], got 0\.\.255; decode mu-law codes first"),
        ({"signals": TONE * torch.nan}, "got NaN"),
        ({"signals": TONE[None, None]}, r"signals \(N, T\) or \(T,\).*got \(1, 1, 16000\)"),
        ({"signals": TONE[:0]}, "T at least 2"),
        ({"signals": {}}, "N at least 1"),
        ({"signals": {"a": TONE, "b": TONE[:10]}}, "waves .* of one length"),
        ({"signals": {"a": TONE}, "labels": ["b"]}, "got both"),
        ({"signals": TONE, "labels": ["a", "b"]}, "one label for each of 1 waves, got 2"),
        ({"signals": TONE, "rate": 0}, "rate above 0, got 0"),
        ({"signals": TONE, "rate": float("nan")}, "rate above 0"),
        ({"signals": TONE, "zoom": (10, 16_001)}, r"inside 0\.\.16000"),
        ({"signals": TONE, "zoom": (10, 11)}, "2 or more"),
        ({"signals": TONE, "zoom": (0.5, 0.6)}, "whole samples"),
    ],
)
def test_waves_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as refusal:
        show.waves(**{"rate": 8000, **arguments}, alt="no")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("show", [show.points, lambda x, alt: show.waves(x[:, 0] / 9, rate=8000, alt=alt)])
def test_points_and_waves_need_alternative_text_and_return_nothing(show, monkeypatch, capsys):
    monkeypatch.setattr(figures, "_shell", lambda: None)
    with pytest.raises(ValueError, match="alternative text"):
        show(POINTS, alt=" ")
    assert show(POINTS, alt="Twenty-five modes.") is None
    assert capsys.readouterr().out == "Twenty-five modes.\n"


# Distributions and the ladder


@pytest.mark.parametrize("levels", [2, 3, 17, 64, 256])
def test_bars_are_the_probabilities(levels):
    probs = np.random.default_rng(levels).dirichlet(np.ones(levels))
    fig = bars.distribution_figure(torch.tensor(probs), drawn=levels - 1)
    heights = [bar.get_height() for bar in fig.axes[0].containers[0]]
    assert np.allclose(heights, probs)
    assert max(heights) <= fig.axes[0].get_ylim()[1]
    assert [bar.get_hatch() for bar in fig.axes[0].containers[0]][-1]


def test_a_distribution_that_is_none_is_refused():
    for probs in ([0.5, 0.6], [-0.5, 1.5], [[1.0]], [float("nan"), 1.0]):
        with pytest.raises(ValueError, match="sum to 1"):
            show.distribution(probs, alt="no")
    with pytest.raises(ValueError, match=r"drawn level 0\.\.1"):
        show.distribution([0.5, 0.5], drawn=2, alt="no")


def test_the_ladder_is_sorted_aligned_and_counts_the_gain():
    class Recorded:
        nats, stderr = 77.3, 0.5

    entries = {"conditional": Recorded(), "gated": {"nats": 79.6, "stderr": 0.46, "n": 360}, "PixelCNN": (80.1, 0.5)}
    table = show.ladder(entries, baselines={"uniform": 181.3, "classes": 121.2}, floors={"entropy": 7.25}, dims=64)
    head, *rows = str(table).splitlines()
    assert head.split() == "model nats gain on classes bits/dim".split()  # noqa: SIM905
    first = ["uniform (baseline)", "classes (baseline)", "PixelCNN", "gated", "conditional", "entropy (floor)"]
    assert [row[: len(name)] for row, name in zip(rows, first, strict=True)] == first
    assert len({row.index(".") for row in rows}) == 1, "decimal points stand in one line"
    assert "41.1" in rows[2]
    assert rows[2].split()[-1] == f"{80.1 / 64 / np.log(2):.3f}"
    markdown = table._repr_markdown_().splitlines()
    assert len({line.replace("\\|", "").count("|") for line in markdown}) == 1
    assert "**77.3 ± 0.5**" in markdown[-2]
    with pytest.raises(ValueError, match="finite figure"):
        show.ladder({"x": float("nan")})


# What reaches the reader


def test_without_ipython_the_caption_is_printed_and_nothing_heavy_is_imported():
    code = (
        "import sys, garm_course.lessons.lesson00 as d\n"
        "heavy = [m for m in ('matplotlib', 'ipywidgets', 'IPython', 'PIL') if m in sys.modules]\n"
        "d.families(alt='Three  families.')\n"
        "print(heavy, 'IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Three families.\n[] False\n"
    assert done.stderr == ""


def test_a_figure_without_alternative_text_is_refused():
    for alt in ("", "  ", None):
        with pytest.raises(ValueError, match="alternative text"):
            show.show_figure(FIGURES["masks"](), alt)


def test_show_closes_a_figure_of_pyplot(monkeypatch, capsys):
    monkeypatch.setattr(figures, "_shell", lambda: None)
    import matplotlib.pyplot as plt

    fig, _ = plt.subplots()
    show.show_figure(fig, "Nothing is in it.")
    assert not plt.fignum_exists(fig.number)
    assert capsys.readouterr().out == "Nothing is in it.\n"


def test_every_name_is_there_and_an_unknown_one_lists_them():
    for name in dir(show):
        assert getattr(show, name) is not None
        assert not isinstance(getattr(show, name), type(sys)), f"{name} is a module"
    with pytest.raises(AttributeError, match=r"it has .*curves, curves_figure"):
        show.grids_of_everything  # noqa: B018


@pytest.mark.parametrize(
    ("variable", "value", "off"), [("GARM_PROGRESS", "0", True), ("TQDM_DISABLE", "1", True), ("", "", False)]
)
def test_progress_is_switched_off_by_the_environment(monkeypatch, capfd, variable, value, off):
    for name in ("GARM_PROGRESS", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, value)
    assert list(progress(range(3), label="counting")) == [0, 1, 2]
    with progress(total=2, label="counting") as bar:
        bar.update()
        bar.set_postfix(nats=1.0)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert ("counting" in captured.err) != off


NOTEBOOK = [
    "import numpy as np\nfrom garm_course import show\nprint('before')\n"
    "show.masks({'A': np.eye(3)}, alt='A mask_A of $k$ * 3 ones, ≈ 1.5.')\n"
    "show.masks({'B': np.ones((3, 3))}, alt='A second mask.')",
    "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nshow.show_figure(fig, 'Empty axes.', display_id='x')",
]


@pytest.mark.slow
def test_in_a_notebook_every_picture_has_metadata_and_its_caption_right_under_it(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in NOTEBOOK])
    NotebookClient(
        notebook, timeout=PATIENCE, coalesce_streams=True, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = notebook.cells[0].outputs + notebook.cells[1].outputs
    assert [o.output_type for o in outputs] == ["stream"] + ["display_data"] * 6, (
        "a caption moved, or pyplot drew again"
    )
    for picture, caption, alt in (
        (*outputs[1:3], "A mask_A of $k$ * 3 ones, ≈ 1.5."),
        (*outputs[3:5], "A second mask."),
        (*outputs[5:7], "Empty axes."),
    ):
        png = base64.b64decode(picture.data["image/png"])
        assert picture.metadata["image/png"]["alt"] == alt
        assert picture.metadata["image/png"]["width"] <= 720
        assert picture.data["text/plain"] == "[figure]"
        assert pixels(png).std() > 5
        assert caption.data["text/plain"] == alt
    assert outputs[2].data["text/markdown"] == r"*A mask\_A of \$k\$ \* 3 ones, ≈ 1.5.*"
