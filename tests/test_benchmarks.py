"""The benchmarks compare like with like: same weights, same uniforms, same images; and their rows can be read."""

import json
import sys
from pathlib import Path

import pytest
import torch
from small_models import MODELS as MODEL_CLASSES
from small_models import small_model

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import adversarial  # noqa: E402
import data  # noqa: E402
import fit  # noqa: E402
import nade  # noqa: E402
import reference  # noqa: E402
import sampling  # noqa: E402
import speculative  # noqa: E402
import startup  # noqa: E402
import training  # noqa: E402
import transformer  # noqa: E402
import wavenet  # noqa: E402

from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN  # noqa: E402
from garm_course.autoregressive.pixelcnnpp import PixelCNNPP  # noqa: E402
from garm_course.autoregressive.wavenet import WaveNet  # noqa: E402

sys.path.remove(str(BENCHMARKS))

SHAPE = (1, 6, 9)
MODELS = [
    (GatedPixelCNN, {"channels": 6, "layers": 2}),
    (GatedPixelCNN, {"channels": 4, "layers": 0, "first_kernel": 5}),
    (PixelCNN, {"channels": 4, "layers": 2}),
    (PixelCNN, {"channels": 4, "layers": 1, "first_kernel": 3, "kernel": 5}),
]
FIELDS = {"model", "images", "seconds_naive", "seconds_cached", "ratio", "max_logit_difference"}


def features(model, x):
    return model.table[x[:, 0]].permute(0, 3, 1, 2)


@pytest.mark.parametrize(("kind", "arguments"), MODELS)
def test_reference_computes_what_the_library_computes(kind, arguments):
    model = sampling.build(kind, arguments, SHAPE).double()
    x = torch.randint(2, (3, *SHAPE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = reference.reference(model)(features(model, x)) - model(x)
    assert difference.abs().max() < 1e-10


@pytest.mark.parametrize(("kind", "arguments"), MODELS)
def test_reference_in_float32_stays_within_the_promised_tolerance(kind, arguments):
    model = sampling.build(kind, arguments, SHAPE)
    x = torch.randint(2, (3, *SHAPE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = reference.reference(model)(features(model, x)) - model(x)
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize(("kind", "arguments"), MODELS[::2])
def test_only_the_masks_keep_the_noise_in_the_dense_kernels_out(kind, arguments):
    model = sampling.build(kind, arguments, SHAPE).double()
    net = reference.reference(model)
    x = torch.zeros(1, *SHAPE, dtype=torch.long)
    with torch.no_grad():
        masked = net(features(model, x))
        for module in net.modules():
            if isinstance(module, reference.MaskedConv2d):
                module.mask.fill_(1)
        assert (net(features(model, x)) - masked).abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "arguments"), MODELS)
def test_reference_loop_draws_the_images_of_the_cached_sampler(kind, arguments):
    model = sampling.build(kind, arguments, SHAPE).double()
    net, u = reference.reference(model), sampling.uniforms(model, 4, seed=3)
    x = torch.zeros(4, *SHAPE, dtype=torch.long)
    logits = [reference.reference_step(net, model.table, x, i, u[:, i]) for i in range(model.positions)]
    drawn = model.sample(4, rng=torch.Generator().manual_seed(3))
    assert torch.equal(x, drawn)
    assert 0.02 < drawn.double().mean() < 0.98  # images of one color would agree too easily
    assert (torch.stack(logits, 1) - sampling.cached_logits(model, drawn)).abs().max() < 1e-10


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(sampling, "JOBS", {"tiny": (GatedPixelCNN, {"channels": 4, "layers": 1}, None)})
    monkeypatch.setattr(sampling, "DEFAULT_JOBS", ["tiny"])
    monkeypatch.setattr(sampling, "SHAPE", SHAPE)


def rows(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_rows_of_the_whole_loop(tiny, capsys):
    sampling.main(["--json", "--images", "3", "--repeats", "2"])
    (row,) = rows(capsys)
    assert row.keys() >= FIELDS
    assert row["images"] == 3
    assert row["same_images"] is True
    assert row["naive_extrapolated"] is False
    assert row["positions_timed"] == 54
    assert len(row["seconds_cached_runs"]) == 2
    assert row["ratio"] == pytest.approx(row["seconds_naive"] / row["seconds_cached"], rel=0.2)
    assert 0 < row["max_logit_difference"] < 1e-5 < row["max_logit"]


def test_json_rows_say_that_the_naive_time_is_extrapolated(tiny, capsys):
    sampling.main(["--json", "--positions", "5", "--repeats", "1"])
    (row,) = rows(capsys)
    assert row["naive_extrapolated"] is True
    assert row["positions_timed"] == 5
    assert row["same_images"] is True
    sampling.main(["--positions", "5", "--repeats", "1"])
    assert "extrapolated from 5 positions" in capsys.readouterr().out


def test_a_difference_between_the_two_sides_is_reported(tiny, capsys, monkeypatch):
    def disturbed(model):
        net = reference.reference(model)
        with torch.no_grad():
            net.head[-1].bias += 5
        return net

    monkeypatch.setattr(sampling, "reference", disturbed)
    sampling.main(["--json", "--repeats", "1"])
    (row,) = rows(capsys)
    assert row["same_images"] is False
    assert row["max_logit_difference"] > 1


def test_cache_grows_with_the_number_of_images_and_counts_views_once(tiny, capsys):
    sampling.main(["--batches", "--json", "--repeats", "1"])
    one, sixteen, many = (row["cache_bytes"] for row in rows(capsys))
    assert many - sixteen == pytest.approx(48 / 15 * (sixteen - one))  # linear, with the copied weights as offset
    model = sampling.build(GatedPixelCNN, {"channels": 4, "layers": 1}, SHAPE)
    cache = model.start(8).head[0]  # line, rows and weights; slots and windows are views into the line
    assert sampling.cache_bytes(cache) == 4 * (cache.line.numel() + cache.rows.numel() + cache.weights[0].numel())


def test_the_cache_of_a_clip_does_not_grow_with_its_frames(capsys, monkeypatch):
    monkeypatch.setattr(sampling, "CLIP_SHAPE", (1, 2, 3, 4))
    monkeypatch.setattr(sampling, "FRAMES", (2, 5))
    sampling.main(["--frames", "--json", "--repeats", "1"])
    short, long = rows(capsys)
    assert (short["frames"], long["frames"]) == (2, 5)
    assert short["cache_bytes"] == long["cache_bytes"] > 0
    assert short["ms_per_step"] > 0
    sampling.main(["--frames", "--repeats", "1"])
    assert "5 frames: " in capsys.readouterr().out


def test_arguments_that_make_no_sense_are_refused(capsys):
    with pytest.raises(SystemExit):
        sampling.main(["--positions", "0"])
    assert "expected --positions >= 1, got 0" in capsys.readouterr().err


@pytest.fixture
def tiny_color(monkeypatch):
    arguments = {"channels": 4, "blocks": 1, "scales": 2, "mixtures": 2}
    monkeypatch.setattr(sampling, "JOBS", {"gray": None, "tiny++": (PixelCNNPP, arguments, 4)})
    monkeypatch.setattr(sampling, "COLOR_SHAPE", (3, 4, 5))


def test_one_forward_pass_gives_the_three_colors_that_the_cached_sampler_draws(tiny_color):
    model = sampling.build(*sampling.JOBS["tiny++"][:2]).double()
    u, drawn = sampling.uniforms(model, 3, seed=3), model.sample(3, rng=torch.Generator().manual_seed(3))
    sequence, x = model.to_sequence(drawn), torch.zeros_like(drawn)
    params = [
        sampling.forward_step(model, x, i, u[:, 3 * i : 3 * i + 3], sequence[:, 3 * i : 3 * i + 3]) for i in range(20)
    ]
    assert torch.equal(x, drawn)
    assert drawn.unique().numel() > 30
    assert (torch.cat(params, 1) - sampling.cached_logits(model, drawn)).abs().max() < 1e-9


def test_the_color_job_times_pixels_and_says_what_its_naive_side_is(tiny_color, capsys):
    sampling.main(["--model", "TINY", "--json", "--images", "2", "--repeats", "2"])
    (row,) = rows(capsys)
    assert row.keys() >= FIELDS
    assert (row["model"], row["images"], row["shape"]) == ("tiny++", 2, [3, 4, 5])
    assert row["naive"] == "own forward pass a pixel"
    assert (row["naive_extrapolated"], row["positions_timed"], row["same_images"]) == (True, 4, True)
    assert row["ms_per_position_naive"] == pytest.approx(1e3 * row["seconds_naive"] / 20, rel=0.05, abs=0.05)
    assert 0 < row["max_logit_difference"] < 1e-3 < row["max_logit"]
    sampling.main(["--model", "++", "--positions", "20", "--repeats", "1"])
    assert "own forward pass a pixel" in (said := capsys.readouterr().out)
    assert "all positions" in said


def test_a_difference_of_the_color_job_is_reported(tiny_color, monkeypatch):
    cached = sampling.cached_logits
    monkeypatch.setattr(sampling, "cached_logits", lambda model, x: cached(model, 255 - x))
    assert sampling.measure("tiny++", images=2, repeats=1)["max_logit_difference"] > 0.1


def test_a_model_that_no_job_has_is_refused(tiny_color, capsys):
    with pytest.raises(SystemExit):
        sampling.main(["--model", "nade"])
    assert "no job has 'nade' in its name; there are: gray, tiny++" in capsys.readouterr().err


def test_all_jobs_are_those_of_the_default_and_the_large_ones():
    assert [name for name in sampling.JOBS if name not in sampling.DEFAULT_JOBS] == [
        "gated 7x7 + 10 layers of 128",
        "pixelcnn++ 3 scales of 2 blocks of 40",
    ]


@pytest.mark.parametrize("images", [2, 9000])
def test_sampling_leaves_the_number_of_threads_as_it_was(images):
    threads = torch.get_num_threads()
    model = PixelCNN((1, 1, 2), 2, channels=4, layers=1, first_kernel=3)
    try:
        torch.set_num_threads(2)
        model.sample(images)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_import_is_cheap_and_loads_nothing_heavy():
    row = startup.measure("import garm_course", repeats=3)
    assert row["heavy_modules"] == []
    assert row["seconds_beyond_torch"] < 0.3


@pytest.mark.slow
def test_import_row_names_what_is_heavy():
    row = startup.measure("import typer", repeats=1)
    assert row["heavy_modules"] == ["typer"]
    assert row["seconds_beyond_torch"] > 0


def test_a_row_of_loading_is_of_the_data_it_names(monkeypatch):
    row = data.measure_here("ring", "test")
    assert (row["data"], row["split"], row["examples"], row["same"]) == ("ring", "test", 1000, True)
    assert row["tensor_mb"] == round(1000 * (2 * 4 + 8) / 1e6, 1)
    assert row["seconds"] >= 0


@pytest.mark.slow
def test_made_up_files_are_as_large_as_those_of_mnist(tmp_path, monkeypatch):
    from garm_course.datasets import mnist

    files, made = data.warm_cache(tmp_path)
    assert made
    monkeypatch.setenv("GARM_CACHE", str(tmp_path))
    monkeypatch.setenv("GARM_BENCHMARK_FILES", json.dumps(files))
    monkeypatch.setattr(mnist, "FILES", mnist.FILES)  # comes back after the test
    row = data.measure_here("mnist", "test")
    assert row["tensor_mb"] == round(10_000 * (784 + 1) * 8 / 1e6, 1)
    assert row["same"]


def test_both_sides_of_the_nade_benchmark_compute_the_same():
    row = nade.compare(3, 5, pixels=60, repeats=1)
    assert row["relative_difference"] < 1e-6
    assert row["gradient_difference"] < 1e-5
    assert row["ratio"] > 0


def test_the_nade_benchmark_writes_rows(monkeypatch, capsys):
    monkeypatch.setattr(nade, "SIZES", ((2, 3),))
    nade.main(["--json", "--repeats", "1"])
    row = json.loads(capsys.readouterr().out)
    assert (row["images"], row["hidden"], row["pixels"]) == (2, 3, 784)
    nade.main(["--repeats", "1"])
    assert "times faster" in capsys.readouterr().out


@pytest.mark.parametrize("r1", [0.0, 0.1])
def test_both_sides_of_the_adversarial_benchmark_make_the_same_updates(r1, monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    row = adversarial.compare(4, 8, r1, steps=3, repeats=1, side=8)
    assert row["weight_difference"] < 0.05 * row["weight_change"]  # rounding, which Adam magnifies where nothing pulls
    assert row["weight_change"] > 1e-3


def test_the_adversarial_benchmark_writes_rows(monkeypatch, capsys):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    monkeypatch.setattr(adversarial, "SIZES", ((2, 4, 0.0),))
    adversarial.main(["--json", "--repeats", "1", "--steps", "1"])
    row = json.loads(capsys.readouterr().out)
    assert row["ratio"] == pytest.approx(row["ms_textbook"] / row["ms_library"])
    adversarial.main(["--repeats", "1", "--steps", "1"])
    assert "times faster" in capsys.readouterr().out


def test_both_sides_of_the_training_benchmark_compute_the_same():
    row = training.compare(channels=6, layers=2, batch_size=5, repeats=3, shape=(1, 8, 9))
    assert row["max_logit_difference"] < 1e-6 < 1e-3 < row["max_logit"]
    assert row["loss_difference"] < 1e-5  # after updates too
    assert abs(row["loss_change"]) > 1e-4
    assert row["parameters"] < row["parameters_dense"]


def test_a_difference_of_the_training_benchmark_is_reported(monkeypatch):
    def disturbed(model):
        net = reference.reference(model)
        with torch.no_grad():
            net.head[-1].bias += 5
        return net

    monkeypatch.setattr(training, "reference", disturbed)
    row = training.compare(channels=4, layers=1, batch_size=2, repeats=1, shape=(1, 6, 6))
    assert row["max_logit_difference"] == pytest.approx(5, rel=1e-3)
    assert row["loss_difference"] > 0.1


def test_the_training_benchmark_writes_a_row(capsys):
    small = ["--channels", "4", "--layers", "1", "--batch", "2", "--repeats", "1"]
    training.main(["--json", *small])
    (row,) = rows(capsys)
    assert (row["channels"], row["layers"], row["batch_size"], row["shape"]) == (4, 1, 2, [1, 28, 28])
    assert row["ratio_cpu"] == pytest.approx(row["cpu_seconds_dense"] / row["cpu_seconds_library"])
    training.main(small)
    assert "times faster" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        training.main(["--repeats", "0"])
    assert "expected --repeats >= 1, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(1, 12, 10), (3, 8, 8)])
@pytest.mark.parametrize("cls", MODEL_CLASSES, ids=lambda cls: cls.name)
def test_a_cache_needs_no_more_than_the_activations_of_a_pass(cls, shape):
    model = small_model(cls, shape, 4, dtype=torch.float32)
    with torch.inference_mode():
        state = model.start(4)
        for i in range(model.positions):
            model.step(state, i, torch.zeros(4, dtype=torch.long) if i else None)
    assert 0 < sampling.cache_bytes(state) <= sampling.forward_bytes(model, 4)


def test_both_sides_of_the_benchmark_of_wavenet_draw_the_same(monkeypatch, capsys):
    job = (WaveNet, (30,), 256, {"channels": 4, "skip": 4, "dilations": (1, 2)}, 8000)
    monkeypatch.setattr(wavenet, "JOBS", {"tiny": job})
    wavenet.main(["--json", "--positions", "7", "--repeats", "2", "--sequences", "1", "3"])
    found = rows(capsys)
    assert [row["sequences"] for row in found] == [1, 3]
    for row in found:
        assert (row["same_values"], row["positions_timed"], row["length"]) == (True, 7, 30)
        assert 0 < row["max_logit_difference"] < 1e-5
        assert row["real_time_factor"] == pytest.approx(row["seconds_cached"] * 8000 / 30, rel=0.05, abs=0.03)
    wavenet.main(["--positions", "7", "--repeats", "1", "--sequences", "1"])
    assert "times faster" in (said := capsys.readouterr().out)
    assert "within its reach" in said


def test_a_difference_of_the_benchmark_of_wavenet_is_reported(monkeypatch):
    job = (WaveNet, (30,), 256, {"channels": 4, "skip": 4, "dilations": (1, 2)}, 8000)
    monkeypatch.setattr(wavenet, "JOBS", {"tiny": job})
    cached = wavenet.cached_logits
    monkeypatch.setattr(wavenet, "cached_logits", lambda model, x: cached(model, 255 - x))
    assert wavenet.measure("tiny", 2, positions=7, repeats=1)["max_logit_difference"] > 1e-3


def test_an_enlarged_model_keeps_its_law():
    model = sampling.build(GatedPixelCNN, {"channels": 4, "layers": 2, "kernel": 5}, SHAPE).double()
    x = torch.randint(2, (3, *SHAPE), generator=torch.Generator().manual_seed(0))
    for channels, layers in ((4, 2), (7, 2), (9, 4)):
        large = speculative.enlarge(model, channels, layers).double()
        large.load_state_dict({k: v.double() for k, v in large.state_dict().items()})
        torch.testing.assert_close(large(x), model(x), rtol=0, atol=1e-5)
        assert sum(p.numel() for p in large.parameters()) >= sum(p.numel() for p in model.parameters())
    with pytest.raises(ValueError, match="at least 4 channels and 2 layers, got 3 and 2"):
        speculative.enlarge(model, 3, 2)


def test_a_row_of_the_speculative_benchmark():
    target = sampling.build(GatedPixelCNN, {"channels": 4, "layers": 1}, SHAPE)
    draft = sampling.build(PixelCNN, {"channels": 4, "layers": 0}, SHAPE)
    row = speculative.measure(target, draft, 2, 5, 2)
    assert row["ratio"] == pytest.approx(row["seconds_cached"] / row["seconds_speculative"], rel=0.05)
    assert 6 * 2 <= row["passes"] <= 54
    assert 0 < row["accepted"] < 1
    assert "of the guesses kept" in speculative.describe(row)


def test_a_row_of_the_benchmark_of_bf16():
    row = fit.bf16("gated_pixelcnn", "bars_and_stripes", 2, 1)
    assert row["times_as_fast"] > 0
    assert f"gated_pixelcnn-bars_and_stripes, bf16: {row['times_as_fast']:.2f} times" in fit.describe(row)


def test_rows_of_the_benchmark_of_fit(capsys):
    row = fit.overhead("pixel_gru", 2, 1)
    assert row["ms_per_step_bare"] > 0
    assert row["overhead_percent"] == pytest.approx(
        100 * (row["ms_per_step_fit"] / row["ms_per_step_bare"] - 1), abs=0.1
    )
    assert "pixel_gru-digits: bare loop" in fit.describe(row)
    row = fit.vae(2, 1, images=64)
    assert "VAE 784-512-10: bare loop" in fit.describe(row)
    fit.main(["--only", "gan-digits", "--steps", "2"])
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["mib_peak"] >= row["mib_before"] > 0
    assert row["steps_per_cpu_second"] > 0
    assert "gan-digits: " in fit.describe(row)


def test_the_bare_loop_learns_and_repeats_itself():
    recipe = fit.find("gated_pixelcnn", "bars_and_stripes")
    data, one, other = recipe.load("train"), recipe.build(0), recipe.build(0)
    fit.bare(one, data, 8, 10, 1e-2)
    fit.bare(other, data, 8, 10, 1e-2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    start = recipe.build(0)
    assert one.log_prob(data.x).mean() > start.log_prob(data.x).mean()


def test_the_transformer_draws_many_times_as_fast_as_with_full_passes():
    row = transformer.measure_sampling(8, length=256, repeats=1, positions=4)
    assert row["ratio_naive"] >= 4, row
    assert "8 x 256 characters" in transformer.describe(row)


def test_a_plain_transformer_neither_normalizes_nor_turns_and_steps_as_it_passes():
    full, plain = (transformer.build(9, p).double() for p in (False, True))
    assert len(full.taps) == 3
    assert not len(plain.taps)
    x = torch.randint(transformer.LEVELS, (2, 9), generator=torch.Generator().manual_seed(0))
    for model in (full, plain):
        state = model.start(2, length=9)
        steps = [model.step(state, i, x[:, i - 1] if i else None) for i in range(9)]
        torch.testing.assert_close(torch.stack(steps, 1), model(x), rtol=0, atol=1e-10)
    attention, features = plain.blocks[0].attention, torch.randn(1, 4, 128, dtype=torch.float64)
    for part, expected in zip(attention.project(features), attention.qkv(features).split(128, -1), strict=True):
        assert torch.equal(part.transpose(1, 2).flatten(2), expected)


def test_a_training_step_is_compared_with_one_that_learns_as_well():
    row = transformer.measure_training(2, length=8, steps=1, repeats=1)
    assert {"seconds_a_step", "seconds_a_step_nanogpt", "ratio_nanogpt"} < row.keys()
    assert "nanoGPT" in transformer.describe(row)
    torch.manual_seed(0)
    other = transformer.NanoGPT(9, 4, width=8, layers=1, heads=2)
    x = torch.arange(8) % 4 + torch.zeros(2, 8, dtype=torch.long)
    optimizer = torch.optim.AdamW(other.parameters(), lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        other.loss(x).backward()
        optimizer.step()
    assert other.loss(x) < 0.3
    changed = x.clone()
    changed[:, 5] = (x[:, 5] + 1) % 4
    hidden = [other.norm(other.blocks(other.tokens(t) + other.places(torch.arange(8)))) for t in (x, changed)]
    assert torch.equal(hidden[0][:, :5], hidden[1][:, :5]), "it sees no future"
