"""The two editions side by side: equal cells have equal results, an exercise shows one verdict and nothing else."""

import pytest
from nbformat.v4 import new_output
from tiny_lesson import TINY

from garm_course.editions import blank, notebooks
from garm_course.editions.outputs import copy_shared, dependent, disagreements

EXERCISE, PRINT = 4, 5  # cells of the tiny lesson


def verdict(status):
    return new_output("display_data", {"text/plain": f"nats_to_bits: {status}\nA hint.", "text/html": "<pre>"})


def edition(text, status):
    """The tiny lesson with a result in each code cell, as if executed."""
    nb = notebooks.from_text(text, "00_tiny")
    for count, cell in enumerate((cell for cell in nb.cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
        cell.outputs = [new_output("stream", text=f"result {count}\n")]
    nb.cells[EXERCISE].outputs = [verdict(status)]
    return nb


@pytest.fixture
def solutions():
    return edition(TINY, "passed")


@pytest.fixture
def student():
    return edition(blank(TINY), "not attempted")


def test_editions_in_step_do_not_disagree(solutions, student):
    assert "@check" in student.cells[EXERCISE].source
    assert disagreements(solutions, student) == []


@pytest.mark.parametrize(
    ("folder", "cell", "outputs", "message"),
    [
        ("student", PRINT, [], "cell 6 has not the result of the solutions"),
        ("student", PRINT, [new_output("stream", text="result 4.0\n")], "cell 6 has not the result of the solutions"),
        ("student", EXERCISE, [verdict("passed")], "must show the verdict 'not attempted' alone, not passed"),
        ("student", EXERCISE, [verdict("not yet")], "must show the verdict 'not attempted' alone, not not yet"),
        ("student", EXERCISE, [], "must show the verdict 'not attempted' alone, not nothing"),
        (
            "student",
            EXERCISE,
            [verdict("not attempted"), new_output("stream", text="1")],
            "alone, not not attempted, another output",
        ),
        (
            "solutions",
            EXERCISE,
            [verdict("not yet")],
            "solutions/: cell 5, an exercise, must show",
        ),
    ],
)
def test_a_disagreement_is_named(solutions, student, folder, cell, outputs, message):
    {"solutions": solutions, "student": student}[folder].cells[cell].outputs = outputs
    (line,) = disagreements(solutions, student)
    assert message in line


def test_code_to_be_repaired_is_not_yet_right(solutions):
    start = TINY.replace("    ### END SOLUTION", "    ### START\n    # return nats\n    ### END SOLUTION")
    assert disagreements(solutions, edition(blank(start), "not yet")) == []
    assert "'not yet' alone, not passed" in disagreements(solutions, edition(blank(start), "passed"))[0]


def test_all_but_exercises_has_the_results_of_the_solutions(solutions, student):
    for cell in student.cells[:EXERCISE] + student.cells[PRINT:]:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    copy_shared(solutions, student)
    assert student == edition(blank(TINY), "not attempted")


@pytest.mark.parametrize(
    ("mine", "courses", "same"),
    [
        ("error = 7.1e-14 nats (claimed 0 ± 1e-10: holds)", "error = 2.8e-14 nats (claimed 0 ± 1e-10: holds)", True),
        ("took ≈ 1.5 s", "took ≈ 1.8 s", True),
        ("took 1.5 s", "took 1.8 s", False),
        ("yours", "the course's", False),
        ("one line", "one line\ntwo lines", False),
    ],
)
def test_what_depends_on_the_answer_is_found(solutions, student, mine, courses, same):
    solutions.cells[PRINT].outputs[0].text, student.cells[PRINT].outputs[0].text = mine, courses
    assert bool(dependent(solutions, student)) is not same
    assert all("cell 6 shows" in line for line in dependent(solutions, student))
