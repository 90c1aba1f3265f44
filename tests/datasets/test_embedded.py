"""Data that come along: known distributions by their definition, disjoint splits, draws that repeat, bad options."""

import gzip
import itertools
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from garm_course.datasets import load
from garm_course.datasets.gaussian_mixture import GRAIN
from garm_course.datasets.moving_digits import DIRECTIONS, bounce, direction
from garm_course.datasets.patches import TILE, TILES, _photographs, tile_split
from garm_course.datasets.plucked import NOTES, RATE, OnePeriod, pluck
from garm_course.datasets.pydoc import VOCABULARY, paragraphs
from garm_course.transforms import mu_law_encode

DRAWN = {"ring": {}, "grid": {}, "plucked": {"length": 100}, "moving_digits": {}}
SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("name", DRAWN)
def test_draws_repeat_and_differ_between_splits_and_seeds(name):
    draws = {(split, seed): load(name, split, n=20, seed=seed, **DRAWN[name]).x for split in SPLITS for seed in (0, 1)}
    for (a, x), (b, y) in itertools.combinations(draws.items(), 2):
        assert not torch.equal(x, y), (a, b)
    assert torch.equal(load(name, "test", n=20, seed=1, **DRAWN[name]).x, draws["test", 1])
    few = load(name, "test", n=3, seed=1, **DRAWN[name])
    assert torch.equal(few.x, draws["test", 1][:3])


@pytest.mark.parametrize("name", DRAWN)
def test_drawing_leaves_the_global_generator_alone(name):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load(name, "test", n=5, **DRAWN[name])
    assert torch.equal(torch.rand(3), expected)


# --- ring and grid ---------------------------------------------------------------------------------------------------


def test_the_centers_are_where_they_are_said_to_be():
    ring = load("ring", "test", n=1, modes=5, radius=3.0)
    assert torch.allclose(ring.centers.norm(dim=1), torch.full((5,), 3.0))
    step = ring.centers.double() - ring.centers.double().roll(1, 0)
    assert torch.allclose(step.norm(dim=1), torch.full((5,), 6 * math.sin(math.pi / 5), dtype=torch.float64), atol=1e-6)
    assert ring.centers[0].tolist() == [3, 0]
    grid = load("grid", "test", n=1)
    assert sorted(map(tuple, grid.centers.tolist())) == sorted(itertools.product((-4, -2, 0, 2, 4), repeat=2))
    assert load("grid", "test", n=1, side=2, spacing=0.5).centers.tolist() == [
        [-0.25, -0.25], [-0.25, 0.25], [0.25, -0.25], [0.25, 0.25]]  # fmt: skip
    assert load("grid", "test", n=1, side=1).centers.tolist() == [[0, 0]]


@pytest.mark.parametrize(("name", "std"), [("ring", 0.3), ("ring", 0.1), ("grid", 0.9)])
def test_the_density_integrates_to_one_and_its_entropy_is_the_stated_one(name, std):
    data = load(name, "test", n=10, std=std)
    reach = data.centers.abs().max().item() + 7 * std
    axis = torch.linspace(-reach, reach, 241, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    log_p = data.log_prob(points)
    area = (axis[1] - axis[0]).item() ** 2
    assert (log_p.exp().sum() * area).item() == pytest.approx(1, abs=1e-9)
    exact = -(log_p.exp() * log_p).sum().item() * area
    nats, stderr = data.entropy(4000, torch.Generator().manual_seed(1))
    assert stderr > 0
    assert abs(nats - exact) < 4 * stderr + 1e-9
    given = torch.stack([data.log_prob(points, torch.full((len(points),), k)) for k in range(data.n_classes)])
    assert torch.allclose(given.exp().mean(0), log_p.exp(), atol=1e-12)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_points_have_the_moments_and_the_modes_of_their_density(name):
    n = 20_000
    data = load(name, n=n)
    k = data.n_classes
    share = data.y.bincount(minlength=k).double() / n
    assert ((share - 1 / k).abs() < 4 * math.sqrt((1 - 1 / k) / k / n)).all()
    z = (data.x.double() - data.centers.double()[data.y]) / data.std
    assert (z.mean(0).abs() < 4 / math.sqrt(n)).all()
    assert ((z.T @ z / n - torch.eye(2)).abs() < 4 * math.sqrt(2 / n)).all()
    assert abs((z**4).mean().item() - 3) < 4 * math.sqrt(96 / (2 * n))  # as thick in the tails as a normal law
    index, distance = data.nearest_mode(data.x)
    assert torch.equal(index, data.y)
    assert torch.allclose(distance / data.std, z.norm(dim=1), atol=1e-3)
    surprise = -data.log_prob(data.x)
    assert abs(surprise.mean().item() - data.entropy().nats) < 4 * surprise.std().item() / math.sqrt(n)


def test_the_standard_error_of_an_entropy_is_the_spread_of_its_figures():
    data = load("ring", "test", n=1, std=0.3)
    figures = [data.entropy(200, torch.Generator().manual_seed(seed)) for seed in range(100)]
    spread = torch.tensor([nats for nats, _ in figures], dtype=torch.float64).std().item()
    assert figures[0].stderr == pytest.approx(spread, rel=4 / math.sqrt(2 * 100))


def test_points_lie_on_a_lattice_that_float32_can_hold():
    x = load("grid", n=1000).x
    assert torch.equal((x.double() / GRAIN).round() * GRAIN, x.double())


def test_many_points_do_not_need_much_memory(monkeypatch):
    data = load("ring", "test", n=500, std=0.5)
    whole = data.log_prob(data.x), data.log_prob(data.x, data.y), data.entropy(300)
    monkeypatch.setattr("garm_course.datasets.gaussian_mixture.BLOCK", 56)  # seven points at a time
    assert torch.equal(data.log_prob(data.x), whole[0])
    assert torch.equal(torch.cat([data.log_prob(point[None]) for point in data.x]), whole[0])
    assert torch.equal(data.log_prob(data.x, data.y), whole[1])
    assert data.entropy(300) == whole[2]


# --- plucked ---------------------------------------------------------------------------------------------------------


def test_a_string_follows_its_recurrence():
    signs = torch.tensor([[1, -1, 1, 1, -1]])
    y = pluck(signs, 0.8, 0.9, 23)[0].tolist()
    for t in range(23):
        if t < 5:
            assert y[t] == 0.8 * signs[0, t].item()
        else:
            before = y[t - 6] if t >= 6 else 0.0
            assert y[t] == pytest.approx(0.9 * (y[t - 5] + before) / 2, abs=1e-15)


def test_all_probabilities_of_a_small_set_of_sounds_are_those_of_their_choices():
    """Every sound that can be drawn, enumerated: 2^p signs for each choice."""
    data = load("plucked", "test", notes="G4", loudness=(0.3, 0.9), damping=(0.6, 0.95), length=60, n=2)
    period = NOTES["G4"]
    signs = torch.randint(0, 2, (500, period), generator=torch.Generator().manual_seed(0)) * 2 - 1
    sounds = [mu_law_encode(pluck(signs, a, g, 60)) for a in (0.3, 0.9) for g in (0.6, 0.95)]
    everything = torch.cat(sounds)
    assert len(everything.unique(dim=0)) == 4 * len(signs.unique(dim=0))  # no sound has two choices
    log_p = -period * math.log(2) - math.log(4)
    assert data.log_prob(everything).tolist() == pytest.approx([log_p] * len(everything))


def test_a_sound_that_no_string_makes_has_no_probability():
    data = load("plucked", "test", n=20, length=200)
    assert data.log_prob(data.x).isfinite().all()
    for position in (0, 10, 60, 150):
        wrong = data.x.clone()
        wrong[:, position] = 255 - wrong[:, position] if position < 20 else (wrong[:, position] + 1) % 256
        if position < 20:
            wrong[:, position] -= wrong[:, position].sign()  # another loudness in the middle of the pluck
        assert (data.log_prob(wrong) == -math.inf).all(), position
    assert (data.log_prob(torch.full((1, 200), 128)) == -math.inf).all()


def test_the_entropy_is_the_mean_surprise_of_the_sounds():
    data = load("plucked", n=4000, length=100)
    nats, stderr = data.entropy()
    surprise = -data.log_prob(data.x)
    assert stderr == 0
    assert abs(surprise.mean().item() - nats) < 4 * surprise.std().item() / math.sqrt(len(data))
    given = -data.log_prob(data.x, data.y)
    assert (surprise - given).tolist() == pytest.approx([math.log(5)] * len(data))
    assert (data.log_prob(data.x, (data.y + 1) % 5) == -math.inf).all()
    x, y = data.sample(50, torch.Generator().manual_seed(9))
    assert data.log_prob(x, y).isfinite().all()


@pytest.mark.parametrize("note", NOTES)
def test_a_note_has_its_pitch(note):
    """The strongest frequency and its overtones stand at multiples of 8000 / (p + 1/2) Hz, near the note's name."""
    data = load("plucked", "test", notes=note, damping=0.999, length=8000, n=30)
    spectrum = torch.fft.rfft(data.waveform.double()[:, 1000:5000], n=64_000).abs().mean(0)
    pitch = RATE / (NOTES[note] + 0.5)
    low, high = (round(f * 64_000 / RATE) for f in (0.75 * pitch, 1.25 * pitch))
    found = (low + spectrum[low:high].argmax().item()) * RATE / 64_000
    assert found == pytest.approx(pitch, rel=0.004)
    semitone = {"A3": 57, "C4": 60, "D4": 62, "E4": 64, "G4": 67}[note]
    assert abs(12 * math.log2(found / 440) + 69 - semitone) < 0.25


def test_the_entropy_of_a_note_whose_name_is_known_is_that_of_its_probability():
    data = load("plucked", "test", notes=("A3", "D4", "G4"), length=100)
    given = data.log_prob(data.x, data.y)
    periods = torch.tensor([NOTES[name] for name in data.notes], dtype=torch.float64)
    assert torch.allclose(given, -(1 + periods[data.y]) * math.log(2), rtol=0, atol=1e-12)
    each = -(1 + periods) * math.log(2)  # the loudness, and a sign for each sample of the pluck
    assert data.entropy(given_class=True).nats == pytest.approx(-each.mean().item())
    assert data.entropy().nats == pytest.approx(data.entropy(given_class=True).nats + math.log(3))


def test_who_remembers_one_period_has_probabilities_that_sum_to_one_and_lies_between_the_truth_and_chance():
    data = load("plucked", "test", notes=("A3", "D4", "G4"), length=200, n=60)
    known = OnePeriod(data)
    nats = -known.log_prob(data.x, data.y)
    assert (nats > -data.log_prob(data.x, data.y)).all()
    assert nats.mean() < 0.25 * 200 * math.log(256)
    for t in (27, 28, 60, 199):  # the first is told from the silence before the pluck
        x = data.x[data.y == 1][:1].repeat(256, 1)
        x[:, t] = torch.arange(256)
        shares = known.rows(x, 27, 0.98)[:, t - 27]
        assert shares.min() >= 0
        assert shares.sum().item() == pytest.approx(1, abs=1e-9)
    changed = data.x.clone()
    changed[:, 0] = 128  # no pluck is silent
    assert known.log_prob(changed, data.y).isinf().all()


def test_the_law_of_the_next_sample_is_that_of_two_uniforms():
    data = load("plucked", "test", notes="D4", length=100, n=1)
    known, x = OnePeriod(data), data.x.repeat(256, 1)
    x[:, 60] = torch.arange(256)
    low, high = known.edges[data.x[0, [33, 32]]], known.edges[data.x[0, [33, 32]] + 1]
    u = torch.rand(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = mu_law_encode(0.49 * (low + (high - low) * u).sum(1)).bincount(minlength=256) / len(u)
    p = known.rows(x, 27, 0.98)[:, 33]
    assert ((drawn - p).abs() <= 4 * (p * (1 - p) / len(u)).clamp(min=0).sqrt() + 1e-9).all()


def test_one_period_of_memory_needs_one_damping():
    with pytest.raises(ValueError, match="expected notes of one damping, got several"):
        OnePeriod(load("plucked", "test", damping=(0.9, 0.98), n=2))


def test_a_note_fades_and_the_factors_are_those_of_the_sound():
    data = load("plucked", "test", n=200)
    assert data.waveform.shape == data.x.shape
    loud = data.waveform.abs()
    assert (loud[:, -200:].amax(1) < 0.5 * loud[:, :200].amax(1)).all()
    assert torch.allclose(loud[:, 0], data.factors["loudness"], atol=0.02)
    assert set(data.factors) == {"note", "loudness", "damping"}
    n = 5000
    factors = load("plucked", n=n, length=100).factors
    table = torch.zeros(5, 2)
    for note, loudness in zip(factors["note"].tolist(), factors["loudness"].tolist(), strict=True):
        table[note, int(loudness > 0.5)] += 1
    expected = n / 10
    assert ((table - expected) ** 2 / expected).sum() < 9 + 4 * math.sqrt(18)  # chi-square, 9 degrees of freedom


# --- patches ---------------------------------------------------------------------------------------------------------


def test_no_pixel_is_in_two_splits_and_every_tile_in_one():
    assert {tile_split(r, c) for r in range(TILES[0]) for c in range(TILES[1])} == set(SPLITS)
    photographs = _photographs()
    height, width = TILES[0] * TILE, TILES[1] * TILE
    assert (height, width) <= tuple(photographs.shape[2:])
    covered = {split: len(load("patches", split)) * 64 for split in SPLITS}
    assert sum(covered.values()) == 2 * height * width
    assert 0.12 < covered["test"] / sum(covered.values()) < 0.17
    for r, c in itertools.product(range(TILES[0]), range(TILES[1])):
        if tile_split(r, c) != "train":  # no two tiles of validation or test touch at an edge
            for s, d in ((r + 1, c), (r, c + 1)):
                assert tile_split(s, d) == "train", (r, c)


def test_patches_are_cut_out_of_the_photographs():
    for split in SPLITS:
        data = load("patches", split, size=12)
        found = {(y, *x.flatten().tolist()) for x, y in zip(data.x, data.y.tolist(), strict=True)}
        cut = set()
        for r, c in itertools.product(range(TILES[0] * 4), range(TILES[1] * 4)):
            if tile_split(r // 4, c // 4) == split:
                for y, photograph in enumerate(_photographs()):
                    patch = photograph[:, r * 12 : r * 12 + 12, c * 12 : c * 12 + 12]
                    cut.add((y, *patch.flatten().tolist()))
        assert found == cut
        assert abs(data.y[:100].double().mean().item() - 0.5) < 0.2  # both photographs among the first


def test_patches_have_an_order_that_does_not_change():
    assert torch.equal(load("patches", "test").x, load("patches", "test").x)


def test_patches_of_training_may_overlap():
    assert len(load("patches", stride=4)) == 2 * 74 * 11 * 11
    assert torch.equal(load("patches", stride=8).x, load("patches").x)
    one = load("patches").x[0]
    assert (load("patches", stride=4).x == one).flatten(1).all(1).any()
    with pytest.raises(ValueError, match="do not overlap"):
        load("patches", "test", stride=4)


# --- pydoc -----------------------------------------------------------------------------------------------------------


def test_no_paragraph_is_in_two_splits_and_none_is_lost():
    texts = {split: load("pydoc", split).text for split in SPLITS}
    pieces = {split: re.split(r"\n[ \n]*\n", text.strip("\n")) for split, text in texts.items()}
    words = {split: {" ".join(piece.split()) for piece in pieces[split]} for split in SPLITS}
    for a, b in itertools.combinations(SPLITS, 2):
        assert not words[a] & words[b]
    assert sum(map(len, pieces.values())) == len(paragraphs()) == sum(map(len, words.values()))
    total = sum(map(len, texts.values()))
    for split in ("validation", "test"):
        assert 0.08 < len(texts[split]) / total < 0.12
    assert total > 300_000


@pytest.mark.skipif(sys.version_info[:3] != (3, 11, 7), reason="the text is that of Python 3.11.7")
def test_the_text_is_what_its_tool_collects(tmp_path):
    tool = Path(__file__).parents[2] / "tools" / "collect_pydoc.py"
    subprocess.run([sys.executable, tool, tmp_path / "pydoc.txt.gz"], check=True, capture_output=True)
    assert gzip.decompress((tmp_path / "pydoc.txt.gz").read_bytes()).decode().split("\n\n") == list(paragraphs())


def test_long_lines_of_the_test_text_are_not_in_the_training_text():
    train, test = (load("pydoc", split).text for split in ("train", "test"))
    known = {line.strip() for line in train.split("\n")}
    long = [line.strip() for line in test.split("\n") if len(line.strip()) > 50]
    assert len(long) > 200
    assert sum(line in known for line in long) <= 0.03 * len(long)  # a phrase like 'may be either a sequence'


def test_windows_are_the_text_and_nothing_else():
    data = load("pydoc", "validation", length=50)
    assert "".join(data.decode(row) for row in data.x) == data.text[: len(data) * 50]
    assert len(data.text) - len(data) * 50 < 50
    assert torch.equal(data.encode(data.text), data.tokens)
    assert data.vocabulary == VOCABULARY
    assert data.levels == 96
    every = load("pydoc", length=50, stride=1)
    assert len(every) == len(every.text) - 49
    assert torch.equal(every.x[7], every.tokens[7:57])
    assert every.x.untyped_storage().nbytes() == every.tokens.untyped_storage().nbytes()  # a view, not 50 copies


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda data: data.encode("naïve"), ["character 2", "'ï'", "replace"]),
        (lambda data: data.encode(torch.tensor([5])), ["a str", "a Tensor", "decode()"]),
        (lambda data: data.decode("if"), ["LongTensor", "a str", "encode()"]),
        (lambda data: data.decode(torch.tensor([0.5])), ["LongTensor", "torch.float32"]),
        (lambda data: data.decode(torch.tensor([96])), ["0..95", "96", "trained on"]),
        (lambda data: data.decode(torch.tensor([-1])), ["0..95", "-1"]),
        (lambda data: data.decode(data.x[:2]), ["one sequence", "row by row"]),
    ],
)
def test_what_is_no_text_is_refused(call, words):
    with pytest.raises((TypeError, ValueError)) as error:
        call(load("pydoc", "test"))
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


# --- moving digits ---------------------------------------------------------------------------------------------------


def test_bouncing_turns_around_at_the_walls_step_by_step():
    for room in (1, 2, 5, 8):
        for start, velocity in itertools.product(range(room + 1), range(-room, room + 1)):
            place, speed = start, velocity
            path = bounce(torch.tensor([start]), torch.tensor([velocity]), 30, room)[0].tolist()
            for seen in path:
                assert seen == place
                place += speed
                if not 0 <= place <= room:
                    place = -place if place < 0 else 2 * room - place
                    speed = -speed


def test_a_clip_shows_its_digit_where_the_factors_say_and_nothing_else():
    data, digits = load("moving_digits", "validation", n=40, size=14, speed=3), load("digits", "validation")
    f = data.factors
    for i, t in itertools.product(range(40), range(8)):
        r, c = f["row"][i, t], f["column"][i, t]
        frame = data.x[i, 0, t].clone()
        assert torch.equal(frame[r : r + 8, c : c + 8], digits.x[f["index"][i], 0])
        frame[r : r + 8, c : c + 8] = 0
        assert frame.sum() == 0
    assert torch.equal(data.y, digits.y[f["index"]])
    assert (f["row"] != f["row"][:, :1]).any(1).logical_or((f["column"] != f["column"][:, :1]).any(1)).all()


def test_a_direction_is_the_first_step_of_a_digit_that_no_wall_turns_around():
    data, plain = load("moving_digits", "validation", classes="direction"), load("moving_digits", "validation")
    assert torch.equal(data.x, plain.x)
    assert data.n_classes == len(DIRECTIONS) == 8
    assert data.y.unique().tolist() == list(range(8))
    steps = torch.stack([data.factors["row"], data.factors["column"]], 1)
    steps = steps[:, :, 1] - steps[:, :, 0]  # (N, 2)
    inside = (steps == torch.stack([data.factors["row_speed"], data.factors["column_speed"]], 1)).all(1)
    assert 0.6 < inside.double().mean() < 1
    for k, name in enumerate(DIRECTIONS):
        row, column = ("down" in name) - ("up" in name), ("right" in name) - ("left" in name)
        chosen = steps[inside & (data.y == k)].sign()
        assert len(chosen)
        assert (chosen == torch.tensor([row, column])).all()
    assert direction(torch.tensor(0), torch.tensor(0)) == -1


def test_three_frames_tell_the_rest_and_two_do_not():
    for room in range(2, 13):
        most = room // 2
        paths = [tuple(bounce(torch.tensor([s]), torch.tensor([v]), 4 * room, room)[0].tolist())
                 for s in range(room + 1) for v in range(-most, most + 1)]  # fmt: skip
        assert len({path[:3] for path in paths}) == len(set(paths))
        assert len({path[:2] for path in paths}) < len(set(paths)) or most < 2


def test_the_entropy_of_the_path_is_that_of_all_paths_one_by_one():
    """Counted again with tuples: all starts and velocities, and with ink all digits too."""
    for options in ({}, {"size": 11, "speed": 1, "frames": 4}, {"size": 12, "speed": 4, "frames": 5}):
        data = load("moving_digits", "validation", n=1, **options)
        room, speed, frames = options.get("size", 16) - 8, options.get("speed", 2), options.get("frames", 8)
        line = {
            (start, v): bounce(torch.tensor([start]), torch.tensor([v]), frames, room)[0].tolist()
            for start in range(room + 1) for v in range(-speed, speed + 1)
        }  # fmt: skip
        paths = [list(zip(line[a], line[b], strict=True)) for a, b in itertools.product(line, line) if a[1] or b[1]]
        entropy = [0.0]
        for t in range(1, frames + 1):
            counts = torch.tensor([*Counter(tuple(path[:t]) for path in paths).values()]).double() / len(paths)
            entropy.append(-(counts * counts.log()).sum().item())
        expected = torch.tensor(entropy).diff()
        torch.testing.assert_close(data.path_entropy().float(), expected, rtol=0, atol=1e-5)
        assert (data.path_entropy() >= 0).all()
        told = load("moving_digits", "validation", n=1, classes="direction", **options).path_entropy()
        ways = [(a[1] > 0, a[1] < 0, b[1] > 0, b[1] < 0) for a, b in itertools.product(line, line) if a[1] or b[1]]
        entropy = []
        for t in range(frames + 1):
            counts = Counter((way, tuple(path[:t])) for way, path in zip(ways, paths, strict=True))
            p = torch.tensor([*counts.values()]).double() / len(paths)
            entropy.append(-(p * p.log()).sum().item())
        torch.testing.assert_close(told.float(), torch.tensor(entropy).diff(), rtol=0, atol=1e-5)
        assert told[1] < 0.75 * expected[1]


def test_the_ink_hides_where_the_box_is_and_so_the_moment_of_a_bounce():
    data = load("moving_digits", "train", n=1)
    box, ink = data.path_entropy(), data.path_entropy(ink=True)
    assert box.sum().item() == pytest.approx(7.315782, abs=1e-6)
    assert ink.sum().item() == pytest.approx(7.537495, abs=1e-6)
    assert (ink[3:] > 0.005).all()
    assert (box[3:] < 1e-12).all()


def test_digits_of_a_split_stay_in_their_split():
    sizes = {"train": 1257, "validation": 180, "test": 360}
    for split, count in sizes.items():
        data = load("moving_digits", split, n=3000)
        assert data.factors["index"].max() < count
        assert len(data.factors["index"].unique()) > 0.8 * count


# --- bad options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ring", {"modes": 0}, ["modes", "1..10000", "got 0"]),
        ("ring", {"radius": 0}, ["radius", "above 0"]),
        ("ring", {"radius": math.inf}, ["radius", "above 0"]),
        ("ring", {"std": 0.0}, ["std", "at least 0.0001"]),
        ("ring", {"std": math.nan}, ["std", "at least 0.0001"]),
        ("ring", {"n": 0}, ["1..1000000", "got 0"]),
        ("grid", {"side": 0}, ["side", "1..100"]),
        ("grid", {"spacing": -1}, ["spacing", "above 0"]),
        ("grid", {"seed": -1}, ["seed", "got -1"]),
        ("patches", {"size": 1}, ["size", "2..48", "got 1"]),
        ("patches", {"size": 49}, ["2..48"]),
        ("patches", {"stride": 0}, ["stride", "got 0"]),
        ("pydoc", {"length": 0}, ["length", "got 0"]),
        ("pydoc", {"length": 10**7}, ["length", "got 10000000"]),
        ("pydoc", {"stride": 0}, ["stride", "at least 1"]),
        ("pydoc", {"stride": 7, "split": "test"}, ["do not overlap", "stride"]),
        ("pydoc", {"stride": 7, "split": "validation"}, ["do not overlap", "stride"]),
        ("patches", {"stride": 7, "split": "validation"}, ["do not overlap", "stride"]),
        ("plucked", {"loudness": True}, ["loudness", "True"]),
        ("plucked", {"notes": "H4"}, ["'H4'", "A3, C4, D4, E4, G4"]),
        ("plucked", {"notes": 5}, ["unknown note 5"]),
        ("plucked", {"notes": [["A3"]]}, ["unknown note ['A3']"]),
        ("plucked", {"notes": ()}, ["one note or several"]),
        ("plucked", {"notes": ("A3", "A3")}, ["different"]),
        ("plucked", {"loudness": 1.5}, ["loudness", "0.05..1", "1.5"]),
        ("plucked", {"loudness": ()}, ["loudness"]),
        ("plucked", {"damping": 0.4}, ["damping", "0.5..1"]),
        ("plucked", {"damping": (0.98, 0.9801)}, ["too close", "further apart"]),
        ("plucked", {"loudness": (0.8, 0.801)}, ["too close"]),
        ("plucked", {"length": 71}, ["twice the longest period", "72", "got 71"]),
        ("plucked", {"n": True}, ["integer"]),
        ("moving_digits", {"n": 10**9}, ["1..1000000", "got 1000000000"]),
        ("moving_digits", {"frames": 0}, ["frames", "got 0"]),
        ("moving_digits", {"size": 8}, ["9..64", "got 8"]),
        ("moving_digits", {"speed": 0}, ["speed", "got 0"]),
        ("moving_digits", {"size": 10, "speed": 3}, ["1..2", "got 3"]),
        ("moving_digits", {"classes": "speed"}, ["'speed'", "digit, direction"]),
        *[(name, {"split": "dev"}, ["'dev'", "train, validation, test"]) for name in (*DRAWN, "patches", "pydoc")],
    ],
)  # fmt: skip
def test_bad_options_are_refused(name, options, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load(name, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load("ring", "test", n=1).log_prob(torch.zeros(2, 3)), ["(B, 2)", "(2, 3)"]),
        (lambda: load("ring", "test", n=1).log_prob(torch.zeros(0, 2)), ["at least 1"]),
        (lambda: load("ring", "test", n=1).log_prob(torch.zeros(1, 2).long()), ["float", "int64"]),
        (lambda: load("ring", "test", n=1).nearest_mode(torch.tensor([[0.0, math.nan]])), ["finite", "diverged"]),
        (lambda: load("ring", "test", n=1).log_prob(torch.zeros(1, 2), torch.tensor([8])), ["0..7", "8"]),
        (lambda: load("ring", "test", n=1).log_prob(torch.zeros(1, 2), torch.tensor([0, 1])), ["LongTensor (1,)"]),
        (lambda: load("plucked", "test", n=1).log_prob(torch.zeros(1, 5).long()), ["(B, 2000)", "(1, 5)"]),
        (lambda: load("plucked", "test", n=1).log_prob(torch.full((1, 2000), 256)), ["0..255", "mu_law_encode"]),
        (lambda: load("plucked", "test", n=1).log_prob(torch.zeros(1, 2000)), ["LongTensor", "float32"]),
        (lambda: load("plucked", "test", n=1).log_prob(torch.zeros(1, 2000).long(), torch.tensor([5])), ["0..4"]),
    ],
)
def test_bad_examples_are_refused(call, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
