"""The tools for authors: versions at their lower bounds, and small changes that a test ought to notice."""

import ast
import json
import re
import subprocess
import sys

import pytest
from test_project import PROJECT, ROOT, load_tool

lower_bounds, mutate = load_tool("lower_bounds"), load_tool("mutate")

SOURCE = b'''"""A text with 1 < 2."""

def f(x: list[int], *, sign: int = 1) -> int:
    """Not this -1 either."""
    if not x and sign < 0:
        raise ValueError(f"{1 + 1} is " + "wrong")
    x.append(0.5)
    return g(x, -sign, scale=True)
'''


# --- lower bounds ----------------------------------------------------------------------------------------------------


def test_every_package_of_the_course_is_held_and_none_of_the_tests():
    held = [line.split("==") for line in lower_bounds.bounds(PROJECT["project"])]
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *extras["lab"]]
    assert [">=".join(pair) for pair in held] == asked
    others = {re.split("[>=]", line)[0] for line in lower_bounds.tests_need(PROJECT["project"])}
    assert {"pytest", "nbval"} <= others
    assert not others & {name for name, _ in held}


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(SystemExit, match="choose another folder"):
        lower_bounds.make(tmp_path, PROJECT["project"])
    assert (tmp_path / "mine.txt").read_text() == "kept"


# --- small changes ---------------------------------------------------------------------------------------------------


def test_one_change_of_each_kind_and_none_in_texts_annotations_and_errors():
    found = mutate.spots("garm_course/f.py", SOURCE)
    assert {(spot.kind, spot.before, spot.after) for spot in found} == {
        ("boolean", "not x and sign < 0", "(not x or sign < 0)"),
        ("boolean", "not x", "(x)"),
        ("comparison", "sign < 0", "(sign <= 0)"),
        ("constant", "0", "1"),
        ("constant", "1", "2"),
        ("statement", "x.append(0.5)", "pass"),
        ("constant", "0.5", "1.0"),
        ("argument", "g(x, -sign, scale=True)", "(g(-sign, x, scale=True))"),
        ("argument", "g(x, -sign, scale=True)", "(g(x, -sign))"),
        ("operator", "-sign", "(sign)"),
        ("boolean", "True", "False"),
    }
    assert {spot.line for spot in found} == {3, 5, 7, 8}


def test_a_change_is_the_only_difference_and_still_python():
    file = ROOT / "garm_course" / "transforms.py"
    source = file.read_bytes()
    for spot in mutate.spots("garm_course/transforms.py", source)[::10]:
        after = mutate.applied(spot, source)
        assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(source)), spot
        assert after.startswith(source[: spot.start])
        assert after.endswith(source[spot.end :])


def test_a_seed_draws_the_same_spots_and_fewer_are_the_first_of_more():
    rooms = ("transforms", "weights", "distributions")
    many, few = (mutate.drawn(ROOT, rooms, seed=3, n=n) for n in (12, 7))
    assert few == many[:7]
    assert [mutate.room_of(spot._asdict()) for spot in many] == list(rooms) * 4
    assert mutate.drawn(ROOT, rooms, seed=4, n=12) != many
    assert mutate.drawn(ROOT, rooms[1:2], seed=3, n=4) == many[1::3], "a room by itself is a part of the whole draw"


def test_the_tests_of_a_module_are_those_that_import_it_also_through_its_room():
    groups = mutate.Imports(ROOT).of("garm_course/latent/vae.py")
    assert groups[0] == ["tests/latent/test_vae.py"]
    assert "tests/latent/test_vqvae.py" in groups[-1], "the rest of the room comes last"
    assert "tests/training/test_devices.py" in groups[-1], "it imports VAE from garm_course.latent"


TOY = """
def countdown(n, by=1):
    total = 0
    while n > 0:
        n -= by
        total += 1
    return total

def unused():
    return 7
"""
TOY_TEST = """
import pytest
from garm_course.toy import countdown

def test_countdown():
    assert countdown(3) == 3
"""


def test_verdicts_and_the_copy_is_put_back(tmp_path):
    for name, text in {"garm_course/toy.py": TOY, "garm_course/__init__.py": "", "tests/toy/test_toy.py": TOY_TEST,
                       "pytest.ini": "[pytest]\nmarkers =\n  slow\n  browser"}.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    script = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "tools")!r})
import mutate
judge, file = mutate.Judge(Path({str(tmp_path)!r}), seconds=2), Path({str(tmp_path)!r}) / "garm_course/toy.py"
for spot in mutate.spots("garm_course/toy.py", file.read_bytes()):
    if spot.before in ("n > 0", "n -= by", "7"):
        print(json.dumps(judge.verdict(spot)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    verdicts = {(v["before"], v["line"]): v for v in map(json.loads, done.stdout.splitlines())}
    assert verdicts["n > 0", 4]["verdict"] == "killed"
    assert verdicts["n > 0", 4]["test"] == "tests/toy/test_toy.py::test_countdown"
    assert verdicts["n -= by", 5]["verdict"] == "timed out"
    assert verdicts["7", 10]["verdict"] == "survived"
    assert (tmp_path / "garm_course" / "toy.py").read_text() == TOY
