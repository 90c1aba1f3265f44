"""Finding exercises by name."""

import subprocess
import sys
from dataclasses import replace

import pytest

from garm_course.exercises import STUB, exercises, get, grade
from garm_course.exercises.registry import STUB_TEXT, collect


def test_order_and_names():
    lessons = [e.lesson for e in exercises()]
    assert lessons == sorted(lessons)
    assert [e.name for e in exercises("00")] == ["nats_to_bits"]
    names = ["shift_right", "sequence_nll", "skew", "diagonal_lstm", "repair_article"]
    assert [e.name for e in exercises("03")] == names
    assert [e.name for e in exercises("04")] == ["conv_mask", "gated_activation", "down_shift", "rgb_center_mask"]
    assert all(e.name == e.reference.__name__ for e in exercises())


@pytest.mark.parametrize("ask", [get, lambda name: grade(name, abs)])
@pytest.mark.parametrize("name", ["conv_maks", "", None, ["conv_mask"]])
def test_unknown_name_lists_the_known_ones(ask, name):
    with pytest.raises(ValueError, match=r"no exercise is named .*conv_mask, .*down_shift, .*gated_activation"):
        ask(name)


def test_a_name_may_occur_once_only():
    one = get("conv_mask")
    with pytest.raises(ValueError, match=r"two exercises are named 'conv_mask' \(lessons 04 and 07\)"):
        collect([[one], [replace(one, lesson="07")]])


def test_stub_is_what_the_check_knows_as_not_attempted():
    assert STUB_TEXT in STUB
    namespace = {}
    exec(f"def conv_mask(k, kind):\n    {STUB}\n", namespace)
    assert grade("conv_mask", namespace["conv_mask"]).status == "not attempted"


def test_importing_is_cheap_and_loads_no_lesson():
    code = (
        "import sys, garm_course.exercises as e; names = set(sys.modules);"
        "bad = [n for n in names if n.startswith(('matplotlib', 'IPython', 'sklearn', 'accelerate', 'nbformat'))"
        " or 'exercises.lesson' in n or 'autoregressive' in n]; sys.exit(repr(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
