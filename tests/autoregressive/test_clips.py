"""Models of clips: all that images and sequences have, at any number of frames; and the match of moving pictures."""

import math

import pytest
import torch
from small_models import CLIPS, small_model

from garm_course import datasets
from garm_course.autoregressive.clips import FirstFrames, earlier_frames
from garm_course.autoregressive.sampling import loop, speculative
from garm_course.autoregressive.sampling.compression import compress, decompress
from garm_course.autoregressive.video import FramePixelCNN
from garm_course.evaluation.audits import calibration, causality, dependence, normalization
from garm_course.weights.files import load_model, save_model

EACH = pytest.mark.parametrize("cls", CLIPS, ids=lambda cls: cls.name)
KINDS = pytest.mark.parametrize("options", [{}, {"past": 0, "match": False}, {"past": 1, "match": False}, {"past": 3}])
SHAPES = [((1, 2, 3, 5), 5, 0), ((1, 3, 4, 3), 2, 2), ((3, 2, 2, 3), 3, 2), ((1, 2, 1, 4), 3, 0), ((2, 2, 5, 1), 3, 0)]
CASES = pytest.mark.parametrize(("shape", "levels", "n_classes"), SHAPES)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def classes(model, n):
    return torch.arange(n) % model.n_classes if model.n_classes else None


def walk(model, x, y=None, i=0, state=None):
    """Parameters (B, D - i, ...) of all positions from i on, step by step."""
    state, sequence = state or model.start(len(x), y, length=x.shape[2]), model.to_sequence(x)
    steps = range(i, sequence.shape[1])
    return torch.stack([model.step(state, i, sequence[:, i - 1] if i else None) for i in steps], 1)


@EACH
@CASES
@pytest.mark.parametrize("length", [None, 1, 5])
def test_cached_and_naive_draw_the_same_clips_of_any_number_of_frames(cls, shape, levels, n_classes, length):
    model = small_model(cls, shape, levels, n_classes)
    y, shape = classes(model, 4), model.shape_of(length)
    given = torch.randint(levels, (4, *shape), generator=rng(5))
    mask = torch.rand(4, *shape, generator=rng(6)) < 0.4
    for options in ({}, {"temperature": 0.5, "top_p": 0.9}, {"given": given, "mask": mask}):
        x = model.sample(4, y, length=length, rng=rng(), **options)
        assert x.shape == (4, *shape)
        assert torch.equal(x, model.sample_naive(4, y, length=length, rng=rng(), **options)), options
        if "mask" in options:
            assert torch.equal(x[mask], given[mask])


@EACH
@KINDS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_steps_give_the_parameters_of_forward_far_beyond_the_length_it_was_built_for(cls, options, dtype, tolerance):
    for shape, levels, n_classes in SHAPES[:3]:
        model = small_model(cls, shape, levels, n_classes, dtype=dtype, **options)
        x = torch.randint(levels, (3, *model.shape_of(9)), generator=rng())
        x[:2, :, 4:] = x[:2, :, 3:4]  # pictures that stand still are matched
        y = classes(model, 3)
        torch.testing.assert_close(walk(model, x, y), model.to_sequence(model(x, y)), rtol=0, atol=tolerance)


@EACH
@KINDS
def test_audits_hold(cls, options):
    for shape, levels, n_classes in [((1, 2, 2, 2), 2, 2), ((3, 2, 1, 1), 2, 0), ((1, 3, 1, 2), 3, 0)]:
        model, y = small_model(cls, shape, levels, n_classes, **options), n_classes - 1 if n_classes else None
        total = normalization(model, y=y, tolerance=1e-10)
        assert total, str(total)
        samples = model.sample(20_000, torch.full((20_000,), y) if n_classes else None, rng=rng(7))
        result = calibration(model, samples, y=y)
        assert result, str(result)
    for shape in ((1, 4, 3, 4), (3, 3, 2, 2)):
        result = causality(small_model(cls, shape, 4, **options))
        assert result, str(result)


@EACH
def test_it_is_normalized_at_other_numbers_of_frames(cls):
    model = small_model(cls, (1, 3, 1, 2), 2)
    for frames in (1, 2, 5):
        assert normalization(model, (1, frames, 1, 2), tolerance=1e-10)


@EACH
@pytest.mark.parametrize(("past", "match"), [(0, False), (1, False), (2, False), (2, True), (3, True)])
def test_a_prediction_sees_the_frames_in_reach_and_no_other(cls, past, match):
    model = small_model(cls, (1, 5, 2, 3), 5, past=past, match=match)
    change = dependence(model, model.shape, 5, examples=4).unflatten(0, (5, 6)).unflatten(2, (5, 6))
    seen = change.amax((1, 3)) > 0
    assert torch.equal(seen, torch.ones(5, 5).tril().triu(-past).bool())
    assert model.reach == past


@EACH
def test_an_example_begins_alike_whatever_their_number_and_length(cls):
    model = small_model(cls, (1, 2, 3, 4), 5)
    many = model.sample(9, length=5, rng=rng(3))
    for n, frames in ((1, 1), (4, 5), (9, 3)):
        assert torch.equal(model.sample(n, length=frames, rng=rng(3)), many[:n, :, :frames])
    assert not (many == many[0]).all()


@EACH
@CASES
def test_first_frames_that_are_given_are_kept_and_read_as_steps_read_them(cls, shape, levels, n_classes):
    model = small_model(cls, shape, levels, n_classes)
    x, y = torch.randint(levels, (3, *model.shape_of(5)), generator=rng(1)), classes(model, 3)
    for frames in (1, 3):
        first = frames * model.frame_positions
        state = model.start(3, y, length=5)
        with torch.inference_mode():
            loop.read_prompt(model, state, model.to_sequence(x).T[:first])
            after = walk(model, x, y, first, state)
        torch.testing.assert_close(after, model.to_sequence(model(x, y))[:, first:], rtol=0, atol=1e-10)
        drawn = model.sample(3, y, length=5, given=x[:, :, :frames], rng=rng())
        assert torch.equal(drawn[:, :, :frames], x[:, :, :frames])
        mask = (torch.arange(5) < frames)[:, None, None].expand(3, *model.shape_of(5))
        assert torch.equal(drawn, model.sample(3, y, length=5, given=x, mask=mask, rng=rng()))


@EACH
@KINDS
def test_looking_ahead_forgets_wrong_guesses(cls, options):
    model = small_model(cls, (1, 2, 3, 5), 5, **options)
    x = torch.randint(5, (3, 1, 4, 3, 5), generator=rng())
    params, sequence, state, i = model.to_sequence(model(x)), model.to_sequence(x), model.start(3, length=4), 0
    while i < 60:
        m = min(1 + i % 4, model.block_end(i) - i)
        guesses = sequence.T[i : i + m - 1].clone()
        guesses[m // 2 :] = (guesses[m // 2 :] + 1) % 5  # from here on, all are wrong
        out = model.look_ahead(state, i, sequence[:, i - 1] if i else None, guesses)
        good = min(m // 2 + 1, m)
        torch.testing.assert_close(out[:good], params[:, i : i + good].transpose(0, 1), rtol=0, atol=1e-10)
        i += good
    with pytest.raises(ValueError, match="at most 4 guesses"):
        model.look_ahead(model.start(3), 0, None, torch.zeros(5, 3, dtype=torch.long))


@EACH
def test_speculation_and_compression_need_no_code_of_their_own(cls):
    model, draft = small_model(cls, (1, 2, 2, 3), 3), small_model(cls, (1, 3, 2, 3), 3, past=0, match=False)
    found = speculative.sample(model, model, 3, length=3, rng=rng())
    assert found.accepted > 0.999
    assert found.passes == 3 * 2  # a row at a time
    small = small_model(cls, (1, 2, 1, 2), 3)
    drawn = speculative.sample(small, small_model(cls, (1, 2, 1, 2), 3, past=0, match=False), 20_000, rng=rng(7)).x
    assert calibration(small, drawn)
    assert speculative.sample(model, draft, 2, length=4, rng=rng()).x.shape == (2, 1, 4, 2, 3)
    model = small_model(cls, (1, 2, 3, 4), 5, dtype=torch.float32)
    x = torch.randint(5, (4, 1, 3, 3, 4), generator=rng())
    stream = compress(model, x)
    assert torch.equal(decompress(model, stream.data), x)
    with torch.no_grad():
        assert (torch.tensor(stream.bits) + model.log_prob(x).double() / math.log(2) < 2).all()


@EACH
@KINDS
def test_every_parameter_takes_part_and_a_saved_model_comes_back(cls, options, tmp_path):
    model = small_model(cls, (3, 3, 4, 5), 3, 2, dropout=0.0, scale=1, **options)
    x, y = torch.randint(3, (16, 3, 3, 4, 5), generator=rng()), torch.arange(16) % 2
    model.log_prob(x, y).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} takes no part"
        assert parameter.grad.abs().sum() > 0, f"{name} has no gradient"
    save_model(model.float(), tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert torch.equal(again.log_prob(x, y), model.log_prob(x, y))


@EACH
def test_it_is_built_on_the_meta_device_and_runs_in_bfloat16(cls):
    with torch.device("meta"):
        assert cls((1, 2, 3, 4), 5, 2, channels=4, layers=1).match.sharpness.is_meta
    model = small_model(cls, (1, 2, 3, 4), 5, scale=1, dtype=torch.bfloat16)
    assert model(torch.zeros(1, 1, 2, 3, 4, dtype=torch.long)).dtype == torch.float32
    assert model.sample(2, rng=rng()).shape == (2, 1, 2, 3, 4)


@EACH
def test_a_step_costs_the_same_whatever_the_number_of_frames(cls, monkeypatch):
    """The encoder runs once a frame, on one frame; the state holds `past` frames and a row, never the clip."""
    model, calls = small_model(cls, (1, 2, 3, 4), 5), []
    model.encoder.register_forward_hook(lambda _, inputs, __: calls.append(tuple(inputs[0].shape)))
    sizes = []
    with torch.inference_mode():
        for frames in (2, 9):
            state = model.start(2, length=frames)
            for i in range(12 * frames):
                model.step(state, i, torch.zeros(2, dtype=torch.long) if i else None)
            sizes.append(sum(v.numel() for v in vars(state).values() if isinstance(v, torch.Tensor)))
    assert calls == [(2, 4, 3, 4)] * 11
    assert sizes[0] == sizes[1]


# --- the match -------------------------------------------------------------------------------------------------------


def test_a_picture_that_moves_is_guessed_once_its_displacement_shows():
    """Untrained: the frame before, moved; three displacements are possible until the first pixel of ink tells."""
    model = FramePixelCNN((1, 8, 16, 16), 17, channels=4, layers=0).double()
    data = datasets.load("moving_digits", "validation", n=40)
    with torch.no_grad():
        nats = -model.frame_log_probs(data.x).mean(0)
    assert (nats[1:] < 6).all()
    assert nats[0] > 256 * math.log(17) - 1
    plain = FramePixelCNN((1, 8, 16, 16), 17, channels=4, layers=0, match=False).double()
    with torch.no_grad():
        assert (-plain.frame_log_probs(data.x).mean(0) > 600).all()


def test_a_guess_is_the_moved_frame_where_everything_is_known():
    match = FramePixelCNN((1, 3, 9, 9), 5, channels=2, layers=0).match.double()
    picture = torch.randint(1, 5, (1, 1, 3, 3), generator=rng())
    frames = torch.zeros(1, 3, 1, 9, 9, dtype=torch.long)
    for t in range(3):
        frames[0, t, :, 1 + 2 * t : 4 + 2 * t, 5 - t : 8 - t] = picture  # two down, one to the left
    moved = match.moved(frames[:, 1])
    assert torch.equal(moved[0, 4 * 5 + 1], frames[0, 2])  # row displacement +2, column displacement -1
    guess = match(frames[:, :2], frames[:, 2])  # (1, H, W, C, levels)
    torch.testing.assert_close(guess.sum(-1), torch.ones(1, 9, 9, 1, dtype=torch.float64))
    assert torch.equal(guess[..., 0, :].argmax(-1)[0], frames[0, 2, 0])
    other = frames[:, 2].clone()
    other[0, 0, 0, 0] = 4  # what no displacement explains tells nothing: all lose alike
    torch.testing.assert_close(match(frames[:, :2], other)[0, 5:], guess[0, 5:])
    none = match(torch.full_like(frames[:, :2], -1), frames[:, 2])
    torch.testing.assert_close(none, torch.full_like(none, 1 / 5))


def test_a_class_may_say_where_the_picture_goes():
    """Weights that translate each class into one displacement: what is drawn is the first frame, moved by it."""
    model = FramePixelCNN((1, 2, 9, 9), 5, 2, channels=2, layers=0, speed=1).double().eval()
    told = torch.tensor([[0, 2], [2, 1]])  # indices of the row and the column displacement of each class
    with torch.no_grad():
        model.trust.fill_(30.0)
        for axis, prior in enumerate((model.match.rows, model.match.columns)):
            for layer in (prior[0], prior[2]):
                layer.weight.zero_()
                layer.bias.zero_()
            prior[0].weight[:2, -2:] = torch.eye(2)
            prior[2].weight[told[:, axis], torch.arange(2)] = 100.0
    first = torch.zeros(1, 1, 9, 9, dtype=torch.long)
    first[0, 0, 3:6, 3:6] = torch.randint(1, 5, (3, 3), generator=rng())
    drawn = model.sample(2, torch.tensor([0, 1]), length=2, given=first, rng=rng())[:, 0, 1]
    assert torch.equal(drawn, torch.stack([first[0, 0].roll((-1, 1), (0, 1)), first[0, 0].roll((1, 0), (0, 1))]))


# --- what is refused, and the pieces ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"past": 1}, "a displacement is seen in two frames: expected past >= 2, or match=False, got 1"),
        ({"past": -1, "match": False}, "past=-1 is out of range"),
        ({"layers": -1}, "layers=-1 is out of range"),
        ({"speed": 0}, "speed=0 is out of range"),
        ({"shape": (1, 8, 8)}, r"expected a clip shape \(C, T, H, W\) of positive sizes, got \(1, 8, 8\)"),
        ({"shape": (3, 2, 8, 8), "channels": 4}, "channels divisible by 3"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        FramePixelCNN(options.pop("shape", (1, 2, 4, 4)), 3, **options)
    assert "\n" not in str(caught.value)


def test_clips_that_do_not_fit_are_refused():
    model = small_model(FramePixelCNN, (1, 2, 3, 4), 5)
    for shape in ((1, 2, 3, 4), (1, 1, 0, 3, 4), (1, 1, 2, 4, 3), (1, 1, 2, 3, 5), (1, 2, 2, 3, 4), (), (3, 4)):
        with pytest.raises(ValueError, match=r"\(B, 1, T, 3, 4\) of levels 0..4.* crop or pad .* to 3 x 4") as caught:
            model.log_prob(torch.zeros(shape, dtype=torch.long))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"got levels 5\.\.5"):  # more frames than it was built for are allowed
        model.log_prob(torch.full((1, 1, 7, 3, 4), 5))
    with pytest.raises(ValueError, match="at least one value, got none"):
        model.sample(1, length=3, given=torch.zeros(1, 0, 3, 4, dtype=torch.long))
    for length in (0, 1.5):
        with pytest.raises(ValueError, match="expected length >= 1"):
            model.sample(1, length=length)
    with pytest.raises(ValueError, match="shorter than their length"):
        model.sample(1, length=2, given=torch.zeros(1, 2, 3, 4, dtype=torch.long))
    color = small_model(FramePixelCNN, (3, 2, 3, 4), 5)
    with pytest.raises(TypeError, match="looking ahead needs clips with one channel, got 3"):
        color.look_ahead(color.start(1), 0, None, torch.zeros(1, 1, dtype=torch.long))


def test_earlier_frames_are_those_before_and_no_later_one():
    frames = torch.randint(9, (2, 6, 1, 2, 3), generator=rng())
    for past in (1, 2, 4):
        before = earlier_frames(frames, past)
        assert before.shape == (2, 6, past, 1, 2, 3)
        for t in range(6):
            for k in range(past):
                s = t - past + k
                assert torch.equal(before[:, t, k], frames[:, s] if s >= 0 else torch.full_like(frames[:, 0], -1))


def test_the_loss_of_first_frames_is_the_likelihood_of_a_shorter_clip():
    model = small_model(FramePixelCNN, (1, 6, 3, 4), 5, 2)
    x, y = torch.randint(5, (4, 1, 6, 3, 4), generator=rng()), torch.tensor([0, 1, 1, 0])
    by_frame = model.frame_log_probs(x, y)
    torch.testing.assert_close(FirstFrames(3)(model, x, y), -by_frame[:, :3].sum(1).mean())
    torch.testing.assert_close(model.log_prob(x, y), by_frame.sum(1))
    with pytest.raises(ValueError, match="frames=0 is out of range"):
        FirstFrames(0)
