"""The parts of a lesson that are generated: badges and setup cell."""

import ast

import pytest

from garm_course.editions import EditionError, address, badges, select, setup_cell
from garm_course.editions.address import normalize, project_root


def test_normalizing_fills_in_badges_and_setup_cell_and_changes_nothing_else(lesson):
    text = lesson.source.read_text()
    new = normalize(text, "00_tiny", lesson.root)
    assert new.count(badges("00_tiny", lesson.root)) == 1
    assert setup_cell(lesson.root) in new
    rest = new.replace("#\n# " + badges("00_tiny", lesson.root) + "\n", "")
    rest = rest.replace(setup_cell(lesson.root) + "\n", "")
    assert rest == text


def test_normalizing_twice_changes_nothing(lesson):
    once = normalize(lesson.source.read_text(), "00_tiny", lesson.root)
    assert normalize(once, "00_tiny", lesson.root) == once


def test_another_version_or_owner_changes_badges_and_setup_and_nothing_else(lesson):
    old = normalize(lesson.source.read_text(), "00_tiny", lesson.root)
    project = lesson.root / "pyproject.toml"
    text = project.read_text().replace('owner = "garm-course"', 'owner = "fork"')
    version = address(lesson.root).tag[1:]
    project.write_text(text.replace(f'version = "{version}"', 'version = "9.8.7"'))
    new = normalize(old, "00_tiny", lesson.root)
    name = address(lesson.root).name
    assert f"git+https://github.com/fork/{name}@v9.8.7" in new
    assert f"/github/fork/{name}/blob/v9.8.7/notebooks/00_tiny.ipynb" in new
    assert f"/gh/fork/{name}/v9.8.7?labpath=notebooks%2F00_tiny.ipynb" in new
    changed = [(a, b) for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]
    assert len(changed) == 2


def test_the_setup_cell_installs_a_tag_and_never_upgrades(lesson):
    source = setup_cell(lesson.root)
    ast.parse(source)
    assert f"@{address(lesson.root).tag}" in source
    assert "--upgrade" not in source
    assert address(lesson.root).branch not in source.replace("garm_course", "")
    assert len([line for line in source.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('# %% tags=["setup"]\n', "", "found 0"),
        ("# %%\nclaims()", '# %% tags=["setup"]\nclaims()', "found 2"),
        ("# # A tiny lesson", "# ## A tiny lesson", "title"),
        ("# %% [markdown]\n# # A", '# %%\nprint("first")\n\n# %% [markdown]\n# # A', "title"),
    ],
)
def test_a_source_without_title_or_setup_cell_is_refused(lesson, old, new, message):
    text = lesson.source.read_text()
    assert old in text
    with pytest.raises(EditionError, match=message):
        normalize(text.replace(old, new), "00_tiny", lesson.root)


def test_the_checkout_is_found_from_a_folder_inside_it(lesson, monkeypatch):
    assert project_root(lesson.root / "solutions") == lesson.root
    monkeypatch.chdir(lesson.root / "solutions")
    assert project_root() == lesson.root


@pytest.mark.parametrize("name", ["0", "00", "00_tiny", "solutions/00_tiny.py", "notebooks/00_tiny.ipynb"])
def test_a_lesson_is_named_by_number_name_or_file(lesson, name):
    assert select([name, name], lesson.root) == [lesson]


def test_an_unknown_lesson_is_answered_with_the_known_ones(lesson):
    with pytest.raises(EditionError, match=r"no lesson '07'; the lessons are: 00_tiny"):
        select(["07"], lesson.root)


def test_a_file_that_is_not_named_like_a_lesson_or_a_number_used_twice_is_an_error(lesson):
    stray = lesson.source.with_name("scratch.py")
    stray.write_text("")
    with pytest.raises(EditionError, match="NN_topic"):
        select([], lesson.root)
    stray.rename(lesson.source.with_name("00_other.py"))
    with pytest.raises(EditionError, match="two lessons have the number 00"):
        select([], lesson.root)
