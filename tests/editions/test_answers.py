"""Blanking: what the students get, and that no answer gets out by a typing mistake."""

import pytest

from garm_course.editions import EditionError, blank, stub

CELL = '''\
# %% [markdown]
# Answers stand between `### BEGIN SOLUTION` and its END.

# %%
@check
def f(x):
    """Twice x."""
    y = x
    ### BEGIN SOLUTION
    secret = y + y
    return secret
    ### END SOLUTION


# %%
@check
class Model:
    def forward(self, x):
        if x:
            ### BEGIN SOLUTION
            return secret(x)
            ### END SOLUTION
        ### BEGIN SOLUTION
        return -secret(x)
        ### END SOLUTION

# %%
print(f(2))
'''


BLANKED = """\
# %% [markdown]
# Answers stand between `### BEGIN SOLUTION` and its END.

# %%
@check
def f(x):
    \"\"\"Twice x.\"\"\"
    y = x
    STUB


# %%
@check
class Model:
    def forward(self, x):
        if x:
            STUB
        STUB

# %%
print(f(2))
"""


def test_each_region_becomes_one_stub_at_the_marker_and_all_else_stays():
    assert blank(CELL) == BLANKED.replace("STUB", stub())


def test_a_blanked_text_has_nothing_left_to_blank():
    with pytest.raises(EditionError, match="@check and no"):
        blank(blank(CELL))


def test_the_stub_raises_only_when_the_function_is_called():
    names = {"check": lambda f: f}
    exec(blank(CELL.replace("print(f(2))", "")), names)
    with pytest.raises(NotImplementedError):
        names["f"](2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    ### END SOLUTION\n\n\n", "\n\n", "without '### END SOLUTION' in this cell"),
        ("    ### BEGIN SOLUTION\n    secret", "    secret", "without a BEGIN"),
        ("    secret = y", "    ### BEGIN SOLUTION\n    secret = y", "a second one before its END"),
        ("    ### BEGIN SOLUTION\n    secret", "    # BEGIN SOLUTION\n    secret", "looks like a marker"),
        ("    ### BEGIN SOLUTION\n    secret", "    ### begin solution\n    secret", "looks like a marker"),
        ("    ### END SOLUTION\n\n\n", "    ### END SOLUTION here\n\n\n", "looks like a marker"),
        ("    secret = y + y\n    return secret\n", "", "region is empty"),
        ("    secret = y + y", "    secret = y +", "not valid Python"),
        ("print(f(2))", "### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "module level"),
        ("print(f(2))", "if f:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION", "module level"),
        ("print(f(2))", "class C:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION", "module level"),
        ("print(f(2))", "@check\ndef g(x):\n    return x", "@check and no"),
        ("print(f(2))", "@garm_course.check\ndef g(x):\n    return x", "@check and no"),
    ],
)
def test_a_wrong_marker_is_an_error_that_names_its_line(old, new, message):
    assert old in CELL
    text = CELL.replace(old, new, 1)
    with pytest.raises(EditionError, match=message) as error:
        blank(text)
    line = int(str(error.value).split(":")[0].removeprefix("line "))
    assert 5 <= line <= len(text.splitlines())


def test_a_function_that_everybody_may_see_is_tagged():
    text = '# %% tags=["shown"]\n@check\ndef f(x):\n    return 2 * x\n'
    assert blank(text) == text


def test_an_answer_may_be_the_last_line_of_a_file_and_hold_a_function():
    head = "# %%\n@check\ndef f(x):\n"
    answer = "    def g(x):\n        return x\n\n    return g(x)\n"
    text = f"{head}    ### BEGIN SOLUTION\n{answer}    ### END SOLUTION"
    assert blank(text) == f"{head}    {stub()}\n"


REPAIR = """\
# %%
@check
def f(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### START
    # y = x  # a fault
    #
    # if y:
    #     return y
    ### END SOLUTION
"""


def test_an_exercise_may_start_from_code():
    begun = REPAIR[: REPAIR.index("    ### BEGIN")] + "    y = x  # a fault\n\n    if y:\n        return y\n"
    assert blank(REPAIR) == begun


@pytest.mark.parametrize(
    ("line", "words"), [("    return x", "must be a comment"), ("", "no code after")], ids=["code", "nothing"]
)
def test_starting_code_is_a_comment_and_not_empty(line, words):
    begin, end = REPAIR.index("    # y = x"), REPAIR.index("    ### END")
    with pytest.raises(EditionError, match=words):
        blank(REPAIR[:begin] + line + ("\n" if line else "") + REPAIR[end:])
