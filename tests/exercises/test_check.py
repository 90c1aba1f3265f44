"""`@check` outside of a notebook: what it returns and prints; the verdict's two forms."""

import functools

import pytest
import torch
from answers import conv_mask as right

from garm_course.autoregressive.layers.causal_conv import conv_mask as reference
from garm_course.exercises import STUB, CheckFailed, Result, check, checking, is_reference, registry
from garm_course.exercises.verdict import Verdict


def defined(source: str, **names) -> dict:
    """The globals of a notebook cell in which this source was run."""
    space = {"check": check, "reference": reference, "torch": torch, **names}
    exec(source, space)
    return space


RIGHT = """@check
def conv_mask(k, kind):
    mask = torch.zeros(k, k)
    mask.view(-1)[: k * k // 2 + (kind == "B")] = 1
    return mask
"""
WRONG = "@check\ndef conv_mask(k, kind):\n    return reference(k, kind).T\n"
BLANK = f"@check\ndef conv_mask(k, kind):\n    {STUB}\n"


def test_right_answer_is_what_the_notebook_goes_on_with(capsys):
    mine = defined(RIGHT)["conv_mask"]
    assert mine.__code__.co_filename == "<string>"
    assert not is_reference(mine)
    assert capsys.readouterr().out == "conv_mask: passed\nThe notebook goes on with your own code.\n"


def test_wrong_answer_is_replaced_by_the_reference(capsys):
    name = defined(WRONG)["conv_mask"]
    assert is_reference(name)
    assert torch.equal(name(5, "B"), reference(5, "B"))
    assert torch.equal(name.mine(5, "B"), reference(5, "B").T)
    assert torch.equal(name.retry(), reference(3, "A").T)
    assert capsys.readouterr().out == (
        "conv_mask: not yet\n"
        "Your mask goes through the columns first. Raster order is row by row: all of the rows above are known.\n"
        "Expected 1, got 0 at row 0, column 2 (2 of 9 numbers differ). The call: conv_mask(3, 'A').\n"
        "The notebook goes on with the course's code. Yours is conv_mask.mine; the call that failed: "
        "conv_mask.mine(3, 'A')\n"
    )


def test_blank_answer(capsys):
    returned = defined(BLANK)["conv_mask"]
    assert is_reference(returned)
    assert torch.equal(returned(5, "B"), reference(5, "B"))
    assert capsys.readouterr().out.startswith("conv_mask: not attempted\nWrite your answer in place of")


def test_reference_is_recognized(capsys):
    assert check(reference) is reference
    assert "This is the course's reference; run the cell that defines yours." in capsys.readouterr().out


def test_printed_text_of_a_wrong_answer_is_shown(capsys):
    defined("@check\ndef conv_mask(k, kind):\n    print('k =', k)\n    print('kind', kind)\n")
    assert "It printed:\n| k = 3\n| kind A\n" in capsys.readouterr().out


@pytest.mark.parametrize("make", [lambda f: lambda k, kind: f(k, kind), lambda f: functools.partial(f)])
def test_name_of_the_variable_counts_where_the_object_has_none(make, capsys):
    space = defined("conv_mask = make(right)\nresult = check(conv_mask)", make=make, right=right)
    assert space["result"] is space["conv_mask"]
    assert capsys.readouterr().out.startswith("conv_mask: passed")


def test_unknown_name_is_explained_and_nothing_is_replaced(capsys):
    space = defined("@check\ndef conv_maks(k, kind):\n    return 3\n")
    assert space["conv_maks"](1, 2) == 3
    assert "No exercise is named 'conv_maks'; did you mean 'conv_mask'?" in capsys.readouterr().out
    defined("check(lambda x: x)")
    assert "No exercise is named" in capsys.readouterr().out


def test_right_but_slow_answer_is_replaced_with_a_notice(make, capsys):
    def double(x):
        return 2 * x

    make(double, [registry.same(torch.ones(3))], speed=registry.Speed(lambda: (torch.ones(3),), seconds=-1.0))
    assert is_reference(defined("@check\ndef double(x):\n    return x + x\n")["double"])
    out = capsys.readouterr().out
    assert out.startswith("double: passed\nRight, but too slow")
    assert out.endswith("The notebook goes on with the course's code. Yours is double.mine.\n")


def test_a_broken_check_does_not_stop_the_notebook(monkeypatch, capsys):
    monkeypatch.setattr(checking, "_judge", lambda *args: 1 / 0)
    assert is_reference(defined(RIGHT)["conv_mask"])
    assert "fault of the course" in capsys.readouterr().out


@pytest.mark.parametrize("source", [WRONG, BLANK])
def test_grading_raises_and_never_hands_out_the_course_s_code(source, monkeypatch, capsys):
    monkeypatch.setenv("GARM_GRADING", "1")
    space = {"check": check, "reference": reference, "torch": torch}
    with pytest.raises(CheckFailed, match="conv_mask: not "):
        exec(source, space)
    assert space["conv_mask"].__code__.co_filename == "<string>"
    assert not hasattr(space["conv_mask"], "mine")
    exec(RIGHT, space)
    assert not is_reference(space["conv_mask"])
    assert capsys.readouterr().out.endswith("conv_mask: passed\nThe notebook goes on with your own code.\n")


@pytest.mark.parametrize("off", ["", "0"])
def test_grading_is_off(off, monkeypatch):
    monkeypatch.setenv("GARM_GRADING", off)
    name = defined(WRONG)["conv_mask"]
    assert is_reference(name)
    assert torch.equal(name(5, "B"), reference(5, "B"))
    assert torch.equal(name.mine(5, "B"), reference(5, "B").T)
    assert torch.equal(name.retry(), reference(3, "A").T)


def test_html_is_the_escaped_text_in_a_frame():
    verdict = Verdict("conv_mask", Result("not yet", '<b>expected</b> & "got"', printed="<script>"), "It goes on.")
    html = verdict._repr_html_()
    assert 'role="status"' in html
    assert "not yet" in html  # the state in words, not only by color
    assert "&lt;b&gt;expected&lt;/b&gt; &amp; &quot;got&quot;" in html
    assert "<script>" not in html
    assert "| &lt;script&gt;" in html


def test_verdict_is_the_same_text_every_time(capsys):
    source = "@check\ndef conv_mask(k, kind):\n    print(object())\n    raise ValueError(str(object()))\n"
    texts = []
    for _ in range(2):
        defined(source)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "0x..." in texts[0]


def test_code_and_emphasis_are_set_and_not_printed_raw():
    hint = "order[0] is the *index* of the first: `torch.argsort(order)`; 2 * 3 * 4, a*b, `x**2 < 3`."
    html = Verdict("made_masks", Result("not yet", hint, printed="*as* `it` is"))._repr_html_()
    assert (
        "the <em>index</em> of the first: <code>torch.argsort(order)</code>; 2 * 3 * 4, a*b, <code>x**2 &lt; 3</code>."
        in html
    )
    assert "| *as* `it` is" in html
