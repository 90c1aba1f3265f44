"""A masked model of codes: it sees from both sides what is not hidden, and draws in as few passes as one likes."""

import itertools
import math

import pytest
import torch

from garm_course.autoregressive.masked_codes import MaskedCodeModel, masked_loss, still_hidden
from garm_course.evaluation.audits import dependence
from garm_course.training.likelihood import fit

CAPTION = torch.tensor([2, 5, 1])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def masked(n_codes=4, grid=(3, 2), **options):
    torch.manual_seed(1)
    model = MaskedCodeModel(n_codes, grid, 5, 4, **{"width": 8, "heads": 2, "layers": 2, **options})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.6)
    return model.double().eval()


def test_a_code_is_guessed_from_all_that_are_seen_and_from_no_other():
    model = masked()
    hidden = torch.zeros(1, 3, 2, dtype=torch.bool)
    hidden[0, 1, 0] = hidden[0, 2, 1] = True
    sees = dependence(lambda x: model(x, None, hidden.expand(len(x), -1, -1)), (3, 2), 4) > 0
    assert torch.equal(sees, (~hidden).view(1, 6).expand(6, -1))


def test_padding_of_a_caption_changes_nothing_and_words_do():
    model, x = masked(), torch.randint(4, (5, 3, 2), generator=rng())
    hidden = torch.rand(5, 3, 2, generator=rng()) < 0.5
    logits = [model(x, y, hidden) for y in (None, torch.zeros(5, 4).long(), CAPTION.expand(5, -1))]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-12)
    assert (logits[0] - logits[2]).abs().max() > 0.01


def test_every_pass_shows_at_least_one_code_and_the_last_all():
    for d in (1, 2, 5, 16):
        for passes in range(1, d + 1):
            left = [d, *still_hidden(d, passes)]
            assert len(left) == passes + 1
            assert left[-1] == 0
            assert all(a > b for a, b in itertools.pairwise(left))
    assert still_hidden(16, 16) == list(range(15, -1, -1))
    assert still_hidden(100, 4) == [92, 70, 38, 0]  # 100 cos(pi / 8), 100 cos(pi / 4), 100 cos(3 pi / 8)


def test_one_pass_draws_each_code_by_itself():
    model = masked()
    drawn = model.sample(3000, CAPTION, passes=1, rng=rng())
    p = model(drawn[:1], CAPTION[None], torch.ones(1, 3, 2, dtype=torch.bool)).softmax(-1)[0]
    shares = torch.nn.functional.one_hot(drawn, 4).double().mean(0)
    assert ((shares - p).abs() < 4 * (p * (1 - p) / 3000).sqrt() + 1e-9).all()


def test_what_is_shown_stays_and_the_surest_guesses_are_shown_first():
    model, calls, forward = masked(), [], MaskedCodeModel.forward

    def spied(codes, caption, hidden):
        logits = forward(model, codes, caption, hidden)
        calls.append((codes.clone(), hidden.clone(), logits.log_softmax(-1)))
        return logits

    model.forward = spied
    drawn = model.sample(20, passes=4, hesitation=0, rng=rng())
    calls.append((drawn, torch.zeros_like(drawn, dtype=torch.bool), None))
    left = [6, *still_hidden(6, 4)]
    assert [set(hidden.flatten(1).sum(1).tolist()) for _, hidden, _ in calls] == [{n} for n in left]
    for (codes, hidden, log_probs), (later, still, _) in itertools.pairwise(calls):
        assert not (still & ~hidden).any(), "nothing is hidden again"
        assert torch.equal(codes[~hidden], later[~hidden])
        sure = log_probs.gather(-1, later.unsqueeze(-1)).squeeze(-1)  # of what was drawn, shown or not
        shown = sure.masked_fill(still | ~hidden, math.inf).flatten(1).amin(1)
        rest = sure.masked_fill(~still, -math.inf).flatten(1).amax(1)
        assert (shown >= rest).all()


@pytest.mark.parametrize("passes", [1, 2, 6])
def test_draws_are_codes_and_only_the_generator_decides(passes):
    model = masked()
    for options in ({}, {"guidance": 3.0}, {"temperature": 0}, {"hesitation": 0}):
        a, b = (model.sample(4, CAPTION, passes=passes, rng=rng(), **options) for _ in range(2))
        assert torch.equal(a, b)
        assert a.shape == (4, 3, 2)
        assert 0 <= a.min() <= a.max() <= 3
        few = model.sample(2, CAPTION, passes=passes, rng=rng(), **options)
        assert torch.equal(a[:2], few)
    assert torch.equal(model.sample(4, CAPTION, guidance=0, rng=rng()), model.sample(4, rng=rng()))


def test_more_passes_keep_together_what_belongs_together():
    torch.manual_seed(0)
    words = torch.randint(1, 3, (300, 1))
    tint = torch.randint(2, (300, 1, 1))
    codes = (2 * (words[:, :, None] - 1) + tint).expand(300, 2, 2)  # what the word leaves open, all codes share
    model = MaskedCodeModel(4, (2, 2), 2, 1, width=16, layers=2, heads=1)
    assert masked_loss(model, codes, words).item() == pytest.approx(4 * math.log(4))
    data = torch.utils.data.TensorDataset(codes, words)
    fit(model, data, loss=masked_loss, steps=150, batch_size=32, lr=2e-2, ema=0.9)
    for passes, least, most in ((1, 0.0, 0.3), (4, 0.8, 1.0)):
        drawn = model.sample(200, words[:200], passes=passes, rng=rng())
        assert ((drawn >= 2) == (words[:200, :, None] == 2)).float().mean() > 0.95, "the word is obeyed either way"
        same = (drawn == drawn[:, :1, :1]).flatten(1).all(1).float().mean()
        assert least <= same <= most


def test_the_loss_counts_hidden_codes_alone_as_many_as_the_schedule_hides():
    model = masked().float()
    x = torch.randint(4, (4000, 3, 2), generator=rng())
    seen = []
    forward = MaskedCodeModel.forward
    model.forward = lambda codes, caption, hidden: (seen.append(hidden), forward(model, codes, caption, hidden))[1]
    torch.manual_seed(0)
    loss = masked_loss(model, x, torch.zeros(4000, 1).long())
    (hidden,) = seen
    counts = hidden.flatten(1).sum(1)
    assert counts.min() == 1
    assert counts.max() == 6
    u = torch.linspace(0, 1, 100_001).double()
    expected = (6 * torch.cos(math.pi / 2 * u)).ceil().clamp(min=1).mean()
    assert counts.double().mean().item() == pytest.approx(expected.item(), abs=4 * 1.7 / 4000**0.5)
    nats = -forward(model, x, None, hidden).log_softmax(-1).gather(-1, x.unsqueeze(-1)).squeeze(-1)
    assert loss.item() == pytest.approx(6 * nats[hidden].mean().item(), rel=1e-5)


def test_it_runs_without_numbers():
    with torch.device("meta"):
        model = MaskedCodeModel(7, (4, 4), 5, 4)
    x, y = (torch.zeros(2, *size, dtype=torch.long, device="meta") for size in ((4, 4), (3,)))
    masked_loss(model, x, y).backward()
    assert model.sample(2, y, guidance=2.0, rng=rng()).is_meta


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.sample(2, passes=7), "at most 6 passes, one for each code, got 7"),
        (lambda m: m.sample(2, passes=0), "passes=0 is out of range"),
        (lambda m: m.sample(2, guidance=math.inf), "guidance=inf is out of range"),
        (lambda m: m.sample(2, hesitation=-1), "hesitation=-1 is out of range"),
        (lambda m: m.sample(2, temperature=-1), "a temperature >= 0, got -1"),
        (lambda m: m.sample(2, torch.tensor([9])), "it knows no such word"),
        (lambda m: m(torch.full((1, 3, 2), 4)), "outside of the book"),
        (lambda m: masked(n_codes=1), "n_codes=1 is out of range"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(masked())
    assert "\n" not in str(caught.value)
