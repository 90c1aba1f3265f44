"""Training: it learns, repeats itself bit for bit, keeps the best weights through every kind of end, and says why."""

import math

import pytest
import torch
from torch import nn

from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.evaluation.likelihood import evaluate, log_probs
from garm_course.training import likelihood as training
from garm_course.training.likelihood import fit, negative_log_likelihood
from garm_course.training.loop import NonFiniteLossError

BARS = datasets.load("bars_and_stripes")
FAST = {"steps": 12, "batch_size": 10, "evaluate_every": 4, "lr": 1e-2}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def build(seed=0, cls=GatedPixelCNN, data=BARS, n_classes=0, **options):
    torch.manual_seed(seed)
    return cls(data.shape, data.levels, n_classes, **{"channels": 8, "layers": 1, **options})


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def faulty(at, value=math.nan):
    """A loss that is replaced by `value` at step `at`."""
    calls = []

    def loss(model, x, y):
        calls.append(0)
        right = negative_log_likelihood(model, x, y)
        return right * value if len(calls) == at else right

    return loss


def interrupting(at):
    calls = []

    def loss(model, x, y):
        calls.append(0)
        if len(calls) == at:
            raise KeyboardInterrupt
        return negative_log_likelihood(model, x, y)

    return loss


@pytest.mark.slow
def test_bars_and_stripes_are_learned_almost_to_their_entropy():
    model = build(channels=16, layers=2)
    history = fit(model, BARS, validation=BARS, steps=250, batch_size=30, lr=1e-2, evaluate_every=50, ema=0.95)
    nats = evaluate(model, BARS).nats
    assert math.log(30) <= nats < math.log(30) + 0.1, f"{nats} nats after {history.seconds:.0f} s"
    assert history.validation[-1][1] == pytest.approx(nats, abs=1e-3)
    x = model.sample(200, rng=torch.Generator().manual_seed(0))
    known = (x[:, None] == BARS.x[None]).flatten(2).all(2).any(1)
    assert known.double().mean() > 0.9


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    def run(seed=3, disturb=0):
        model = build(dropout=0.3)
        torch.manual_seed(disturb)  # what happened to the global generator before does not matter
        history = fit(model, BARS, validation=BARS, seed=seed, **FAST)
        return weights(model), history.train, history.validation

    first = run()
    again = run(disturb=99)
    assert equal(first[0], again[0])
    assert first[1:] == again[1:]
    assert not equal(first[0], run(seed=4)[0])


def test_evaluating_more_often_does_not_change_the_training():
    def run(every):
        model = build(dropout=0.3)
        history = fit(model, BARS, validation=BARS, **{**FAST, "evaluate_every": every, "ema": 0})
        assert history.best_step == 12  # so both runs keep their last weights
        return weights(model)

    often, rarely = run(1), run(12)
    assert equal(often, rarely)


def test_the_history_tells_what_happened():
    history = fit(build(), BARS, validation=BARS, **{**FAST, "steps": 10})
    assert [step for step, _ in history.train] == [4, 8, 10]
    assert [step for step, _ in history.validation] == [4, 8, 10]
    assert history.steps == 10
    assert history.best_step == min(history.validation, key=lambda pair: pair[1])[0]
    assert history.seconds > 0
    assert history.stopped == "all steps done"
    assert history.train[-1][1] < history.train[0][1]


def test_training_losses_are_means_over_the_steps_between_entries():
    values = iter(range(1, 100))

    def loss(model, x, y):
        return 0 * negative_log_likelihood(model, x, y) + next(values)

    history = fit(build(), BARS, loss=loss, **{**FAST, "steps": 10})
    assert history.train == [(4, 2.5), (8, 6.5), (10, 9.5)]


def test_the_best_weights_on_the_validation_data_are_kept(monkeypatch):
    seen = []
    figures = iter([5.0, 3.0, 4.0, 3.5])

    def scripted(model, data):
        seen.append(weights(model))
        return evaluate(model, data).__class__(next(figures), 0.0, 1, 1)

    monkeypatch.setattr(training, "evaluate", scripted)
    model = build()
    history = fit(model, BARS, validation=BARS, **{**FAST, "steps": 16})
    assert history.best_step == 8
    assert equal(weights(model), seen[1])
    assert not equal(seen[1], seen[3])


def test_patience_ends_the_run_early(monkeypatch):
    figures = iter([5.0, 3.0, 4.0, 3.0, 2.0])  # a draw is no improvement

    def scripted(model, data):
        return evaluate(model, data).__class__(next(figures), 0.0, 1, 1)

    monkeypatch.setattr(training, "evaluate", scripted)
    history = fit(build(), BARS, validation=BARS, patience=2, **{**FAST, "steps": 100})
    assert (history.steps, history.best_step) == (16, 8)
    assert history.stopped == "no improvement in 2 evaluations"


def after_each_step(model, monkeypatch):
    """The weights after each step of the optimizer, filled while `fit` runs."""
    path, step = [], torch.optim.AdamW.step

    def watched(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        path.append(weights(model))
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    return path


def test_without_an_average_the_last_weights_are_kept(monkeypatch):
    model = build()
    path = after_each_step(model, monkeypatch)
    fit(model, BARS, ema=0, **FAST)
    assert len(path) == FAST["steps"]
    assert equal(weights(model), path[-1])
    assert not equal(path[-1], path[-2])


def test_the_average_follows_its_definition(monkeypatch):
    model = build().double()
    expected, path = weights(model), after_each_step(model, monkeypatch)
    fit(model, BARS, ema=0.3, **FAST)
    for step, current in enumerate(path, 1):
        decay = min(0.3, step / (step + 10))  # reached at step 5
        expected = {k: decay * v + (1 - decay) * current[k] for k, v in expected.items()}
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-12, rtol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_best_weights(value, monkeypatch):
    seen = []

    def watched(model, data):
        seen.append(weights(model))
        return evaluate(model, data)

    monkeypatch.setattr(training, "evaluate", watched)
    model = build()
    with pytest.raises(NonFiniteLossError, match=r"the loss became (nan|inf|-inf) at step 7; .*step 4.*learning rate"):
        fit(model, BARS, validation=BARS, loss=faulty(7, value), **FAST)
    assert equal(weights(model), seen[0])
    assert math.isfinite(evaluate(model, BARS).nats)


def test_a_loss_that_is_not_finite_before_any_evaluation_keeps_finite_weights():
    for at in (1, 3):
        model = build()
        with pytest.raises(NonFiniteLossError, match=f"at step {at}"):
            fit(model, BARS, loss=faulty(at), **FAST)
        assert all(torch.isfinite(v).all() for v in model.state_dict().values())


def test_a_gradient_that_is_not_finite_never_reaches_the_weights():
    # sqrt(0): the value is 0, its slope is infinite
    def loss(model, x, y):
        value = negative_log_likelihood(model, x, y)
        return value + (value - value).abs().sqrt() * value

    model = build()
    with pytest.raises(NonFiniteLossError, match=r"gradient's norm became (nan|inf) at step 1"):
        fit(model, BARS, validation=BARS, loss=loss, **FAST)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())
    assert math.isfinite(evaluate(model, BARS).nats)


@pytest.mark.parametrize("at", [1, 7])
def test_an_interrupt_ends_the_run_with_the_best_weights_and_says_so(at):
    model = build()
    history = fit(model, BARS, validation=BARS, loss=interrupting(at), **FAST)
    assert history.stopped == f"interrupted at step {at - 1}"
    assert history.steps == at - 1
    reference = build()
    if at == 7:
        assert history.best_step == 4
        assert evaluate(model, BARS).nats == pytest.approx(history.validation[0][1], abs=1e-6)
    else:
        assert equal(weights(model), weights(reference))
    assert not model.training


def test_an_error_in_the_loss_leaves_a_usable_model():
    def loss(model, x, y):
        raise RuntimeError("a bug of mine")

    model = build()
    before = weights(model)
    with pytest.raises(RuntimeError, match="a bug of mine"):
        fit(model, BARS, loss=loss, **FAST)
    assert equal(weights(model), before)


def test_dropout_is_on_in_training_and_off_in_evaluation(monkeypatch):
    modes = {"training": set(), "evaluation": set()}
    model = build(dropout=0.5)
    model.dropout.register_forward_hook(lambda module, *_: modes[where[0]].add(module.training))
    where = ["training"]

    def watched(model, data):
        where[0] = "evaluation"
        result = evaluate(model, data)
        where[0] = "training"
        return result

    monkeypatch.setattr(training, "evaluate", watched)
    fit(model, BARS, validation=BARS, **FAST)
    assert modes == {"training": {True}, "evaluation": {False}}
    assert not model.training


class Watched(datasets.Dataset):
    """A data set that remembers in which order its examples were read."""

    def __init__(self, n=10):
        x = torch.randint(2, (n, 1, 4, 4), generator=torch.Generator().manual_seed(5))
        super().__init__(
            "made", "validation", x, torch.zeros(n, dtype=torch.long),
            levels=2, n_classes=0, source="made here", licence="none needed",
        )  # fmt: skip
        self.read = []

    def __getitem__(self, i):
        self.read.append(int(i))
        return super().__getitem__(i)


def test_validation_data_stay_as_they_are_and_in_order():
    data, validation = Watched(20), Watched(7)
    before = validation.x.clone()
    fit(build(), data, validation=validation, **FAST)
    assert torch.equal(validation.x, before)
    # three evaluations, each from first to last (and once more the first, for the number of dimensions)
    assert validation.read == [*range(7), 0] * 3


def test_training_data_are_shuffled_and_each_is_read_once_an_epoch():
    data = Watched(20)
    fit(build(), data, steps=8, batch_size=5, evaluate_every=8)
    epochs = [data.read[i : i + 20] for i in (0, 20)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(20))
        assert epoch != list(range(20))
    assert epochs[0] != epochs[1]


def test_a_batch_larger_than_the_data_takes_all_of_them():
    history = fit(build(), Watched(6), steps=2, batch_size=100, evaluate_every=1)
    assert history.steps == 2


def test_classes_reach_a_conditional_model():
    x = torch.cat([torch.zeros(20, 1, 3, 4), torch.ones(20, 1, 3, 4)]).long()
    y = torch.arange(40) // 20
    data = datasets.Dataset("made", "train", x, y, levels=2, n_classes=2, source="made here", licence="none needed")
    model = build(data=data, n_classes=2)
    fit(model, data, steps=60, batch_size=20, lr=2e-2, ema=0.8, evaluate_every=60)
    assert (log_probs(model, data) > -1).all()
    with torch.no_grad():
        swapped = model.log_prob(data.x, 1 - data.y)
    assert (swapped < -4).all()


def test_precision_can_change_from_run_to_run():
    def run(precision):
        model = build()
        history = fit(model, BARS, validation=BARS, precision=precision, **FAST)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        return weights(model), history.validation[-1][1]

    (full, nats), (half, nats_half), (again, _) = (run(p) for p in ("no", "bf16", "no"))
    assert equal(full, again)
    assert not equal(full, half)  # bf16 is really used
    assert nats_half == pytest.approx(nats, abs=0.3)


def test_another_accelerator_in_the_process_is_no_obstacle():
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    try:
        assert Accelerator(mixed_precision="bf16").mixed_precision == "bf16"
        fit(build(), BARS, **FAST)
    finally:
        AcceleratorState._reset_state()


def test_a_float64_model_is_trained_in_float64():
    model = build().double()
    fit(model, BARS, validation=BARS, **FAST)
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_the_gradient_is_clipped():
    def moved(scale, clip):
        model = build()
        before = weights(model)
        fit(model, BARS, loss=lambda m, x, y: scale * negative_log_likelihood(m, x, y), steps=1, ema=0, clip=clip,
            batch_size=30, evaluate_every=1)  # fmt: skip
        return torch.stack([(v - before[k]).abs().max() for k, v in model.state_dict().items()]).max()

    # Adam ignores the scale of a gradient, except through its epsilon: clipped to 1e-12 it hardly moves
    assert moved(1, 1e-12) < 0.1 * moved(1, 1.0)


def test_a_student_model_with_buffers_can_be_trained():
    class Net(nn.Module):
        n_classes = 0

        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(16)  # holds an integer counter
            self.bias = nn.Parameter(torch.zeros(16))

        def log_prob(self, x):
            logits = self.bias.expand(len(x), 16) + 0 * self.norm(x.flatten(1).float())
            return -nn.functional.binary_cross_entropy_with_logits(logits, x.flatten(1).float(), reduction="none").sum(
                1
            )

    model = Net()
    history = fit(model, BARS, validation=BARS, **FAST)
    assert history.validation[-1][1] < 16 * math.log(2) + 0.01
    assert model.norm.num_batches_tracked == FAST["steps"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0 is out of range: expected an integer of at least 1; change it"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"lr": 0}, "lr=0 is out of range: expected a number above 0; change it, or leave it out"),
        ({"lr": math.nan}, "lr=nan"),
        ({"ema": 1.0}, "ema=1.0"),
        ({"ema": -0.1}, "ema=-0.1"),
        ({"clip": 0}, "clip=0"),
        ({"evaluate_every": 0}, "evaluate_every=0"),
        ({"patience": 0}, "patience=0"),
        ({"weight_decay": -1}, "weight_decay=-1"),
        ({"batch_size": 2.5}, "batch_size=2.5 is out of range: expected an integer"),
        ({"precision": "fp8"}, "precision=fp8"),
        ({"validation": torch.utils.data.Subset(BARS, [])}, "expected validation data"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_changes(options, message):
    model = build()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        fit(model, BARS, **{**FAST, **options})
    assert equal(weights(model), before)


def test_data_that_do_not_fit_the_model_are_refused():
    with pytest.raises(ValueError, match="expected training data"):
        fit(build(), torch.utils.data.Subset(BARS, []), **FAST)
    digits = datasets.load("digits", "validation")
    with pytest.raises(ValueError, match="got shape"):
        fit(build(), digits, **FAST)
    with pytest.raises(ValueError, match="levels"):
        fit(build(cls=PixelCNN, data=digits).__class__(digits.shape, 3, channels=4, layers=1), digits, **FAST)
    with pytest.raises(ValueError, match="the model knows no such class"):
        fit(build(data=digits, n_classes=5), digits, **FAST)
