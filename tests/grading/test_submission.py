"""What is taken from a notebook: definitions by name and what they need, whatever else does not parse."""

import ast
import json

import pytest

from garm_course.grading.submission import Unreadable, read


def notebook(*cells, bom=b""):
    return bom + json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]}).encode()


def taken(raw, name="answer"):
    """The lines that the answer needs."""
    found = read(raw, [name])
    return [ast.unparse(found.statements[k].node) for k in found.needed]


RIGHT = "def answer(x):\n    return x"


def test_only_what_an_answer_needs_is_taken():
    raw = notebook("import a\nimport b\nslow()\nk = 3", "def helper(t):\n    return b.f(t) + k", "train()",
                   "def answer(x):\n    t = [k for k in x]\n    return helper(x)", "answer(3)")  # fmt: skip
    assert taken(raw) == ["import b", "k = 3", "def helper(t):\n    return b.f(t) + k",
                          "def answer(x):\n    t = [k for k in x]\n    return helper(x)"]  # fmt: skip


def test_names_of_a_functions_own_pull_nothing():
    answer = "def answer(x):\n    t = x\n    g = lambda z: z\n    return t"
    raw = notebook("for x in range(9): train()", "t = slow()", answer, "z = slow()", "g = slow()")
    assert len(taken(raw)) == 1


@pytest.mark.parametrize(
    "cells",
    [
        ["def (", RIGHT],
        [f"{RIGHT}\n\nx ="],
        [f"x = = 3\n@check\n{RIGHT}"],
        [f"%matplotlib inline\n!pip install x\nfiles = !ls\nprint?\n{RIGHT}"],
        [f"%%time\n{RIGHT}", "%%bash\nls -l"],
        [[RIGHT[:10], RIGHT[10:], None, 3], None],
    ],
    ids=["other_cell", "same_cell", "before_it", "magics", "cell_magics", "null_and_mixed_sources"],
)
def test_one_bad_line_costs_only_itself(cells):
    assert taken(notebook(*cells))[-1].endswith(RIGHT)


def test_byte_order_marks_and_format_3():
    assert taken(notebook(RIGHT, bom=b"\xef\xbb\xbf")) == [RIGHT]
    sheets = {"worksheets": [{"cells": [{"cell_type": "code", "input": [RIGHT]}, None]}, None]}
    assert taken(json.dumps(sheets).encode()) == [RIGHT]


@pytest.mark.parametrize(
    "raw",
    [b"", b"%PDF-1.7", b"<html>", b'{"cells": [', "{}".encode("utf-16"), b"[]", b"{}", b"[" * 200_000, b"3",
     b'{"cells": 3}', b'{"worksheets": 3}'],
    ids=["empty", "pdf", "html", "cut", "utf-16", "list", "no_cells", "deep", "number", "cells", "sheets"],
)  # fmt: skip
def test_what_is_no_notebook_is_told_in_a_sentence(raw):
    with pytest.raises(Unreadable, match=r"^the file is not a notebook: "):
        read(raw, ["answer"])
