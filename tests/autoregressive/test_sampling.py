"""Sampling: cached and naive agree, only `rng` decides, completion keeps, filters apply, draws are right."""

import pytest
import torch
from small_models import ANY_ORDER, MODELS, small_model

from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.autoregressive.pixelrnn import DiagonalBiLSTM, RowLSTM
from garm_course.evaluation.audits import all_examples, calibration

CASES = [
    ((1, 5, 4), 3, 0),
    ((1, 4, 6), 2, 3),
    ((3, 3, 4), 4, 2),
    ((2, 4, 3), 2, 0),
    ((1, 1, 6), 3, 0),
    ((3, 6, 1), 2, 0),
]
EACH = [pytest.param(cls, *case, id=f"{cls.name}-{case}") for cls in MODELS for case in CASES]


def build(cls, shape, levels, n_classes=0, **options):
    return small_model(cls, shape, levels, n_classes, **options)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def classes(model, n):
    return torch.arange(n) % model.n_classes if model.n_classes else None


def options_for(model):
    given = torch.randint(model.levels, model.shape, generator=rng(5))
    mask = torch.rand(model.shape, generator=rng(6)) < 0.4
    half = torch.zeros(model.shape, dtype=torch.bool)
    half[:, : model.shape[1] // 2] = True
    return [
        {},
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.8},
        {"min_p": 0.3},
        {"temperature": 0},
        {"temperature": 1.7, "top_k": 3, "top_p": 0.9},
        {"given": given, "mask": mask},
        {"given": given, "mask": half, "top_k": 1},
    ]


@pytest.mark.parametrize(("cls", "shape", "levels", "n_classes"), EACH)
def test_cached_and_naive_draw_the_same_values(cls, shape, levels, n_classes):
    model = build(cls, shape, levels, n_classes)
    for options in options_for(model):
        y = classes(model, 3)
        cached = model.sample(3, y, rng=rng(), **options)
        assert torch.equal(cached, model.sample_naive(3, y, rng=rng(), **options)), options


@pytest.mark.parametrize(("shape", "levels", "n_classes"), CASES[:4])
@pytest.mark.parametrize("cls", ANY_ORDER)
def test_cached_and_naive_agree_in_any_order(cls, shape, levels, n_classes):
    order = torch.randperm(shape[0] * shape[1] * shape[2], generator=rng(3))
    model = build(cls, shape, levels, n_classes, order=order)
    for options in options_for(model):
        y = classes(model, 3)
        cached = model.sample(3, y, rng=rng(), **options)
        assert torch.equal(cached, model.sample_naive(3, y, rng=rng(), **options)), options


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("cls", "shape", "levels", "n_classes"), EACH)
def test_step_gives_the_parameters_of_forward(cls, shape, levels, n_classes, dtype, tolerance):
    model = build(cls, shape, levels, n_classes, dtype=dtype)
    x = torch.randint(levels, (5, *shape), generator=rng())
    y = classes(model, 5)
    params, sequence = model.to_sequence(model(x, y)), model.to_sequence(x)
    state = model.start(5, y)
    for i in range(model.positions):
        out = model.step(state, i, sequence[:, i - 1] if i else None)
        torch.testing.assert_close(out, params[:, i], atol=tolerance * max(1, params.abs().max().item()), rtol=0)


@pytest.mark.parametrize("kernels", [(3, 3), (5, 3), (7, 5), (9, 7)])
@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN, RowLSTM])
def test_kernels_wider_than_the_image_are_cached_right(cls, kernels):
    model = build(cls, (1, 4, 3), 3, first_kernel=kernels[0], kernel=kernels[1])
    assert torch.equal(model.sample(4, rng=rng()), model.sample_naive(4, rng=rng()))


@pytest.mark.parametrize("naive", [False, True])
@pytest.mark.parametrize("cls", MODELS)
def test_the_first_images_are_the_same_whatever_their_number(cls, naive):
    model = build(cls, (1, 4, 5), 3, 4)
    many = model.sample(9, classes(model, 9), rng=rng(), naive=naive)
    for n in (1, 2, 5):
        assert torch.equal(model.sample(n, classes(model, n), rng=rng(), naive=naive), many[:n])
    assert not (many == many[0]).all()


def test_the_generator_alone_decides():
    model = build(GatedPixelCNN, (1, 4, 5), 3)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = model.sample(4, rng=rng(1))
    assert torch.equal(torch.get_rng_state(), before), "the global generator moved"
    torch.manual_seed(99)
    assert torch.equal(model.sample(4, rng=rng(1)), first)
    assert not torch.equal(model.sample(4, rng=rng(2)), first)
    g = rng(1)
    assert torch.equal(model.sample(4, rng=g), first)
    assert not torch.equal(model.sample(4, rng=g), first), "a generator moves on"


def test_without_a_generator_the_global_seed_decides():
    model = build(PixelCNN, (1, 4, 5), 3)
    torch.manual_seed(3)
    first, second = model.sample(4), model.sample(4)
    torch.manual_seed(3)
    assert torch.equal(model.sample(4), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN, RowLSTM, DiagonalBiLSTM])
def test_sampling_switches_dropout_off_and_leaves_the_mode_as_it_was(cls):
    model = build(cls, (1, 4, 5), 3, dropout=0.9)
    expected = model.eval().sample(4, rng=rng())
    model.train()
    model.head_in.eval()  # a mixture of modes must come back as it was
    modes = [module.training for module in model.modules()]
    for naive in (False, True):
        assert torch.equal(model.sample(4, rng=rng(), naive=naive), expected)
        assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError, match="stop"):
        model.sample(2, progress=lambda positions: (_ for _ in ()).throw(RuntimeError("stop")))
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("naive", [False, True])
def test_samples_are_ordinary_tensors(naive):
    model = build(GatedPixelCNN, (1, 4, 5), 3)
    x = model.sample(3, naive=naive)
    model.log_prob(x).sum().backward()  # an inference tensor cannot be saved for backward
    x[0] = 0  # nor edited
    assert x.is_contiguous()


def test_step_works_while_gradients_are_recorded():
    model = build(PixelCNN, (1, 3, 4), 3)
    with torch.enable_grad():
        state = model.start(2)
        out = [model.step(state, i, torch.ones(2, dtype=torch.long) if i else None) for i in range(12)]
    assert not any(params.requires_grad for params in out)


@pytest.mark.parametrize(("cls", "shape", "levels", "n_classes"), EACH)
def test_completion_keeps_the_given_pixels_and_draws_the_rest(cls, shape, levels, n_classes):
    model = build(cls, shape, levels, n_classes)
    y = classes(model, 40)
    given = torch.randint(levels, (40, *shape), generator=rng(5))
    mask = torch.rand(40, *shape, generator=rng(6)) < 0.5
    x = model.sample(40, y, given=given, mask=mask, rng=rng())
    assert torch.equal(x[mask], given[mask])
    free = model.sample(40, y, given=given, mask=torch.zeros(shape, dtype=torch.bool), rng=rng())
    assert torch.equal(free, model.sample(40, y, rng=rng()))
    assert not torch.equal(x[~mask], given[~mask])
    everything = model.sample(40, y, given=given, mask=torch.ones(shape, dtype=torch.bool), rng=rng())
    assert torch.equal(everything, given)


def test_one_given_image_serves_all_samples_and_hidden_levels_do_not_matter():
    model = build(GatedPixelCNN, (1, 4, 5), 3)
    given = torch.randint(3, (1, 4, 5), generator=rng(5))
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    mask[:, :2] = True
    x = model.sample(6, given=given, mask=mask, rng=rng())
    assert (x[:, :, :2] == given[:, :2]).all()
    assert len(x.unique(dim=0)) > 1
    hidden = given.masked_fill(~mask, -1)  # no levels at all where nothing is kept
    assert torch.equal(model.sample(6, given=hidden, mask=mask, rng=rng()), x)


def test_a_completion_of_the_first_rows_follows_the_conditional_distribution():
    model = build(PixelCNN, (1, 2, 3), 2)
    given = torch.tensor([[[1, 0, 1], [0, 0, 0]]])
    mask = torch.tensor([[[True] * 3, [False] * 3]])
    x = model.sample(40_000, given=given, mask=mask, rng=rng())
    space = all_examples((1, 2, 3), 2)
    space = space[(space[:, 0, 0] == given[0, 0]).all(1)]
    p = model.log_prob(space).softmax(0)  # p(rest | given) by enumeration
    counts = torch.stack([(x == image).flatten(1).all(1).double().mean() for image in space])
    assert ((counts - p).abs() < 4 * (p * (1 - p) / len(x)).sqrt()).all()


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize(("shape", "levels", "n_classes"), [((1, 2, 3), 2, 0), ((2, 1, 2), 3, 2)])
def test_samples_follow_the_probabilities_of_the_model(cls, shape, levels, n_classes):
    model = build(cls, shape, levels, n_classes)
    for label in range(max(n_classes, 1)):
        y = torch.full((20_000,), label) if n_classes else None
        result = calibration(model, model.sample(20_000, y, rng=rng(7)), y=label if n_classes else None)
        assert result, str(result)


def test_top_k_of_one_and_a_temperature_near_zero_are_the_greedy_image():
    for cls, shape, levels in [(PixelCNN, (1, 4, 5), 4), (GatedPixelCNN, (3, 3, 2), 2)]:
        model = build(cls, shape, levels)
        greedy = model.sample(3, top_k=1, rng=rng())
        assert (greedy == greedy[0]).all()
        best = model.to_sequence(model.head.log_probs(model(greedy))).argmax(-1)
        assert torch.equal(best, model.to_sequence(greedy))
        for options in ({"temperature": 0}, {"temperature": 1e-6}, {"temperature": 1e-37}, {"top_p": 1e-9}):
            assert torch.equal(model.sample(3, rng=rng(), **options), greedy), options


def test_filtered_samples_stay_within_the_kept_levels():
    model = build(GatedPixelCNN, (1, 4, 5), 6)
    x = model.sample(200, top_k=2, rng=rng())
    p = model.to_sequence(model.head.log_probs(model(x)))  # (B, D, levels)
    rank = (p > p.gather(-1, model.to_sequence(x)[..., None])).sum(-1)
    assert set(rank.unique().tolist()) == {0, 1}


def test_filters_that_keep_everything_change_nothing():
    model = build(GatedPixelCNN, (1, 4, 5), 6)
    plain = model.sample(50, rng=rng())
    for options in ({"top_k": 6}, {"top_k": 1000}, {"top_p": 1.0}, {"temperature": 1}):
        assert torch.equal(model.sample(50, rng=rng(), **options), plain), options


@pytest.mark.parametrize("levels", [2, 5])
def test_in_bfloat16_the_draws_are_not_coarse(levels):
    # only the features are rounded: the uniforms, and what they are compared with, keep float32
    model = build(PixelCNN, (1, 1, 1), levels, layers=0, dtype=torch.bfloat16)
    x = model.sample(20_000, rng=rng()).flatten()
    u = torch.rand(20_000, 1, generator=rng(), dtype=torch.float64).flatten().float()
    params = model(torch.zeros(1, 1, 1, 1, dtype=torch.long)).flatten(0, 3).float()
    assert torch.equal(x, model.head.sample(params.expand(20_000, *params.shape[1:]), u))


def test_progress_sees_every_position():
    seen = []

    def progress(positions):
        for i in positions:
            seen.append(i)
            yield i

    model = build(PixelCNN, (2, 3, 4), 3)
    model.sample(1, progress=progress)
    assert seen == list(range(24))


SHAPE = (1, 4, 5)
GIVEN, MASK = torch.zeros(SHAPE, dtype=torch.long), torch.ones(SHAPE, dtype=torch.bool)


@pytest.mark.parametrize("naive", [False, True])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n >= 1"),
        ({"n": -1}, ValueError, "n >= 1"),
        ({"n": 2.0}, ValueError, "n >= 1"),
        ({"rng": 0}, TypeError, "torch.Generator"),
        ({"rng": 7}, TypeError, r"manual_seed"),
        ({"temperature": -1}, ValueError, "temperature >= 0"),
        ({"top_k": 0}, ValueError, "top_k >= 1"),
        ({"top_p": 2}, ValueError, "top_p in"),
        ({"given": GIVEN}, ValueError, "both `given`"),
        ({"mask": MASK}, ValueError, "both `given`"),
        ({"given": GIVEN, "mask": MASK.long()}, TypeError, "BoolTensor"),
        ({"given": GIVEN, "mask": MASK.float()}, TypeError, "BoolTensor"),
        ({"given": GIVEN.float(), "mask": MASK}, TypeError, "LongTensor"),
        ({"given": GIVEN.tolist(), "mask": MASK}, TypeError, "list"),
        ({"given": GIVEN + 3, "mask": MASK}, ValueError, "levels 0..2, got levels 3..3"),
        ({"given": GIVEN.mT, "mask": MASK.mT}, ValueError, "expected"),
        ({"given": GIVEN.expand(3, *SHAPE), "mask": MASK}, ValueError, "expected `given` and `mask` of shape"),
        ({"given": GIVEN, "mask": MASK.expand(3, *SHAPE)}, ValueError, "expected `given` and `mask` of shape"),
        ({"y": torch.zeros(2, dtype=torch.long)}, ValueError, "leave y out"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, error, message, naive):
    model = build(PixelCNN, SHAPE, 3)
    with pytest.raises(error, match=message) as caught:
        model.sample(**{"n": 2, "naive": naive, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_that_diverged_is_refused(bad):
    model = build(GatedPixelCNN, SHAPE, 3)
    with torch.no_grad():
        model.head_in.bias[0] = bad
    with pytest.raises(ValueError, match=r"head_in.bias.*diverged; train it again"):
        model.sample(1)
