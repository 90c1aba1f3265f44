"""Adversarial runs in two processes have the losses of one, and bf16 stays near single precision."""

import pytest
import torch
from launching import one_and_two

from garm_course import datasets
from garm_course.adversarial.game import Game
from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.adversarial.vaegan import MLPVAEGAN, VAEGANGame
from garm_course.training.games import fit_game

DIGITS = datasets.load("digits", "train")

SCRIPT = """
import json, sys
import torch
from garm_course import datasets
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame
from garm_course.adversarial.gan import GANGame, MLPGAN
from garm_course.adversarial.vaegan import MLPVAEGAN, VAEGANGame
from garm_course.training.games import fit_game
from garm_course.training.checkpoints import Checkpoints

torch.set_num_threads(1)
digits = datasets.load("digits", "train")
how = {"steps": 6, "batch_size": 20, "watch_every": 2, "ema": 0.9}
found = {}

def build(make):
    torch.manual_seed(0)
    return make()

def keep(name, model, history):
    total = sum(p.double().abs().sum().item() for p in model.parameters())
    found[name] = {"terms": history.terms, "watched": history.watched, "weights": total}

def watch(step, gan):
    return gan.sample(4, torch.arange(4)).float().mean()  # draws from the global generator

gan = build(lambda: MLPGAN((1, 8, 8), 17, 10, latents=6, hidden=(12,)))
keep("gan", gan, fit_game(GANGame(gan, critic_steps=2, r1=0.1, penalty=1.0), digits, watch=watch,
                          checkpoints=Checkpoints(sys.argv[1] + "/checkpoints", 3), **how))
model = build(lambda: MLPVAEGAN((1, 8, 8), 17, latents=4))
keep("vaegan", model, fit_game(VAEGANGame(model, r1=0.1), digits, **how))
model = build(lambda: CycleGAN((1, 8, 8), (1, 8, 8), 17, 17, dense=(16,), critic_width=4))
keep("cyclegan", model, fit_game(CycleGANGame(model, pool=0), (digits, datasets.load("digits", "validation")), **how))
"""


def test_two_processes_give_the_losses_of_one(tmp_path):
    one, first, second = one_and_two(SCRIPT, tmp_path)
    for folder in ("one", "two"):
        assert len(list((tmp_path / folder / "checkpoints").glob("step-*.safetensors"))) == 2
    for run in ("gan", "vaegan", "cyclegan"):
        for found in (first[run], second[run]):
            assert set(found["terms"]) == set(one[run]["terms"])
            for name, entries in one[run]["terms"].items():
                assert [v for _, v in found["terms"][name]] == pytest.approx(
                    [v for _, v in entries], abs=1e-5, rel=1e-5
                )
            assert found["weights"] == pytest.approx(one[run]["weights"], rel=1e-6)
        assert first[run]["weights"] == second[run]["weights"]
        assert first[run]["watched"] == second[run]["watched"]
    assert len(first["gan"]["watched"]) == 3


def gan():
    torch.manual_seed(0)
    return MLPGAN(DIGITS.shape, DIGITS.levels, latents=6, hidden=(12,))


def vaegan():
    torch.manual_seed(0)
    return MLPVAEGAN(DIGITS.shape, DIGITS.levels, latents=4)


@pytest.mark.parametrize(
    ("build", "fit"),
    [
        (gan, lambda model, **how: fit_game(GANGame(model, r1=0.1, penalty=1.0), DIGITS, **how)),
        (vaegan, lambda model, **how: fit_game(VAEGANGame(model, r1=0.1), DIGITS, **how)),
    ],
)
def test_bf16_changes_the_arithmetic_and_little_else(build, fit, monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    kinds = []

    def record(module, inputs, output):
        if output.is_floating_point():
            kinds.append(output.dtype)

    found = {}
    for precision in ("no", "bf16"):
        model = build()
        hooks = [layer.register_forward_hook(record) for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
        kinds.clear()
        found[precision] = fit(model, steps=4, watch_every=1, precision=precision).terms
        assert set(kinds) == {torch.bfloat16 if precision == "bf16" else torch.float32}
        assert all(weight.dtype == torch.float32 for weight in model.parameters())
        [hook.remove() for hook in hooks]
    for name, exact in found["no"].items():
        rounded = [value for _, value in found["bf16"][name]]
        assert rounded != [value for _, value in exact], name
        assert rounded == pytest.approx([value for _, value in exact], rel=0.05, abs=0.02), name


def test_in_bf16_a_step_sees_the_weights_of_the_one_before():
    """Autocast remembers weights in 16 bits: a second step of the critic must not be taken with the old ones."""

    class Twice(Game):
        def step(self, batch, draw, descend):
            for k in range(2):
                score = self.model(torch.ones(1, 2)).mean()
                assert score.item() == pytest.approx(sum(p.sum().item() for p in self.model.parameters()), rel=0.02), k
                descend(net=score)
            return {}

    net = torch.nn.Linear(2, 1)
    game = Twice(net, {"net": net}, averaged=net, levels=(17,), loss="hinge")
    fit_game(game, DIGITS, steps=3, lr=0.5, precision="bf16")


def test_another_precision_is_told():
    for precision in ("fp8", "fp16"):
        message = f'precision={precision} is out of range: expected precision "no" or "bf16"'
        with pytest.raises(ValueError, match=message):
            fit_game(GANGame(gan()), DIGITS, steps=1, precision=precision)
