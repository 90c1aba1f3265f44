"""Grammars: what is drawn obeys, follows p(x) / prod m_t and no other law, and its weights give back p(x | grammar)."""

import pytest
import torch
from small_models import MODELS, SEQUENCES, small_model

from garm_course.autoregressive.sampling.constraints import Automaton, Constrained
from garm_course.evaluation.audits import all_examples

EACH = pytest.mark.parametrize("cls", SEQUENCES, ids=lambda cls: cls.name)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def no_22():
    """Three values, no "22", and no 0 at the end; state 1: just after a 1, state 2: just after a 2."""
    return Automaton(torch.tensor([[0, 1, 2], [0, 1, 2], [0, 1, -1]]), torch.tensor([False, True, True]))


def obeys(x):
    """What `no_22` allows, in other words."""
    return ~((x[:, 1:] == 2) & (x[:, :-1] == 2)).any(1) & (x[:, -1] != 0)


def log_masses(model, automaton, x):
    """(B,) sum of ln m_t along examples that obey, from one full pass."""
    log_p, state, total = model.head.log_probs(model(x)), automaton.start(len(x)), 0
    for t in range(x.shape[1]):
        mask = automaton.mask(state, x.shape[1] - t)
        total = total + torch.where(mask, log_p[:, t], -torch.inf).logsumexp(-1)
        state = automaton.advance(state, x[:, t])
    return total


@EACH
def test_draws_follow_p_over_the_masses_and_their_weights_repair_it(cls):
    model, automaton = small_model(cls, (4,), 3), no_22()
    space = all_examples((4,), 3)
    space = space[obeys(space)]
    with torch.no_grad():
        p = model.log_prob(space).exp()
        mass = log_masses(model, automaton, space).exp()
    q = p / mass
    assert q.sum().item() == pytest.approx(1, abs=1e-12)
    assert (q * mass).sum().item() == pytest.approx(p.sum().item(), abs=1e-12)  # E_q prod m_t = P(A)
    wrong = (q - p / p.sum()).abs().sum().item() / 2
    assert wrong > 0.01, "this model should tell q from p(x | A)"
    n = 40_000
    drawn = model.sample(n, allowed=automaton, rng=rng())
    assert obeys(drawn.x).all()
    code = lambda x: x @ torch.tensor([27, 9, 3, 1])  # noqa: E731
    place = torch.searchsorted(code(space), code(drawn.x))
    torch.testing.assert_close(drawn.log_mass.exp(), mass[place].to(drawn.log_mass.dtype), rtol=0, atol=1e-10)
    counts = place.bincount(minlength=len(space)) / n
    assert ((counts - q).abs() < 4.5 * (q * (1 - q) / n).sqrt() + 1e-9).all()
    weights = drawn.log_mass.exp().double()
    repaired = torch.zeros(len(space), dtype=torch.float64).index_add_(0, place, weights) / weights.sum()
    assert (repaired - p / p.sum()).abs().sum() / 2 < min(0.03, wrong)
    assert weights.mean().item() == pytest.approx(p.sum().item(), abs=5 * weights.std().item() / n**0.5)


@EACH
@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_k": 1}, {"given": torch.tensor([2, 0, 1])}])
def test_cached_and_naive_obey_alike_at_any_length(cls, options):
    model = small_model(cls, (4,), 3)
    for length in (4, 17):
        fast = model.sample(6, length=length, allowed=no_22(), rng=rng(), **options)
        slow = model.sample_naive(6, length=length, allowed=no_22(), rng=rng(), **options)
        assert isinstance(fast, Constrained)
        assert fast.x.shape == (6, length)
        assert obeys(fast.x).all()
        assert torch.equal(fast.x, slow.x)
        torch.testing.assert_close(fast.log_mass, slow.log_mass, rtol=0, atol=1e-10)


def test_a_grammar_that_allows_all_changes_nothing():
    everything = Automaton(torch.zeros(1, 3, dtype=torch.long), torch.tensor([True]))
    for cls, shape in [(SEQUENCES[0], (6,)), (MODELS[3], (1, 2, 3))]:
        model = small_model(cls, shape, 3)
        drawn = model.sample(20, allowed=everything, rng=rng())
        assert torch.equal(drawn.x, model.sample(20, rng=rng()))
        assert drawn.log_mass.abs().max() < 1e-12


def test_dead_ends_are_seen_from_afar():
    # 0 leads into a cycle of two that accepts in its first state only: odd lengths must begin with a 1
    automaton = Automaton(torch.tensor([[1, 2], [3, 3], [2, 2], [1, 1]]), torch.tensor([False, False, True, True]))
    assert automaton.mask(torch.tensor([0]), 3).tolist() == [[False, True]]
    assert automaton.mask(torch.tensor([0]), 2).tolist() == [[True, True]]
    model = small_model(SEQUENCES[0], (4,), 2)
    assert (model.sample(50, length=7, allowed=automaton, rng=rng()).x[:, 0] == 1).all()
    assert len(model.sample(50, length=8, allowed=automaton, rng=rng()).x[:, 0].unique()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allowed": Automaton(torch.tensor([[1, 1, 1], [-1, -1, -1]]), torch.tensor([True, True]))}, "no example of"),
        ({"allowed": Automaton(torch.zeros(1, 3).long(), torch.tensor([False]))}, "no example of length 4"),
        ({"allowed": Automaton(torch.zeros(1, 2).long(), torch.tensor([True]))}, "got one of 2; give it a column"),
        ({"allowed": no_22(), "given": torch.tensor([2, 2])}, "value 1 of the prompt.*change the prompt"),
        ({"allowed": no_22(), "given": torch.zeros(4).long(), "mask": torch.tensor([True] * 4)}, "cannot be combined"),
    ],
)
def test_a_grammar_that_does_not_fit_is_refused_in_one_line(options, message):
    model = small_model(SEQUENCES[0], (4,), 3)
    for naive in (False, True):
        with pytest.raises(ValueError, match=message) as caught:
            model.sample(2, naive=naive, **options)
        assert "\n" not in str(caught.value)


def test_an_automaton_that_is_none_is_refused():
    table, accept = torch.zeros(2, 3, dtype=torch.long), torch.tensor([True, False])
    for arguments, error, message in [
        ((table.double(), accept), TypeError, "expected next as a tensor of torch.int64"),
        ((table, [True, False]), TypeError, "expected accept as a tensor of torch.bool, got a list"),
        ((table, accept[:1]), ValueError, r"got \(2, 3\) and \(1,\); give each state a row"),
        ((table + 2, accept), ValueError, r"expected states 0..1, or -1 to forbid, got 2..2; number"),
        ((table - 2, accept), ValueError, r"got -2..-2"),
    ]:
        with pytest.raises(error, match=message):
            Automaton(*arguments)
