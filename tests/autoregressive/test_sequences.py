"""Models of sequences: all that images have (audits, samples, completion, compression, speculation), at any length."""

import math

import pytest
import torch
from small_models import SEQUENCES, TokenConv, small_model

from garm_course.autoregressive.base import Autoregressive
from garm_course.autoregressive.lstm import TokenLSTM
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.autoregressive.sampling import loop, speculative
from garm_course.autoregressive.sampling.compression import compress, decompress
from garm_course.evaluation.audits import calibration, causality, dependence, forgets, normalization, receptive_field

EACH = pytest.mark.parametrize("cls", SEQUENCES, ids=lambda cls: cls.name)
CASES = pytest.mark.parametrize(("levels", "n_classes"), [(5, 0), (2, 0), (3, 2)])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def classes(model, n):
    return torch.arange(n) % model.n_classes if model.n_classes else None


@EACH
@CASES
@pytest.mark.parametrize("length", [None, 1, 3, 23])
def test_cached_and_naive_draw_the_same_values_at_any_length(cls, levels, n_classes, length):
    model = small_model(cls, (8,), levels, n_classes)
    y = classes(model, 6)
    size = length or 8
    mask = torch.rand(6, size, generator=rng(6)) < 0.4
    given = torch.randint(levels, (6, size), generator=rng(5))
    options = [{}, {"temperature": 0.5}, {"top_k": 1}, {"given": given, "mask": mask}]
    for option in [*options, *([{"given": given[:, :2]}] if size > 2 else [])]:
        x = model.sample(6, y, length=length, rng=rng(), **option)
        assert x.shape == (6, size)
        assert torch.equal(x, model.sample_naive(6, y, length=length, rng=rng(), **option)), option
        if "mask" in option:
            assert torch.equal(x[mask], given[mask])
            assert torch.equal(
                model.sample(6, y, length=length, rng=rng(), given=given, mask=~mask)[~mask], given[~mask]
            )


@EACH
def test_step_gives_the_parameters_of_forward_far_beyond_the_training_length(cls):
    model = small_model(cls, (4,), 5, 3)
    x, y = torch.randint(5, (3, 40), generator=rng()), classes(model, 3)
    params, state = model(x, y), model.start(3, y, length=40)
    for i in range(40):
        torch.testing.assert_close(model.step(state, i, x[:, i - 1] if i else None), params[:, i], rtol=0, atol=1e-10)


@EACH
@CASES
def test_audits_hold(cls, levels, n_classes):
    model, y = small_model(cls, (5,), levels, n_classes), n_classes - 1 if n_classes else None
    result = causality(model, y=y)
    assert result, str(result)
    for shape in (None, (3,), (1,)):
        total = normalization(model, shape, y=y, tolerance=1e-10)
        assert total, str(total)
    samples = model.sample(20_000, torch.full((20_000,), y) if n_classes else None, length=4, rng=rng(7))
    result = calibration(model, samples, y=y)
    assert result, str(result)


@EACH
def test_a_prediction_sees_what_is_in_reach_and_nothing_else(cls):
    model = small_model(cls, (12,), 5)
    past = torch.ones(12, 12).tril(-1)
    expected = past if model.reach is None else past.triu(-model.reach)
    assert torch.equal(dependence(model, (12,), 5, examples=6) > 0, expected.bool())
    assert torch.equal(receptive_field(model, 7, examples=6) > 0, expected[7].bool())


@pytest.mark.parametrize("cls", [cls for cls in SEQUENCES if small_model(cls, (4,), 3).reach is not None])
def test_what_is_out_of_reach_is_forgotten(cls):
    for n_classes in (0, 2):
        result = forgets(small_model(cls, (4,), 5, n_classes), y=1 if n_classes else None)
        assert result, str(result)


def test_what_is_not_forgotten_is_named():
    model = small_model(TokenConv, (6,), 5)
    model.reach = 2  # it reads 4
    result = forgets(model)
    assert not result
    assert f"the prediction at position {result.position} depends on values more than 2 back" in str(result)
    model = small_model(TokenConv, (6,), 5)
    model.looks_ahead = 0
    model.step = lambda state, i, x_prev: type(model).step(model, state, i, x_prev if i != 9 else 0 * x_prev)
    result = forgets(model)
    assert result.position == 9
    assert "from position 9 on, steps and the full pass differ" in str(result)
    with pytest.raises(ValueError, match="sees its whole past"):
        forgets(small_model(TokenLSTM, (6,), 5))
    with pytest.raises(TypeError, match="a model of sequences with a `reach`, got a GatedPixelCNN"):
        forgets(small_model(GatedPixelCNN, (1, 3, 4), 5))


def test_a_leak_is_named_in_the_words_of_a_sequence():
    model = small_model(TokenConv, (6,), 5)
    model.shifted = lambda x: x  # the shift is forgotten
    assert "at position 0 depends on that value itself" in str(causality(model))
    model.shifted = lambda x: torch.nn.functional.pad(x[:, 1:], (0, 1), value=5)
    result = causality(model)
    assert result.leak == ((1,), (0,))
    assert "the prediction at position 0 depends on position 1, which comes later" in str(result)
    model.place = lambda i: f"character {i}"
    assert "the prediction at character 0 depends on character 1, which comes later" in str(causality(model))


@pytest.mark.parametrize(
    ("roll", "axis", "words"),
    [(2, "row", "row 1, column 0, further down"), (1, "frame", "frame 1, row 0, column 0, a later frame")],
)
def test_clips_are_audited_in_their_own_words(roll, axis, words):
    right = torch.nn.functional.pad
    past = lambda x: right(x, (1, -1)).double()  # noqa: E731 (the value to the left)
    assert causality(past, (1, 2, 2, 3), 3)
    result = causality(lambda x: x.roll(-1, roll + 1).double(), (1, 2, 2, 3), 3)
    assert not result
    assert words in str(result), axis
    field = receptive_field(past, (1, 0, 2), (1, 2, 2, 3), 3)
    assert field.nonzero().tolist() == [[0, 1, 0, 1]]


@EACH
def test_an_example_begins_alike_whatever_their_number_and_length(cls):
    model = small_model(cls, (8,), 5)
    many = model.sample(40, length=30, rng=rng(3))
    assert len(many.unique(dim=0)) == 40
    for n in (1, 2, 7, 17, 40):
        for length in (1, 5, 29):
            assert torch.equal(model.sample(n, length=length, rng=rng(3)), many[:n, :length])
    g = rng(3)
    assert torch.equal(model.sample(2, length=30, rng=g), many[:2])
    assert not torch.equal(model.sample(2, length=30, rng=g), many[:2]), "a generator moves on"


@EACH
@pytest.mark.parametrize("size", [1, 4, 5, 6, 11, 13])
def test_a_prompt_read_in_few_passes_leaves_the_state_that_steps_leave(cls, size, monkeypatch):
    model = small_model(cls, (8,), 5, 2)
    x, y = torch.randint(5, (3, 20), generator=rng(1)), classes(model, 3)
    params, state = model(x, y), model.start(3, y, length=20)
    with torch.inference_mode():
        loop.read_prompt(model, state, x[:, :size].T)
        for i in range(size, 20):
            torch.testing.assert_close(model.step(state, i, x[:, i - 1]), params[:, i], rtol=0, atol=1e-10)
    prompt = x[:, :size]
    drawn = model.sample(3, y, length=20, given=prompt, rng=rng())
    assert torch.equal(drawn[:, :size], prompt)
    mask = torch.arange(20) < size
    by_steps = {"given": torch.where(mask, x, 0), "mask": mask.expand(3, -1)}
    assert torch.equal(drawn, model.sample(3, y, length=20, rng=rng(), **by_steps))
    monkeypatch.setattr(cls, "looks_ahead", 0)
    assert torch.equal(drawn, model.sample(3, y, length=20, given=prompt, rng=rng()))


@EACH
def test_a_continuation_follows_the_conditional_distribution(cls):
    model = small_model(cls, (4,), 2)
    prompt = torch.tensor([1, 0])
    x = model.sample(40_000, length=4, given=prompt, rng=rng())
    space = torch.tensor([[1, 0, a, b] for a in (0, 1) for b in (0, 1)])
    p = model.log_prob(space).softmax(0)  # p(rest | prompt) by enumeration
    counts = torch.stack([(x == example).all(1).double().mean() for example in space])
    assert ((counts - p).abs() < 4 * (p * (1 - p) / len(x)).sqrt()).all()


@EACH
@pytest.mark.parametrize("length", [1, 6, 31])
def test_sequences_of_any_length_come_back_from_a_stream(cls, length):
    model = small_model(cls, (6,), 5, 3, dtype=torch.float32)
    x, y = torch.randint(5, (4, length), generator=rng()), torch.tensor([0, 2, 1, 0])
    stream = compress(model, x, y)
    assert torch.equal(decompress(model, stream.data, y), x)
    with torch.no_grad():
        ideal = -model.log_prob(x, y).double() / math.log(2)
    assert (torch.tensor(stream.bits) - ideal < 2).all()


@EACH
def test_looking_ahead_forgets_wrong_guesses(cls):
    model = small_model(cls, (8,), 5)
    x = torch.randint(5, (3, 30), generator=rng())
    params, state, i = model(x), model.start(3, length=30), 0
    while i < 30:
        m = min(1 + i % model.looks_ahead, 30 - i)
        guesses = x.T[i : i + m - 1].clone()
        guesses[m // 2 :] = (guesses[m // 2 :] + 1) % 5  # from here on, all are wrong
        out = model.look_ahead(state, i, x[:, i - 1] if i else None, guesses)
        good = min(m // 2 + 1, m)
        torch.testing.assert_close(out[:good], params[:, i : i + good].transpose(0, 1), rtol=0, atol=1e-10)
        i += good


@EACH
def test_speculation_with_itself_is_never_refused_and_any_draft_leaves_the_law_of_the_target(cls):
    target, draft = small_model(cls, (3,), 3), small_model(TokenConv, (7,), 3, scale=1)  # trained on other lengths
    draft.looks_ahead = 2  # it can go back less far than the target
    for length in (None, 1, 20):
        found = speculative.sample(target, target, 4, length=length, rng=rng())
        assert found.x.shape == (4, length or 3)
        assert found.accepted > 0.999
        assert found.passes == math.ceil((length or 3) / min(target.looks_ahead, 12))
    many = speculative.sample(target, draft, 6, length=20, block=1, rng=rng())
    assert many.passes == 20
    for n, block, length in [(6, 3, 20), (2, 100, 20), (1, 2, 13)]:
        assert torch.equal(
            speculative.sample(target, draft, n, length=length, block=block, rng=rng()).x, many.x[:n, :length]
        )
    result = calibration(target, speculative.sample(target, draft, 20_000, length=5, rng=rng(7)).x)
    assert result, str(result)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": 0}, ValueError, "length >= 1"),
        ({"length": 2.5}, ValueError, "length >= 1"),
        ({"given": torch.zeros(8, dtype=torch.long)}, ValueError, "shorter than their length"),
        ({"given": torch.zeros(3, 4, dtype=torch.long)}, ValueError, "a prompt for 2 examples"),
        ({"given": torch.zeros(2, 0, dtype=torch.long)}, ValueError, r"at least one value, got none, shape \(2, 0\)"),
        ({"given": torch.zeros(0, dtype=torch.long)}, ValueError, "leave `given` out to begin from nothing"),
        ({"given": torch.full((4,), 5)}, ValueError, "levels 5..5"),
        ({"given": torch.zeros(4)}, TypeError, "LongTensor"),
        ({"given": "to be"}, TypeError, r"a prompt as a LongTensor of levels 0..4, got a str; .*data.encode\(text\)"),
        ({"given": [1, 2]}, TypeError, "got a list"),
        ({"mask": torch.ones(8, dtype=torch.bool)}, ValueError, "both `given`"),
        ({"given": torch.zeros(7, dtype=torch.long), "mask": torch.ones(7, dtype=torch.bool)}, ValueError, "of shape"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options, error, message):
    model = small_model(TokenConv, (8,), 5)
    for naive in (False, True):
        with pytest.raises(error, match=message) as caught:
            model.sample(2, naive=naive, **options)
        assert "\n" not in str(caught.value)


def test_examples_and_shapes_that_do_not_fit_are_refused():
    model = small_model(TokenConv, (8,), 5)
    for x in (torch.zeros(2, 0, dtype=torch.long), torch.zeros(8, dtype=torch.long), torch.zeros(2, 3, 4).long()):
        with pytest.raises(ValueError, match=r"a LongTensor \(B, T\) of levels 0..4 with T >= 1, got.*x\[None\]"):
            model.log_prob(x)
    with pytest.raises(ValueError, match=r"expected a shape \(T,\), the length of a sequence, got \(1, 2, 3\)"):
        TokenConv((1, 2, 3), 5)
    for shape in ((), (2, 0), (1, 2, 3, 4, 5)):
        with pytest.raises(ValueError, match="expected a shape of 1 to 4 positive sizes"):
            Autoregressive(shape, 5)
    image = small_model(GatedPixelCNN, (1, 3, 4), 5)
    with pytest.raises(ValueError, match=r"fixed shape \(1, 3, 4\); leave length=7 out"):
        image.sample(2, length=7)
    with pytest.raises(ValueError, match=r"expected a draft for the target's examples, \(12,\) with 5 levels"):
        speculative.sample(model, image, 1, length=12)


def test_a_sequence_is_its_own_raster():
    base = Autoregressive((3, 2, 4, 5), 2)
    x = torch.arange(2 * 120).reshape(2, 3, 2, 4, 5)
    assert torch.equal(base.from_sequence(base.to_sequence(x)), x)
    assert base.to_sequence(x)[0, :4].tolist() == [0, 40, 80, 1]  # R, G, B, then the pixel to the right
    assert base.place(3 * 5 + 1) == "frame 0, row 1, column 0, channel 1"
    assert [Autoregressive(shape, 2).place(7) for shape in ((9,), (2, 5), (1, 3, 4))] == [
        "position 7",
        "row 1, column 2",
        "row 1, column 3",
    ]
