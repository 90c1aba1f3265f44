"""The numbered equations of lesson 17, VQGAN and a transformer, checked numerically."""

import itertools
import math

import pytest
import torch

from garm_course.adversarial.vqgan import adaptive_weight
from garm_course.autoregressive.code_prior import CodeTransformer
from garm_course.autoregressive.guidance import Guided
from garm_course.autoregressive.sliding import Sliding
from garm_course.lessons.lesson17.guided_sample import guided_sample
from garm_course.lessons.lesson17.prior_nll import prior_nll


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def every(n_codes, length):
    return torch.tensor(list(itertools.product(range(n_codes), repeat=length)))


def prior(n_codes, grid):
    """A small prior far from uniform, with captions of up to 3 words out of 4."""
    torch.manual_seed(1)
    model = CodeTransformer(n_codes, grid, 4, 3, width=8, heads=2, layers=1).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.6)
    return model


@pytest.mark.equation("17.1")
def test_the_weighted_gradients_have_equal_norms_at_the_last_layer_whatever_the_critics_scale():
    x = torch.randn(6, 4, generator=rng(), dtype=torch.float64)
    weight = torch.randn(3, 4, generator=rng(1), dtype=torch.float64).requires_grad_()
    out = (x @ weight.T).tanh()
    rec = (out - 0.5).square().mean()
    norms = []
    for scale in (1.0, 7.0):
        gan = -scale * out.sin().mean()
        weighted = adaptive_weight(rec, gan, weight, 1e-9) * gan
        norms.append(torch.autograd.grad(weighted, weight, retain_graph=True)[0].norm())
    norms.append(torch.autograd.grad(rec, weight, retain_graph=True)[0].norm())
    torch.testing.assert_close(torch.stack(norms[:2]), norms[2].expand(2), rtol=1e-6, atol=0)
    flat = adaptive_weight(100 * rec, 0 * out.sum(), weight)
    assert flat == 1e4, "a flat critic: the clamp"


@pytest.mark.equation("17.2")
def test_the_codes_given_a_caption_sum_to_one_and_the_caption_is_not_scored():
    model, codes = prior(3, (2, 2)), every(3, 4).view(-1, 2, 2)
    for caption in ([1, 4, 2], [3, 0, 0], [0, 0, 0]):
        words = torch.tensor(caption).expand(81, -1)
        log_p = model.log_prob(codes, words)
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
        logits = torch.nn.functional.pad(model(codes, words).flatten(1, 2), (0, 0, 3, 1))  # words, beginning, codes
        tokens = torch.cat([words.clamp(max=2), torch.zeros(81, 1).long(), codes.flatten(1)], 1)
        torch.testing.assert_close(prior_nll(logits, tokens, 4), -log_p)


@pytest.mark.equation("17.3")
def test_pairs_of_positions_grow_with_the_square_of_their_number():
    values, codes = 256 * 256 * 3, 16 * 16
    assert (values, codes) == (196_608, 256)
    assert (values // codes) ** 2 == 768**2 == 589_824
    attention = lambda n, width: 2 * 2 * n * n * width  # noqa: E731  scores and means, multiply and add
    assert attention(values, 64) == 589_824 * attention(codes, 64)


@pytest.mark.equation("17.4")
def test_guidance_moves_from_no_caption_to_the_caption_and_beyond():
    u, c = torch.randn(2, 5, 7, generator=rng(), dtype=torch.float64)
    p_u, p_c = u.softmax(-1), c.softmax(-1)
    for w in (0.0, 1.0, 2.5, 8.0):
        tilted = p_u * (p_c / p_u) ** w
        torch.testing.assert_close((u + w * (c - u)).softmax(-1), tilted / tilted.sum(-1, keepdim=True))
    model, codes = prior(3, (2, 2)), every(3, 4).view(-1, 2, 2)
    words = torch.tensor([1, 4, 2]).expand(81, -1)
    torch.testing.assert_close(Guided(model, 0.0).log_prob(codes, words), model.log_prob(codes))
    torch.testing.assert_close(Guided(model, 1.0).log_prob(codes, words), model.log_prob(codes, words))


@pytest.mark.equation("17.5")
def test_a_coarser_tokenizer_costs_fewer_nats_and_says_less():
    p = torch.rand(27, generator=rng(), dtype=torch.float64)  # three codes of three letters
    p = p / p.sum()
    entropy = lambda p: -(p[p > 0] * p[p > 0].log()).sum().item()  # noqa: E731
    codes, found = every(3, 3), [entropy(p)]
    assert found[0] <= 3 * math.log(3)
    for merge in ([0, 1, 1], [0, 0, 0]):  # f: two letters become one, then all three
        coarse = torch.zeros(27, dtype=torch.float64)
        merged = torch.tensor(merge)[codes] @ torch.tensor([9, 3, 1])
        found.append(entropy(coarse.index_add(0, merged, p)))
    assert found[0] > found[1] > 0.1, "fewer letters, fewer nats"
    assert found[2] == pytest.approx(0, abs=1e-12), "one letter: no nats, and no image"
    q = torch.rand(27, generator=rng(1), dtype=torch.float64)
    q = q / q.sum()
    assert -(p * q.log()).sum() > found[0], "the score of any prior is above the entropy of the codes"


def by_steps(prior_of, given, w):
    """p(s) of two binary codes, each drawn from guided logits."""
    p = {}
    for s in itertools.product((0, 1), repeat=2):
        p[s] = 1.0
        for i in (0, 1):
            u, c = (torch.tensor([f((*s[:i], k)) for k in (0, 1)]).double().log() for f in (prior_of, given))
            p[s] *= (u + w * (c - u)).softmax(-1)[s[i]].item()
    return p


@pytest.mark.equation("17.6")
def test_guided_steps_do_not_make_the_guided_joint():
    fits = {(0, 0): 0.9, (0, 1): 0.1, (1, 0): 0.5, (1, 1): 0.5}  # p(c | s); p(s) = 1/4
    joint_of = {s: 0.25 * f for s, f in fits.items()}
    marginal = lambda table, start: sum(v for s, v in table.items() if s[: len(start)] == start)  # noqa: E731
    for w, tv in ((1.0, 0.0), (3.0, 0.245)):
        steps = by_steps(lambda start: 0.5 ** len(start), lambda start: marginal(joint_of, start), w)
        tilted = {s: 0.25 * f**w for s, f in fits.items()}
        joint = {s: v / sum(tilted.values()) for s, v in tilted.items()}
        assert sum(abs(steps[s] - joint[s]) for s in fits) / 2 == pytest.approx(tv, abs=5e-4)
    assert [round(joint[s], 3) for s in fits] == [0.744, 0.001, 0.128, 0.128]
    assert [round(steps[s], 3) for s in fits] == [0.499, 0.001, 0.25, 0.25]
    assert marginal(steps, (0,)) == pytest.approx(0.5), "the first code is not guided: half of each row fits"


@pytest.mark.equation("17.6")
def test_the_sampler_of_the_exercise_draws_from_the_product_of_guided_steps():
    table = {(): [0.5, 0.5], (0,): [0.9, 0.1], (1,): [0.5, 0.5]}  # p(next | codes, c) of the example above

    def logits_fn(caption, codes):
        told = torch.tensor([table[tuple(row)] for row in codes.tolist()], dtype=torch.float64).log()
        return torch.where(caption > 0, told, torch.zeros(2, dtype=torch.float64))

    n = 4000
    words, u = torch.ones(n, 1).long(), torch.rand(n, 2, generator=rng(), dtype=torch.float64)
    drawn = guided_sample(logits_fn, words, 0 * words, u, 3.0, 1.0, words[:, :0])
    share = (drawn == 0).all(1).double().mean().item()
    assert abs(share - 0.499) < 4 * math.sqrt(0.25 / n)


@pytest.mark.equation("17.7")
def test_the_window_holds_the_place_and_stays_on_the_canvas():
    model = prior(3, (2, 4))
    wide = Sliding(model, (3, 9))
    canvas = torch.randint(3, (1, 3, 9), generator=rng())
    words = torch.tensor([[1, 4, 2]])
    params = wide(canvas, words)
    for i, j in itertools.product(range(3), range(9)):
        top, left = min(max(i - 1, 0), 3 - 2), min(max(j - 2, 0), 9 - 4)
        assert 0 <= top <= i < top + 2 <= 3
        assert 0 <= left <= j < left + 4 <= 9
        window = canvas[:, top : top + 2, left : left + 4]
        torch.testing.assert_close(params[:, i, j], model(window, words)[:, i - top, j - left])
    far = canvas.clone()
    far[:, :, :4] = 2 - far[:, :, :4]  # codes that no window of the last columns holds
    torch.testing.assert_close(wide(far, words)[:, :, 7:], params[:, :, 7:])
