"""Muon for the hidden matrices, AdamW for the rest: which weights are whose, one clipping, and runs that go on."""

import math
import re

import pytest
import torch
from small_models import TokenConv
from torch import nn

from garm_course.autoregressive.sequences import SequenceModel
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.likelihood import fit
from garm_course.training.optimizers import Together, hidden_matrices, optimizers

X = torch.randint(5, (40, 12), generator=torch.Generator().manual_seed(0)).cumsum(1) % 5
SETTINGS = {"steps": 11, "batch_size": 8, "lr": 4e-3, "muon": 0.02, "evaluate_every": 3}

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


class Causal(SequenceModel):
    """A model with one block: what is hidden in it are two matrices."""

    def __init__(self, width=12):
        super().__init__((12,), 5)
        self.embed = nn.Embedding(6, width)
        self.block = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(2 * width, width))
        self.gain = nn.Parameter(torch.ones(width))
        self.head_out = nn.Linear(width, 5)

    def forward(self, x, y=None):
        h = self.embed(self.shifted(x)).cumsum(1)
        return self.head_out(self.gain * (h + self.block(h)))


def build(seed=0):
    torch.manual_seed(seed)
    return Causal()


def train(model, **options):
    return fit(model, X, validation=X[:8], **{**SETTINGS, **options})


def equal(a, b):
    return all(torch.equal(one, other) for one, other in zip(a.parameters(), b.parameters(), strict=True))


def test_hidden_are_the_matrices_of_blocks_and_nothing_else():
    model = build()
    assert [id(weight) for weight in hidden_matrices(model)] == [id(model.block[0].weight), id(model.block[3].weight)]
    model.block[3].weight = nn.Parameter(model.block[0].weight.mT.clone())
    model.again = nn.Sequential(model.block[0])
    assert len(hidden_matrices(model)) == 2, "a layer that is used twice is trained once"


@needs_muon
def test_every_weight_belongs_to_one_optimizer():
    model = build()
    parts = optimizers(model, lr=1e-3, weight_decay=0.1, muon=0.02)
    assert [type(part).__name__ for part in parts.values()] == ["Muon", "AdamW"]
    trained = [id(weight) for group in Together(*parts.values()).param_groups for weight in group["params"]]
    assert sorted(trained) == sorted(map(id, model.parameters()))
    assert [(part.defaults["lr"], part.defaults["weight_decay"]) for part in parts.values()] == [
        (0.02, 0.1),
        (1e-3, 0.1),
    ]


@needs_muon
@pytest.mark.parametrize("rate", [0.05, 0.002])
def test_each_optimizer_has_its_own_rate(rate):
    """Muon's step has singular values of about the rate and none above, Adam's first one at most `lr` everywhere."""
    model, before = build(), build()
    train(model, steps=1, muon=rate, ema=0)
    for layer, old in zip(model.block[::3], before.block[::3], strict=True):
        step = (layer.weight - old.weight).detach() / math.sqrt(max(1, len(old.weight) / old.weight.shape[1]))
        largest, *_ = torch.linalg.svdvals(step)
        assert 0.5 * rate < largest < 1.3 * rate
    assert (model.head_out.weight - before.head_out.weight).abs().max() <= 4e-3 * 1.001


@needs_muon
def test_one_norm_clips_the_gradients_of_both(monkeypatch):
    seen = []
    clip_ = nn.utils.clip_grad_norm_

    def clip(weights, most):
        seen.append(len(weights))
        return clip_(weights, most)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clip)
    model = build()
    train(model, steps=2)
    assert seen == [len(list(model.parameters()))] * 2


@needs_muon
@pytest.mark.parametrize("stop", [1, 4, 8])
def test_a_run_that_goes_on_ends_bit_for_bit_as_one_that_never_stopped(tmp_path, stop):
    whole, model = build(), build()
    expected = train(whole)
    calls = []

    def loss(model, x, y):
        calls.append(0)
        if len(calls) == stop + 1:
            raise KeyboardInterrupt
        return -model.log_prob(x).mean()

    where = Checkpoints(tmp_path, 1)
    assert train(model, loss=loss, checkpoints=where).stopped == f"interrupted at step {stop}"
    again = build(seed=7)
    history = train(again, checkpoints=where, resume=True)
    assert equal(again, whole)
    assert (history.train, history.validation) == (expected.train, expected.validation)


@needs_muon
def test_a_checkpoint_of_another_optimizer_or_rate_is_refused(tmp_path):
    where = Checkpoints(tmp_path)
    train(build(), checkpoints=where, muon=None)
    with pytest.raises(ValueError, match=r"other settings \(muon None, now 0\.02\)"):
        train(build(), checkpoints=where, resume=True)


def test_an_older_torch_trains_all_with_adamw_and_says_so_once(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    plain, fallen = build(), build()
    train(plain, muon=None)
    with pytest.warns(UserWarning, match=r"has no Muon, which came with 2\.9: AdamW trains all") as caught:
        train(fallen)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert equal(plain, fallen)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"for muon=0\.02, got a TokenConv without; leave muon out"):
        fit(TokenConv((12,), 5), X, **{**SETTINGS, "evaluate_every": 1})
    for muon in (0, -1.0, math.nan, "much"):
        with pytest.raises(ValueError, match=re.escape(f"muon={muon} is out of range: expected a number above 0")):
            train(build(), muon=muon)
