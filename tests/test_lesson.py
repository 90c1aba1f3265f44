"""Seeds, budgets, reports and claims: what they print, what they refuse, and that the printed line can be read back."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from garm_course import lesson
from garm_course.editions.outputs import sanitized

BUDGETS = ("smoke", "quick", "full")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv("GARM_BUDGET", raising=False)
    lesson.forget_claims()
    yield
    lesson.forget_claims()


def test_a_seed_fixes_every_source_of_random_numbers():
    def draws():
        rng = lesson.seed(7)
        local = torch.rand(3, generator=rng)
        legacy = np.random.rand()  # noqa: NPY002
        return [*local.tolist(), *torch.rand(3).tolist(), float(legacy), random.random()]

    first, again = draws(), draws()
    assert first == again
    lesson.seed(8)
    assert torch.rand(3).tolist() != first[3:6]


@pytest.mark.parametrize("bad", [-1, 2**32, 1.0, True, "0", None])
def test_a_seed_that_is_not_a_seed_is_refused(bad):
    with pytest.raises(ValueError, match="expected a seed"):
        lesson.seed(bad)


@pytest.mark.parametrize("name", BUDGETS)
def test_budget_follows_the_environment(monkeypatch, name):
    monkeypatch.setenv("GARM_BUDGET", name)
    assert lesson.budget(smoke="smoke", quick="quick", full="full") == name
    assert f"budget {name}" in lesson.device_line()


def test_budget_is_quick_unless_said_otherwise(monkeypatch):
    assert lesson.budget(smoke=1, quick=2, full=3) == 2
    monkeypatch.setenv("GARM_BUDGET", "")
    assert lesson.budget(smoke=1, quick=2, full=3) == 2


def test_an_unknown_budget_lists_the_three(monkeypatch):
    monkeypatch.setenv("GARM_BUDGET", "fast")
    with pytest.raises(ValueError, match=r"smoke, quick, full, got 'fast'"):
        lesson.budget(smoke=1, quick=2, full=3)


def test_the_line_is_the_one_of_the_design(capsys):
    lesson.report("validation NLL", 81.4321, claimed=81.8, tolerance=1.5, unit="nats")
    lesson.report("validation NLL, gated", torch.tensor(90.0), claimed=81.8, tolerance=1.5, unit="nats")
    lesson.report("blind pixels", 10, claimed=10, tolerance=0, exact=True)
    assert capsys.readouterr().out.splitlines() == [
        "validation NLL = 81.43 nats (claimed 81.8 ± 1.5: holds)",
        "validation NLL, gated = 90.00 nats (claimed 81.8 ± 1.5: does NOT hold)",
        "blind pixels == 10 (claimed 10: holds)",
    ]


def test_the_edge_of_the_tolerance_holds_and_beyond_it_does_not(capsys):
    lesson.report("edge", 82.3, claimed=81.8, tolerance=0.5)
    lesson.report("beyond", 82.31, claimed=81.8, tolerance=0.5)
    lesson.report("one off", 11, claimed=10, tolerance=0, exact=True)
    verdicts = [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["holds)", "does NOT hold)", "does NOT hold)"]


CASES = [
    ("validation NLL", 81.43, 81.8, 1.5, "nats", False),
    ("sum of p(x) over 512 images", 1.0000001, 1, 1e-6, "", False),
    ("speed-up (cached)", 123.4, 100, 50, "times", False),
    ("difference", -0.031, 0, 0.1, "bits/dim", False),
    ("leak", 1.3e-9, 0, 1e-6, "nats", False),
    ("blind pixels at (9, 5)", 10, 10, 0, "pixels", True),
    ("half", 0.5, 0.5, 0, "", True),
]


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_every_line_can_be_read_back(monkeypatch, capsys, budget, case):
    name, value, claimed, tolerance, unit, exact = case
    monkeypatch.setenv("GARM_BUDGET", budget)
    lesson.report(name, value, claimed=claimed, tolerance=tolerance, unit=unit, exact=exact)
    found = re.match(lesson.REPORT_PATTERN, capsys.readouterr().out.rstrip("\n"))
    assert found, "the pattern does not match the line"
    assert found["name"] == name
    assert (found["unit"] or "").strip() == unit
    assert found["relation"] == ("==" if exact else "=")
    assert float(found["value"]) == pytest.approx(value, rel=0.01, abs=0.05 * tolerance)
    if budget == "smoke":
        assert found["skipped"]
        assert found["verdict"] is None
    else:
        assert found["verdict"] == "holds"
        assert float(found["claimed"]) == claimed
        assert float(found["tolerance"] or 0) == tolerance


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_notebook_tests_hide_a_measured_figure_and_nothing_else(monkeypatch, capsys, budget, case):
    name, value, claimed, tolerance, unit, exact = case
    monkeypatch.setenv("GARM_BUDGET", budget)

    def line(value=value, claimed=claimed):
        lesson.report(name, value, claimed=claimed, tolerance=tolerance, unit=unit, exact=exact)
        return sanitized(capsys.readouterr().out)

    assert (line(value) == line(value + 0.5 * tolerance + exact)) != exact
    if budget != "smoke":
        assert line(value + 3 * tolerance + exact) != line(value), (
            "a claim that fails must not look like one that holds"
        )
        assert line(claimed=claimed + 0.25 * tolerance + exact) != line(claimed=claimed)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "81.4", torch.zeros(2), [1.0, 2.0]])
@pytest.mark.parametrize("argument", ["value", "claimed", "tolerance"])
def test_what_is_not_one_finite_number_is_refused(argument, bad):
    arguments = {"value": 1.0, "claimed": 1.0, "tolerance": 0.1, argument: bad}
    with pytest.raises(ValueError, match=r"expected a (finite )?(measured|claimed|tolerance)"):
        lesson.report("x", arguments.pop("value"), **arguments)
    assert not lesson._claims


@pytest.mark.parametrize(
    "arguments",
    [{"tolerance": -0.1}, {"tolerance": 0.1, "exact": True}, {"tolerance": 0.1, "unit": "nats (per image)"}],
    ids=["negative tolerance", "exact with tolerance", "parentheses in the unit"],
)
def test_a_claim_that_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError, match="expected a"):
        lesson.report("x", 1.0, claimed=1.0, **arguments)


@pytest.mark.parametrize("name", ["", " x", "x = y", "two\nlines", 3])
def test_a_name_that_would_break_the_line_is_refused(name):
    with pytest.raises(ValueError, match="expected a name"):
        lesson.report(name, 1.0, claimed=1.0, tolerance=0.1)


def test_claims_prints_an_aligned_table_without_measured_figures(capsys):
    lesson.report("validation NLL", 81.4321, claimed=81.8, tolerance=1.5, unit="nats")
    lesson.report("blind pixels", 10, claimed=10, tolerance=0, unit="pixels", exact=True)
    capsys.readouterr()
    lesson.claims()
    out = capsys.readouterr().out
    head, *rows, last = out.splitlines()
    assert "81.43" not in out
    assert [row[head.index("claimed") :].split("  ")[0] for row in rows] == ["81.8 ± 1.5 nats", "10 pixels"]
    assert {row.index("holds") for row in rows} == {head.index("measured, in its cell")}
    assert all(row.endswith("holds") for row in rows)
    assert last == "2 claims: all hold."


def test_claims_raises_and_names_those_that_fail(capsys):
    lesson.report("good", 1.0, claimed=1.0, tolerance=0.1)
    lesson.report("bad", 2.0, claimed=1.0, tolerance=0.1)
    with pytest.raises(AssertionError, match=r"^1 of 2 claims do not hold: bad$"):
        lesson.claims()
    assert "does NOT hold" in capsys.readouterr().out


def test_reporting_again_replaces(capsys):
    lesson.report("x", 2.0, claimed=1.0, tolerance=0.1)
    lesson.report("x", 1.0, claimed=1.0, tolerance=0.1)
    lesson.claims()
    assert capsys.readouterr().out.endswith("1 claim: holds.\n")


def test_one_run_of_a_cell_reports_a_name_once(monkeypatch):
    run = [1]
    monkeypatch.setattr(lesson, "_cell", lambda: run[0])
    lesson.report("x", 1.0, claimed=1.0, tolerance=0.1)
    with pytest.raises(ValueError, match="reported twice in this cell"):
        lesson.report("x", 1.0, claimed=1.0, tolerance=0.1)
    run[0] = 2
    lesson.report("x", 1.05, claimed=1.0, tolerance=0.1)


def test_smoke_skips_all_claims(monkeypatch, capsys):
    monkeypatch.setenv("GARM_BUDGET", "smoke")
    lesson.report("bad", 2.0, claimed=1.0, tolerance=0.1)
    lesson.report("wrong count", 3, claimed=1, tolerance=0, exact=True)
    lesson.claims()
    assert capsys.readouterr().out.endswith("2 claims skipped at budget smoke.\n")


def test_claims_without_reports_says_what_to_do(capsys):
    lesson.claims()
    assert "run the cells" in capsys.readouterr().out


def test_device_line_is_one_line_that_a_cell_shows_without_quotes():
    line = lesson.device_line()
    assert repr(line) == str(line)
    assert "\n" not in line
    assert torch.__version__ not in sanitized(line), "the notebook tests would compare versions"
    for part in (f"torch {torch.__version__}", f"{torch.get_num_threads()} thread", "budget quick"):
        assert part in line


@pytest.mark.parametrize(
    ("expected", "words"),
    [(81, "close"), (60, "a little too low"), (120, "a little too high"), (5, "too low"), (1000, "too high")],
)
def test_a_guess_stands_below_the_figure(capsys, expected, words):
    lesson.guess("validation NLL", expected)
    assert capsys.readouterr().out == ""
    lesson.report("validation NLL", 81.43, claimed=81.8, tolerance=1.5, unit="nats")
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "validation NLL = 81.43 nats (claimed 81.8 ± 1.5: holds)"
    assert out[1:] == [f"  Your guess was {expected}: {words}."]


def test_no_guess_changes_nothing_and_a_bad_one_is_answered(capsys):
    lesson.guess("validation NLL", 3)
    lesson.guess("validation NLL", ...)  # the reader has changed his or her mind
    lesson.report("validation NLL", 81.43, claimed=81.8, tolerance=1.5)
    assert "guess" not in capsys.readouterr().out
    for bad in ("many", float("nan"), [1, 2], None):
        lesson.guess("validation NLL", bad)
        assert "Write one number, as in guess('validation NLL', 3.5)" in capsys.readouterr().out


SOLUTIONS = sorted((Path(__file__).resolve().parents[1] / "solutions").glob("*.py"))


@pytest.mark.parametrize("file", SOLUTIONS, ids=lambda file: file.stem[:2])
def test_every_guess_is_answered_further_down(file):
    text = file.read_text(encoding="utf-8")
    asked = list(re.finditer(r'(?m)^guess\("(.+?)", \.\.\.\)', text))
    assert asked, "the lesson asks for no guess"
    for match in asked:
        names = re.findall(r'report\(\s*f?"(.+?)",', text[match.end() :])
        patterns = [".+".join(map(re.escape, re.split(r"\{.+?\}", name))) for name in names]
        assert any(re.fullmatch(pattern, match[1]) for pattern in patterns), match[1]
