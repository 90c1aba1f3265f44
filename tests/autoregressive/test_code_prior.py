"""A prior over codes that reads a caption: exact, causal, obedient, and the same however it is drawn."""

import itertools
import math

import pytest
import torch
from small_models import MODELS, small_model

from garm_course.autoregressive.code_prior import CodeTransformer
from garm_course.autoregressive.guidance import Guided
from garm_course.autoregressive.sliding import Sliding
from garm_course.evaluation.audits import causality, dependence
from garm_course.evaluation.likelihood import evaluate
from garm_course.training.likelihood import fit

WORDS, LENGTH = 5, 4
CAPTION = torch.tensor([2, 5, 1])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def prior(n_codes=3, grid=(2, 2), *, dtype=torch.float64, **options):
    """A small random prior in evaluation mode, its weights far from the start, where everything is uniform."""
    torch.manual_seed(1)
    model = CodeTransformer(n_codes, grid, WORDS, LENGTH, **{"width": 8, "heads": 2, "layers": 2, **options})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.6)
    return model.to(dtype).eval()


def told(model, caption=CAPTION):
    """The parameters of a model, given the same caption for all examples."""
    return lambda x: model(x, caption.expand(len(x), -1))


def every(n_codes, grid):
    return torch.tensor(list(itertools.product(range(n_codes), repeat=math.prod(grid)))).unflatten(1, grid)


@pytest.mark.parametrize("n_codes", [2, 3])
@pytest.mark.parametrize("caption", [CAPTION, torch.zeros(4, dtype=torch.long), CAPTION[:0]], ids=str)
def test_all_grids_of_codes_sum_to_one_given_any_caption(n_codes, caption):
    x = every(n_codes, (2, 2))
    assert len(x) == n_codes**4
    nats = prior(n_codes).log_prob(x, caption.expand(len(x), -1))
    assert nats.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert nats.std() > 0.1, "far from uniform"


def test_guided_and_sliding_models_sum_to_one_as_well():
    model = prior(2)
    for other in (Guided(model, 3.0), Sliding(model, (2, 3)), Sliding(Guided(model, 2.0), (3, 2))):
        x = every(2, other.shape)
        assert other.log_prob(x, CAPTION.expand(len(x), -1)).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_codes_depend_on_earlier_codes_and_on_the_caption_alone():
    model = prior(4, (3, 3))
    for other in (model, Guided(model, 3.0)):
        assert causality(told(other), (3, 3), 4), str(causality(told(other), (3, 3), 4))
    x = torch.zeros(1, 3, 3, dtype=torch.long)
    assert (told(model)(x) - model(x)).abs().amax(3).min() > 0.01, "every code hears the caption"


def test_padding_of_a_caption_changes_nothing():
    model, x = prior(4, (3, 3)), torch.randint(4, (6, 3, 3), generator=rng())
    short, long = CAPTION[:2].expand(6, -1), torch.tensor([2, 5, 0, 0]).expand(6, -1)
    torch.testing.assert_close(model.log_prob(x, short), model.log_prob(x, long), rtol=0, atol=1e-12)
    assert torch.equal(model.sample(6, short, rng=rng()), model.sample(6, long, rng=rng()))
    empty = torch.zeros(6, 4, dtype=torch.long)
    torch.testing.assert_close(model.log_prob(x), model.log_prob(x, empty), rtol=0, atol=1e-12)
    assert (model.log_prob(x) - model.log_prob(x, short)).abs().min() > 1e-3


def test_a_batch_of_several_captions_is_several_batches_of_one():
    model, x = prior(4, (3, 3)), torch.randint(4, (3, 3, 3), generator=rng())
    captions = torch.tensor([[1, 2, 3, 4], [5, 0, 0, 0], [0, 0, 0, 0]])
    alone = torch.cat([model.log_prob(x[k : k + 1], captions[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(model.log_prob(x, captions), alone, rtol=0, atol=1e-12)


def test_the_likelihood_is_that_of_the_codes_and_says_nothing_of_the_caption():
    model, x = prior(4, (3, 2)), torch.randint(4, (5, 3, 2), generator=rng())
    caption = CAPTION.expand(5, -1)
    logits = model(x, caption).flatten(1, 2).log_softmax(-1)
    terms = logits.gather(-1, x.flatten(1)[..., None]).squeeze(-1)
    assert terms.shape == (5, 6)
    torch.testing.assert_close(model.log_prob(x, caption), terms.sum(1))
    fresh = CodeTransformer(4, (3, 2), WORDS, LENGTH)
    torch.testing.assert_close(fresh.log_prob(x, caption), torch.full((5,), -6 * math.log(4)))


@pytest.mark.parametrize("guidance", [0, 0.5, 1, 3.0])
@pytest.mark.parametrize("n_codes", [2, 5])
@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.5}, {"top_k": 2, "min_p": 0.1}, {"given": torch.tensor([1, 0, 1, 1])}, {"temperature": 0}],
    ids=str,
)
def test_cached_and_naive_draw_the_same_codes(guidance, n_codes, options):
    model = prior(n_codes, (3, 4))
    captions = torch.tensor([[1, 2, 3, 4], [5, 0, 0, 0], [0, 0, 0, 0]])
    for caption in (captions, CAPTION, None):
        drawn = [
            draw(3, caption, guidance=guidance, rng=rng(), **options) for draw in (model.sample, model.sample_naive)
        ]
        assert torch.equal(*drawn)


def test_no_guidance_is_the_model_without_a_caption_and_one_is_the_model():
    model, x = prior(4, (3, 3)), torch.randint(4, (6, 3, 3), generator=rng())
    caption = CAPTION.expand(6, -1)
    empty = torch.zeros_like(caption)
    assert torch.equal(Guided(model, 0)(x, caption), Guided(model, 1)(x, empty))
    torch.testing.assert_close(Guided(model, 0)(x, caption), model(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(Guided(model, 1)(x, caption), model(x, caption), rtol=0, atol=1e-12)
    u, c = model(x), model(x, caption)
    torch.testing.assert_close(Guided(model, 3)(x, caption), u + 3 * (c - u), rtol=0, atol=1e-12)
    assert torch.equal(model.sample(6, caption, guidance=0, rng=rng()), model.sample(6, rng=rng()))
    assert torch.equal(model.sample(6, caption, guidance=1, rng=rng()), model.sample(6, caption, rng=rng()))
    assert not torch.equal(model.sample(6, caption, guidance=8, rng=rng()), model.sample(6, caption, rng=rng()))


def test_samples_are_those_of_the_law_guided_or_not():
    model = prior(2)
    for guidance in (1.0, 3.0):
        law = model if guidance == 1 else Guided(model, guidance)
        drawn = model.sample(4000, CAPTION, guidance=guidance, rng=rng())
        p = law.log_prob(every(2, (2, 2)), CAPTION.expand(16, -1)).exp()
        counts = (drawn.flatten(1) @ torch.tensor([8, 4, 2, 1])).bincount(minlength=16)
        z = (counts - 4000 * p) / (4000 * p * (1 - p)).sqrt()
        assert z.abs().max() < 4.5


def test_given_codes_are_kept_and_decide_what_follows():
    model = prior(5, (3, 4))
    first = torch.randint(5, (6, 7), generator=rng(3))
    drawn = model.sample(6, CAPTION, guidance=2.0, given=first, rng=rng())
    assert torch.equal(drawn.flatten(1)[:, :7], first)
    assert not torch.equal(drawn, model.sample(6, CAPTION, guidance=2.0, given=first + 1 - 2 * (first == 4), rng=rng()))
    everything = torch.randint(5, (6, 12), generator=rng(3))
    before = everything.clone()
    assert torch.equal(model.sample(6, given=everything, rng=rng()).flatten(1), everything)
    assert torch.equal(everything, before)
    nothing = model.sample(6, CAPTION, given=first[:, :0], rng=rng())
    assert torch.equal(nothing, model.sample(6, CAPTION, rng=rng()))
    again = model.sample(6, CAPTION, given=nothing.flatten(1)[:, :5], rng=rng())
    assert torch.equal(again, nothing), "the draws of a code do not depend on how many were given"


@pytest.mark.parametrize("guidance", [1, 3.0])
def test_a_canvas_as_large_as_the_window_is_the_ordinary_grid(guidance):
    model = prior(5, (3, 4))
    wide = model.sample_wide(CAPTION, 3, 4, n=5, guidance=guidance, temperature=0.8, rng=rng())
    assert torch.equal(wide, model.sample(5, CAPTION, guidance=guidance, temperature=0.8, rng=rng()))


def test_a_code_of_a_canvas_is_predicted_from_its_window_alone():
    model, canvas = prior(4, (2, 3)), (3, 6)
    sliding = Sliding(model, canvas)
    sees = dependence(told(sliding), canvas, 4) > 0
    for i, j in itertools.product(range(3), range(6)):
        top, left = min(max(i - 1, 0), 1), min(max(j - 1, 0), 3)
        window = torch.zeros(canvas, dtype=torch.bool)
        window[top : top + 2, left : left + 3] = True
        before = torch.arange(18).view(canvas) < i * 6 + j
        assert torch.equal(sees[i * 6 + j].view(canvas), window & before), (i, j)
    drawn = model.sample_wide(CAPTION, 3, 6, n=4, rng=rng())
    assert drawn.shape == (4, 3, 6)
    assert len(drawn.unique()) == 4


def test_a_wide_canvas_is_drawn_as_it_is_scored():
    model = prior(5, (2, 3))
    sliding = Sliding(model, (3, 5))
    y = CAPTION.expand(4, -1)
    assert torch.equal(sliding.sample(4, y, rng=rng()), sliding.sample_naive(4, y, rng=rng()))


def test_it_learns_what_a_word_means():
    torch.manual_seed(0)
    words = torch.randint(1, 4, (400, 1))
    codes = (words - 1)[:, :, None].expand(400, 2, 2)  # word k is a grid of code k - 1
    data = torch.utils.data.TensorDataset(codes, words.where(torch.rand(400, 1) < 0.8, 0))
    model = CodeTransformer(3, (2, 2), 3, 1, width=16, layers=1, heads=1)
    fit(model, data, steps=80, batch_size=32, lr=1e-2, ema=0.9, validation=data)
    with_words, without = torch.utils.data.TensorDataset(codes, words), torch.utils.data.TensorDataset(codes, words * 0)
    assert evaluate(model, with_words).nats < 0.3
    assert evaluate(model, without).nats == pytest.approx(math.log(3), abs=0.2)
    drawn = model.sample(30, words[:30], guidance=2.0, rng=rng())
    assert (drawn == codes[:30]).float().mean() > 0.95


def test_it_is_built_without_numbers_and_asks_for_none():
    with torch.device("meta"):
        model = CodeTransformer(7, (4, 4), WORDS, LENGTH)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    caption = torch.zeros(2, 3, dtype=torch.long, device="meta")
    x = torch.zeros(2, 4, 4, dtype=torch.long, device="meta")
    model.log_prob(x, caption).sum().backward()
    given = x.flatten(1)[:, :3]
    assert model.sample(2, caption, guidance=2.0, given=given, rng=rng()).is_meta
    assert model.sample_wide(caption, 4, 6, n=2, guidance=2.0, rng=rng()).shape == (2, 4, 6)


def test_the_config_makes_the_same_model_again():
    model = prior(3, tokenizer="vqgan-colored_glyphs")
    again = CodeTransformer(**model.config)
    again.load_state_dict(model.state_dict())
    assert again.tokenizer == "vqgan-colored_glyphs"
    x = every(3, (2, 2))
    assert torch.equal(again.double().log_prob(x), model.log_prob(x))


class Book:
    n_codes, grid = 8, (2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: m.log_prob(x + 1), ValueError, r"codes 0\.\.2, got 2\.\.3, outside of the book; use"),
        (lambda m, x: m.log_prob(x.float()), TypeError, "got a tensor of torch.float32; use what the tokenizer's enc"),
        (lambda m, x: m.log_prob(x[:, :1]), ValueError, r"of codes 0\.\.2, got shape \(2, 1, 2\)"),
        (lambda m, x: m.log_prob(x, CAPTION), ValueError, r"got shape \(3,\); give one caption for each grid"),
        (lambda m, x: m.log_prob(x, CAPTION.expand(3, -1)), ValueError, r"captions: a LongTensor \(2, 0 to 4\)"),
        (lambda m, x: m.log_prob(x, torch.zeros(2, 5).long()), ValueError, r"got shape \(2, 5\)"),
        (lambda m, x: m.log_prob(x, torch.tensor([[6], [1]])), ValueError, r"tokens 1\.\.6; it knows no such word"),
        (lambda m, x: m.sample(2, torch.tensor([-1])), ValueError, r"got tokens -1\.\.-1"),
        (lambda m, x: m.sample(2, torch.tensor([0, 1])), ValueError, "a zero before a word; move the words"),
        (lambda m, x: m.sample(2, "a red 7"), TypeError, r"got a str; use encode\(text\)"),
        (lambda m, x: m.sample(0), ValueError, "expected n >= 1"),
        (lambda m, x: m.sample(2, guidance=-1), ValueError, "guidance=-1 is out of range"),
        (lambda m, x: m.sample(2, guidance=math.nan), ValueError, "guidance=nan is out of range"),
        (lambda m, x: m.sample(2, guidance=math.inf), ValueError, "guidance=inf is out of range"),
        (lambda m, x: m.sample(2, given=torch.zeros(5).long()), ValueError, r"m <= 4 codes, got shape \(5,\)"),
        (lambda m, x: m.sample(2, given=torch.zeros(3, 1).long()), ValueError, r"got shape \(3, 1\)"),
        (lambda m, x: m.sample(2, given=torch.tensor([3])), ValueError, "outside of the book"),
        (lambda m, x: m.sample(2, given=torch.zeros(2)), TypeError, r"use given.long\(\)"),
        (lambda m, x: m.sample_wide(None, 1, 4), ValueError, r"at least \(2, 2\), the window, got \(1, 4\)"),
        (lambda m, x: m.sample_wide(None, 2, 2.5), ValueError, "width=2.5 is out of range"),
        (lambda m, x: m.check_book(Book), ValueError, r"a tokenizer of 3 codes on a grid \(2, 2\), got 8 on \(2, 2\)"),
        (lambda m, x: Guided(torch.nn.Linear(1, 1), 2), ValueError, "a model that reads captions, got a Linear"),
        (lambda m, x: Sliding(small_model(MODELS[0], (1, 2, 2), 2), (3, 3)), ValueError, r"of examples \(1, 2, 2\)"),
        (lambda m, x: prior(grid=(2,)), ValueError, r"a grid \(H', W'\) of codes, got \(2,\)"),
        (lambda m, x: prior(width=9), ValueError, "divisible by the number of heads"),
        (lambda m, x: prior(layers=0), ValueError, "layers=0 is out of range"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call(prior(), torch.zeros(2, 2, 2, dtype=torch.long) + torch.tensor([1, 2]))
    assert "\n" not in str(caught.value)
