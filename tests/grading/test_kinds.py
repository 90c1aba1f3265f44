"""Scores of models without conditionals: bounds that hold whatever the player does, and samples that are judged."""

import math

import numpy as np
import pytest
import torch

from garm_course import load, load_pretrained
from garm_course.grading import challenge as referee
from garm_course.grading.board import read_board, standings, submit
from garm_course.grading.challenge import CLOSED, PLAYER, Questions, challenge, example_player
from garm_course.grading.kinds import MOST_LATENTS, blind_bounds, judge
from garm_course.grading.sandbox import Foul, Sandbox

D, LEVELS = 3, 2
IMAGES = torch.cartesian_prod(*[torch.arange(LEVELS)] * D)  # all 8


def rng(seed=0):
    return np.random.default_rng(seed)


def decoder(z):
    """Logits that depend on one latent."""
    slope = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    return torch.stack([torch.zeros(len(z), D, dtype=torch.float64), z * slope + 0.3], 2)


def encoder(x):
    """A proposal that is good, but not the posterior."""
    mean = 0.5 * (2 * x.double() - 1) @ torch.tensor([[1.0], [-0.5], [0.2]], dtype=torch.float64)
    return torch.cat([mean, torch.full_like(mean, -1.5)], 1)


def exactly():
    """log p(x) of all images by a sum over a grid of latents."""
    z = torch.linspace(-9, 9, 6001, dtype=torch.float64)[:, None]
    prior = (-z[:, 0].square() / 2).exp() / math.sqrt(2 * math.pi) * (z[1, 0] - z[0, 0])
    log_p = decoder(z).log_softmax(2)
    return torch.stack([(log_p[:, torch.arange(D), x].sum(1).exp() * prior).sum().log() for x in IMAGES])


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_a_bound_is_below_the_truth_and_comes_near_with_more_draws():
    truth = exactly()
    few, many = (
        torch.stack([blind_bounds(encoder, decoder, IMAGES, LEVELS, rng(s), draws=k)[0] for s in range(150)]).mean(0)
        for k in (2, 60)
    )
    assert ((truth - few) > 0.02).all()
    assert ((truth - few) > (truth - many)).all()
    assert (truth - many).mean() > 0
    assert (truth - many).abs().max() < 0.06


def everywhere(x):
    """The same code for every image, much too narrow."""
    return torch.tensor([[0.4, -3.0]], dtype=torch.float64).expand(len(x), 2)


def sure(z):
    """A decoder that is sure of one image, whatever the latents are."""
    return 30 * torch.nn.functional.one_hot(torch.tensor([1, 0, 1]), 2).double().expand(len(z), D, LEVELS)


@pytest.mark.parametrize("code", [encoder, everywhere], ids=["good", "narrow"])
@pytest.mark.parametrize("answers", [decoder, sure, lambda z: decoder(z) + 1000], ids=["decoder", "sure", "scaled"])
def test_no_encoder_and_no_decoder_gains_mass(code, answers):
    mass = [blind_bounds(code, answers, IMAGES, LEVELS, rng(s), draws=30)[0].exp().sum().item() for s in range(60)]
    assert np.mean(mass) < 1 + 4 * np.std(mass) / math.sqrt(60) + 1e-9


class Remembers:
    """A decoder that counts its questions."""

    def __init__(self):
        self.asked = 0

    def __call__(self, z):
        self.asked += 1
        return decoder(z) + 0.01 * self.asked * torch.tensor([1.0, 0.0])


@pytest.mark.parametrize(
    ("code", "answers", "words"),
    [
        (lambda x: encoder(x) / 0, decoder, "of its encoder are not finite"),
        (lambda x: encoder(x) * torch.tensor([1.0, -1e4]), decoder, "variances of its encoder overflow"),
        (lambda x: encoder(x).repeat(1, MOST_LATENTS + 1), decoder, f"latents, more than {MOST_LATENTS}"),
        (encoder, lambda z: decoder(z) * math.nan, "logits of its decoder are not finite"),
        (encoder, Remembers(), "its decoder answers otherwise"),
        (encoder, lambda z: decoder(z - z.mean()), "an answer must depend on the latents alone"),
    ],
    ids=["nan", "overflow", "large", "nan logits", "remembers", "batch"],
)
def test_what_is_no_bound_is_told(code, answers, words):
    with pytest.raises(Foul, match=words):
        blind_bounds(code, answers, IMAGES, LEVELS, rng(), draws=100)


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    train, test = load("digits", "train").x[:400], load("digits", "test").x[:90]
    return train, test, load_pretrained("classifier-digits")


def others(n, seed):
    """Held-out digits, as a perfect model would draw them."""
    x = torch.cat([load("digits", "validation").x, load("digits", "test").x[90:]])
    return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:n]]


def test_real_digits_are_near_and_noise_is_far(digits):
    real, noise = (
        judge(draw, *digits, rng())
        for draw in (others, lambda n, s: torch.randint(17, (n, 1, 8, 8), generator=torch.Generator().manual_seed(s)))
    )
    assert max(real.distances) < min(noise.distances) / 3
    assert real.coverage > 0.5 > 0.3 > noise.coverage
    assert 0.35 < real.copying < 0.6


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda n, s: load("digits", "train").x[:1].expand(n, -1, -1, -1), "samples are all equal"),
        (lambda n, s: others(n, 0), "the same for every seed"),
        (lambda n, s: load("digits", "train").x[torch.arange(n) + s % 100], "they are copies"),
        (lambda n, s: (load("digits", "train").x[torch.arange(n) + s % 90] + 1).clamp(max=16), "they are copies"),
    ],
    ids=["equal", "seedless", "copies", "brighter copies"],
)
def test_samples_that_are_none_are_told(digits, draw, words):
    with pytest.raises(Foul, match=words):
        judge(draw, *digits, rng())


# --- in the sandbox --------------------------------------------------------------------------------------------------

PLAIN = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self, shape, levels):
        super().__init__()
        self.shape, self.levels, self.d = shape, levels, shape[0] * shape[1] * shape[2]
        self.bias = nn.Parameter(torch.linspace(0, 1, levels).repeat(self.d, 1))
    def fit(self, x, y, seconds, seed): pass
    def encode(self, x): {encode}
    def decode(self, z): {decode}
    def sample(self, n, seed): {sample}
"""
ENCODE, DECODE = "return 0 * x[:, :2].float(), 0 * x[:, :2].float()", "return self.bias.expand(len(z), -1, -1)"
SAMPLE = "return torch.randint(self.levels, (n, *self.shape), generator=torch.Generator().manual_seed(seed))"


def player(encode=ENCODE, decode=DECODE, sample=SAMPLE):
    return PLAIN.format(encode=encode, decode=decode, sample=sample)


@pytest.fixture(scope="module")
def child():
    with Sandbox(PLAYER, {"hidden": referee._hidden(), "modules": CLOSED}, memory=2 << 30) as sandbox:
        yield sandbox


def asked(child, word, source):
    values = {"source": source, "y": [0, 1], "shape": [1, 2, 2], "levels": 3, "seconds": 20, "seed": 0}
    child.ask("train", values, bytes(8), seconds=20)
    questions = Questions(child, 20)
    return {
        "encode": lambda: questions.code(torch.zeros(2, 4, dtype=torch.long)),
        "decode": lambda: questions.decoded(torch.zeros(5, 2, dtype=torch.float64), 4, 3),
        "sample": lambda: questions.samples(6, 1, (1, 2, 2), 3),
    }[word]()


def test_answers_come_back_as_they_were_given(child):
    assert asked(child, "encode", player()).shape == (2, 4)
    assert torch.allclose(asked(child, "decode", player())[3, 2], torch.tensor([0.0, 0.5, 1.0]).double())
    drawn = asked(child, "sample", player())
    assert torch.equal(drawn, torch.randint(3, (6, 1, 2, 2), generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ("word", "source", "words"),
    [
        ("encode", player(encode="return x[:, :2].float()"), "expected a mean and a log-variance of shape"),
        ("encode", player(encode="return x[:, :2], x[:, :2]"), "in a floating type"),
        ("encode", player(encode="return x[:, :0].float(), x[:, :0].float()"), "gave no latents"),
        ("decode", player(decode="return self.bias"), r"logits of the decoder of shape (5, 4, 3)"),
        ("sample", player(sample="return torch.zeros(n, *self.shape)"), "in whole numbers, got (6, 1, 2, 2)"),
        ("sample", player(sample="return torch.full((n, *self.shape), 3)"), "expected levels 0 to 2, got 3 to 3"),
        ("sample", player(sample="return torch.full((n, *self.shape), -1)"), "got -1 to -1"),
        ("sample", player(sample="return torch.zeros(n, 4, dtype=torch.long)"), "expected samples of shape"),
    ],
)
def test_answers_that_do_not_fit_are_told(child, word, source, words):
    with pytest.raises(Foul) as refused:
        asked(child, word, source)
    assert words in str(refused.value)


@pytest.mark.slow
def test_a_decoder_cannot_know_what_the_encoder_saw(tmp_path):
    honest, cheat = tmp_path / "honest.py", tmp_path / "cheat.py"
    honest.write_text(player())
    keeps = "self.kept = x; open('kept', 'w').write('x'); " + ENCODE
    looks = (
        "import os; kept = getattr(self, 'kept', None); assert not os.path.exists('kept'); "
        "return self.bias.expand(len(z), -1, -1) if kept is None else 1 / 0"
    )
    cheat.write_text(player(encode=keeps, decode=looks))
    one, two = (challenge(file, kind="bound", seconds=10, seed=7, n_test=8) for file in (honest, cheat))
    assert one.scores == pytest.approx(two.scores)
    assert one.kind == "bound"
    assert str(one.likelihood).startswith("≤ ")


@pytest.mark.slow
def test_the_example_plays_for_a_bound_and_for_samples(tmp_path):
    file, board = tmp_path / "vae.py", tmp_path / "board.jsonl"
    file.write_text(example_player("bound"))
    bound = challenge(file, kind="bound", seconds=2, seed=7, n_test=30)
    assert bound.likelihood.nats < 64 * math.log(17) - 40
    assert bound.repeat < 1e-3
    samples = challenge(file, kind="samples", seconds=2, seed=7, n_test=60)
    assert len(samples.scores) == 5
    assert samples.coverage > 0.1
    submit(board, "ada", samples)
    assert read_board(board)[0]["kind"] == "samples"
    with pytest.raises(ValueError, match="a board of digits and samples, not of digits and bound"):
        submit(board, "bob", bound)
    again = samples._replace(scores=[score + 0.01 for score in samples.scores])
    submit(board, "bob", again)
    assert [row.place for row in standings(read_board(board))] == [1, 1], "no pairs: sets are not images"


def test_kinds_are_known(tmp_path):
    with pytest.raises(ValueError, match="expected a kind of exact, bound, samples, got 'elbo'"):
        challenge(tmp_path / "none.py", kind="elbo")
