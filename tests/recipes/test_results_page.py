"""RESULTS.md: every recorded result once, with the figures of its file, sorted, bounds marked, and up to date."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from garm_course import paths
from garm_course.cli import runs
from garm_course.recipes.catalog import RECIPES
from garm_course.recipes.kinds import KINDS, Column, Kind, kind_of
from garm_course.recipes.page import groups, page, read_results, read_studies, what_it_shows
from garm_course.recipes.published import PUBLISHED, VARIANTS

ROOT = Path(__file__).resolve().parents[2]
RESULTS, STUDIES = read_results(ROOT), read_studies(ROOT)


def tables(text):
    """All tables of a page: (the headings above it, its rows as {heading of the column: cell})."""
    found, above, header = [], {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            level = len(line.split()[0])
            above = {k: v for k, v in above.items() if k < level} | {level: line.lstrip("# ")}
        if not line.startswith("| "):
            header = None
        elif header is None:
            header, rows = line[2:-2].split(" | "), []
            found.append(([above[k] for k in sorted(above)][1:], rows))
        elif not line.startswith("| ---"):
            rows.append(dict(zip(header, line[2:-2].split(" | "), strict=True)))
    return found


def rows_of(results, studies=STUDIES):
    """The rows of recorded results by name, each with the headings above its table as "above"."""
    found = {}
    for above, rows in tables(page(results, studies)):
        for row in rows:
            link = re.search(r"\(results/([\w-]+)\.json\)", row["model"]) if "model" in row else None
            if link:
                found.setdefault(link[1], []).append(row | {"above": above})
    return found


def number(text):
    return float(text.replace(",", ""))


def parts(cell):
    """(whether a bound, value, spread or None) of a cell such as '≤ 90.60 ± 0.31' or '97.5 ± 1.0 %'."""
    match = re.fullmatch(r"(≤ )?([\d,.-]+)(?: ± ([\d,.]+))?( %)?", cell)
    assert match, cell
    scale = 100 if match[4] else 1
    return bool(match[1]), number(match[2]) / scale, match[3] and number(match[3]) / scale


def near(shown, cell):
    """A figure to within half of the last digit that the cell shows."""
    digits = re.match(r"(?:≤ )?[\d,-]+(?:\.(\d+))?", cell)[1] or ""
    return pytest.approx(shown, abs=0.5001 * 10 ** -len(digits))


MAIN = {"likelihood": ("validation, nats", "test, nats"),
        "text": ("validation, nats per character", "test, nats per character"),
        "sound": ("validation, nats per note", "test, nats per note"),
        "samples": ("validation, Fréchet", "test, Fréchet"),
        "translation": ("validation, square error", "test, square error"),
        "factors": ("validation", "test"),
        "reconstruction": ("validation, Fréchet", "test, Fréchet"),
        "classifier": ("validation", "test")}  # fmt: skip


@pytest.fixture
def one():
    """A copy of a recorded likelihood to change."""
    return copy.deepcopy(RESULTS["vae-digits"])


# --- the committed page ----------------------------------------------------------------------------------------------


def test_the_page_is_up_to_date():
    text = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    assert text == page(RESULTS, STUDIES), "run: garm results"


def test_every_result_and_every_study_appears_exactly_once():
    text = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    links = re.findall(r"\(results/([^)]+)\.json\)", text)
    files = [path.relative_to(ROOT / "results").with_suffix("") for path in (ROOT / "results").rglob("*.json")]
    assert sorted(links) == sorted(file.as_posix() for file in files)


@pytest.mark.parametrize("name", RESULTS)
def test_the_figures_of_a_row_are_those_of_its_file(name):
    entry = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    (row,) = rows_of(RESULTS)[name]
    kind = kind_of(entry).name
    assert row["above"][0] == KINDS[kind].heading
    assert row["above"][1].startswith(f"`{entry['data']}`")
    for split, column in zip(("validation", "test"), MAIN[kind], strict=True):
        bound, value, spread = parts(row[column])
        figures, digits = entry[split], row[column].replace(" %", "").split(" ± ")[0]
        assert bound == bool(figures.get("bound"))
        scale = 100 if kind in ("classifier", "factors") else 1
        assert scale * value == near(scale * KINDS[kind].headline(figures).value, digits)
        assert (spread is None) == (len(entry["seeds"]) == 1)
        if spread is not None:
            assert scale * spread == near(scale * figures["seed_std"], digits)
        if kind == "likelihood":
            cell = row[f"{split}, bits/dim"]
            assert number(cell.removeprefix("≤ ")) == near(figures["bits_per_dim"], cell)
            assert cell.startswith("≤") == bound
    if "kl" in entry["validation"]:
        cell = row["validation, KL in nats"]
        assert number(cell.removeprefix("≤ ")) == near(entry["validation"]["kl"]["nats"], cell)
        assert cell.startswith("≤") == bool(entry["validation"].get("bound"))
    if kind == "samples":
        for column, key in (("kernel", "kernel"), ("precision", "precision"), ("least class", "least_class")):
            assert number(row[column]) == near(entry["validation"][key], row[column])
    if kind == "translation":
        for column, key in (("back to gray", "error_back"), ("read as its class", "class_accuracy")):
            assert number(row[column]) == near(entry["validation"][key], row[column])
    assert number(row["parameters"]) == entry["parameters"]
    assert row["seeds"] == ", ".join(map(str, entry["seeds"]))
    assert number(row["CPU seconds"]) == near(sum(entry["cpu_seconds"]) / len(entry["cpu_seconds"]), "0")
    recorded = [f"{row['command'].strip('`')} --seed {seed}" for seed in entry["seeds"]]
    assert recorded == entry["command"]


def test_rows_are_sorted_by_validation_best_first():
    for _, rows in tables(page(RESULTS, STUDIES)):
        column = next((column for column, _ in MAIN.values() if rows and column in rows[0]), None)
        if column and len(rows) > 1:
            values = [parts(row[column])[1] for row in rows]
            assert values == sorted(values, reverse=column == "validation")


# --- results that are to come ----------------------------------------------------------------------------------------


def test_order_follows_the_figures_whatever_the_names(one):
    best, worst = copy.deepcopy(one), copy.deepcopy(one)
    best["validation"]["nats"], worst["validation"]["nats"] = 5.0, 500.0
    (group,) = groups({"a": worst, "b": one, "c": best}, KINDS["likelihood"])
    assert list(group) == ["c", "b", "a"]
    accurate, poor = copy.deepcopy(RESULTS["classifier-digits"]), copy.deepcopy(RESULTS["classifier-digits"])
    poor["validation"]["accuracy"] = 0.2
    (group,) = groups({"a": poor, "b": accurate}, KINDS["classifier"])
    assert list(group) == ["b", "a"]


def test_a_variant_of_a_data_set_has_a_table_of_its_own(one):
    plain, color, more = (copy.deepcopy(one) for _ in range(3))
    color["data_options"] = {split: {"color": True, "n": 500} for split in ("train", "validation", "test")}
    more["data_options"] = {split: {"n": 77} for split in ("train", "validation", "test")}
    rows = rows_of({"plain-digits": plain, "color_vae-digits": color, "more-digits": more})
    (a,), (b,), (c,) = rows["plain-digits"], rows["color_vae-digits"], rows["more-digits"]
    assert a["above"] == c["above"] == ["Likelihood", "`digits`"], "the number of examples makes no variant"
    assert b["above"] == ["Likelihood", "`digits`: color"]


def test_a_test_figure_is_shown_only_where_it_is_recorded(one):
    without = copy.deepcopy(one)
    del without["test"]
    rows = rows_of({"with-digits": one, "without-digits": without})
    assert rows["without-digits"][0]["test, nats"] == rows["without-digits"][0]["test, bits/dim"] == ""
    assert parts(rows["with-digits"][0]["test, nats"])[1] == pytest.approx(one["test"]["nats"], abs=0.005)
    (alone,) = rows_of({"without-digits": without})["without-digits"]
    assert not [column for column in alone if column.startswith("test")], "a column with nothing in it"


def test_a_bound_is_marked_by_its_own_figures_only(one):
    exact = copy.deepcopy(one)
    for split in ("validation", "test"):
        del exact[split]["bound"]
    rows = rows_of({"a-digits": one, "b-digits": exact})
    for column in ("validation, nats", "validation, bits/dim", "test, nats", "test, bits/dim"):
        assert rows["a-digits"][0][column].startswith("≤ ")
        assert "≤" not in rows["b-digits"][0][column]


def test_a_single_seed_has_no_spread():
    assert KINDS["likelihood"].figure({"nats": 90.6, "stderr": 0.8}) == "90.60"
    assert KINDS["samples"].figure({"frechet": 12.34, "stderr": 3.0, "seed_std": 0.55}) == "12.3 ± 0.6"
    assert KINDS["likelihood"].figure(None) == ""


def test_hardware_and_versions_are_a_line_or_a_column_where_they_differ(one):
    other = {**one, "hardware": "another machine"}
    assert "made on" not in rows_of({"a": one, "b": one})["a"][0]
    assert f"Made on {one['hardware']}; garm_course {one['versions']['garm_course']}," in page({"a": one}, {})
    rows = rows_of({"a": one, "b": other})
    assert rows["a"][0]["made on"].startswith(one["hardware"])
    assert rows["b"][0]["made on"].startswith("another machine")


def test_a_published_figure_stands_beside_runs_on_the_same_data_only(one):
    static = {**one, "data": "binarized_mnist"}
    part = {**static, "data_options": {"train": {}, "validation": {}, "test": {"n": 100}}}
    rows = rows_of({"vae-binarized_mnist": static, "vae-mnist_thresholded": {**one, "data": "mnist_thresholded"}})
    (row,), (own,) = rows["vae-binarized_mnist"], rows["vae-mnist_thresholded"]
    assert row["published, test"].startswith("≤ 88.71 nats, [Burda")
    assert row["above"][1] == f"`binarized_mnist`: {VARIANTS['binarized_mnist']}"
    assert "published, test" not in own
    (row,) = rows_of({"vae-binarized_mnist": part})["vae-binarized_mnist"]
    assert "published, test" not in row, "a part of the test split does not compare"
    assert "Nothing published compares on `digits`:" in page({"a": one}, {})
    assert "Nothing published" not in page({"a": static}, {})


def test_every_published_figure_names_its_variant_and_its_source():
    (_, rows) = tables(page(RESULTS, STUDIES))[-1]
    assert len(rows) == len(PUBLISHED)
    for row, known in zip(rows, PUBLISHED, strict=True):
        assert row["data"] == VARIANTS[known.data]
        assert re.match(rf"(≤ )?{known.value:.2f} (nats|bits/dim)$", row["test"])
        assert re.fullmatch(r"\[.+ \(\d{4}\), arXiv (\d{4}\.\d{5}|\d{4}\.\d{4})\]\(https://arxiv.org/abs/[\d.]+\)",
                            row["source"])  # fmt: skip
        assert known.model == "" or known.model in {recipe.model for recipe in RECIPES.values()}


def test_an_unknown_kind_of_result_is_refused_and_not_left_out(one):
    with pytest.raises(ValueError, match="no kind of result 'audio'; known: likelihood, text, sound, samples, tr"):
        page({"a": {**one, "kind": "audio"}}, {})


def test_a_new_kind_is_one_class(one, monkeypatch):
    """The page, the command line and the order of rows follow it."""

    class Sizes(Kind):
        name, heading, about, key, unit, digits, sign, best = "size", "Sizes", "Room.", "kB", "size", 1, " kB", -1
        columns = (Column("files", "files", 0),)

        def measure(self, model, data, split):
            return {"kB": 3.5, "stderr": 0.1, "files": 2, "n": 1}

        def baselines(self, train, validation):
            return {"nothing": {"kB": 0.0, "stderr": 0.0, "n": 1}}

    monkeypatch.setitem(KINDS, "size", Sizes())
    figures = KINDS["size"].measure(None, None, "")
    entry = {**one, "kind": "size", "baselines": KINDS["size"].baselines(None, None), "floor": None}
    splits = ("train", "validation", "test")
    small, large = ({**entry, **{split: {**figures, "kB": kB} for split in splits}} for kB in (1.5, 2.5))
    text = page({"a-digits": small, "b-digits": large, "vae-digits": one}, {})
    assert text.index("## Likelihood") < text.index(
        "## Sizes\n\nRoom.\n\n### `digits`\n\nBaselines on validation: nothing"
    )
    rows = rows_of({"a-digits": small, "b-digits": large})
    assert list(rows) == ["b-digits", "a-digits"]
    assert (rows["a-digits"][0]["validation"], rows["a-digits"][0]["files"]) == ("1.5 kB", "2")
    printed = runs.table(large).splitlines()
    assert printed[0].split() == ["size", "kB", "±", "files"]
    assert printed[1].split() == ["nothing", "(validation)", "0.0", "0.0"]
    assert printed[3].split() == ["vae", "(validation)", "2.5", "0.1", "2"]
    assert runs.against_record({**large, "budget": "smoke"}, small).startswith("recorded for budget")


# --- studies ---------------------------------------------------------------------------------------------------------


def test_a_study_has_the_first_line_of_its_tool_and_its_command():
    (rows,) = [rows for above, rows in tables(page(RESULTS, STUDIES)) if above == ["Studies"]]
    for row, (name, study) in zip(rows, sorted(STUDIES.items()), strict=True):
        assert row["study"] == f"[{name}](results/studies/{name}.json)"
        assert row["command"] == f"`{study['command']}`"
        script = (ROOT / study["command"].split()[1]).read_text(encoding="utf-8")
        told = row["what it shows"].split(",")[0]
        assert told[1:] in script.splitlines()[0]
        assert "`" not in row["what it shows"]


def test_a_docstring_without_the_usual_words_is_taken_as_it_is():
    assert what_it_shows('"""Compare two things.\n\nMore."""') == "Compare two things."
    assert what_it_shows("x = 1") == ""


def test_a_study_without_its_script_is_told(tmp_path):
    (tmp_path / "results" / "studies").mkdir(parents=True)
    (tmp_path / "results" / "studies" / "a.json").write_text('{"command": "python studies/gone.py"}')
    with pytest.raises(ValueError, match=r"made by 'python studies/gone.py', which is no script in studies/; correct"):
        read_studies(tmp_path)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one result and no page yet."""
    (tmp_path / "results" / "studies").mkdir(parents=True)
    (tmp_path / "results" / "vae-digits.json").write_text(json.dumps(RESULTS["vae-digits"]), encoding="utf-8")
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    return tmp_path


def test_the_command_writes_the_page_and_check_writes_nothing(garm, checkout):
    stale = (1, "", "RESULTS.md is out of date; run: garm results\n")
    assert garm("results", "--check") == stale
    assert not (checkout / "RESULTS.md").exists()
    assert garm("results") == (0, f"written: {checkout / 'RESULTS.md'}\n", "")
    text = (checkout / "RESULTS.md").read_text(encoding="utf-8")
    assert text == page(read_results(checkout), {})
    assert garm("results", "--check") == garm("results") == (0, "RESULTS.md is up to date\n", "")
    assert sorted(path.name for path in checkout.iterdir()) == ["RESULTS.md", "results"]
    for changed in (text.replace("89.66", "79.66"), text + "\n", ""):
        assert changed != text
        (checkout / "RESULTS.md").write_text(changed, encoding="utf-8")
        assert garm("results", "--check") == stale
        assert (checkout / "RESULTS.md").read_text(encoding="utf-8") == changed


def test_check_finds_a_new_result(garm, checkout, one):
    garm("results")
    one["validation"]["nats"] += 0.01
    (checkout / "results" / "vae-digits.json").write_text(json.dumps(one), encoding="utf-8")
    assert garm("results", "--check")[0] == 1
    garm("results")
    (checkout / "results" / "vae2-digits.json").write_text(json.dumps(one), encoding="utf-8")
    assert garm("results", "--check")[0] == 1


def test_what_can_be_put_right_is_told_in_one_line(fails, checkout, monkeypatch):
    (checkout / "results" / "vae-digits.json").write_text("{")
    assert "vae-digits.json is damaged" in fails("results")
    assert not (checkout / "RESULTS.md").exists()
    monkeypatch.setattr(paths, "checkout", lambda: None)
    assert "'garm results' works in a clone of the repository" in fails("results")
    assert "'garm results' works in a clone of the repository" in fails("results", "--check")


def test_the_page_needs_no_pictures():
    code = "import sys, garm_course.recipes.page; print({'matplotlib', 'IPython', 'accelerate'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
