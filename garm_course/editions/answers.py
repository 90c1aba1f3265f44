"""From the solutions to the student edition: the text between two markers becomes a stub.

    def conv_mask(k: int, kind: str) -> Tensor:
        \"\"\"...\"\"\"
        ### BEGIN SOLUTION
        ...
        ### END SOLUTION

An exercise may start from code that is to be repaired, instead of a stub. It stands, as comments, at the end of the
region, after a line `### START`; the student edition holds it without the comment signs.

What is wrong with markers is an error and never a guess: an answer must not reach the students by a typing mistake.
"""

import ast
import re
from itertools import pairwise

from garm_course.editions.address import EditionError

BEGIN, START, END = "### BEGIN SOLUTION", "### START", "### END SOLUTION"
# A cell with this tag shows a finished function under `@check` to everybody, on purpose.
SHOWN = "shown"

_LOOKS_LIKE_MARKER = re.compile(r"#\s*(begin|end)[\s_-]*(of[\s_-]*)?solutions?\b", re.IGNORECASE)
_CELL = re.compile(r"^# %%")
_CHECKED = re.compile(r"^\s*@(\w+\.)*check\b", re.MULTILINE)


def stub() -> str:
    """The line that stands where an answer was; `check` knows it as "not attempted"."""
    from garm_course.exercises.registry import STUB

    return STUB


def blank(text: str) -> str:
    """The student edition of a lesson: a stub (or its starting code) for every region, all else unchanged.

    Args:
        text: the lesson in percent format.

    Raises:
        EditionError: a marker without its partner or misspelled, a region that is not inside a function, an empty
            region, a function under `@check` without a region, or a cell with a region that is not valid Python.
    """
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if _CELL.match(line)]
    edges = sorted({0, *starts, len(lines)})
    blanked = [_blank_cell(lines[a:b], first=a + 1) for a, b in pairwise(edges)]
    return "\n".join(line for cell in blanked for line in cell) + "\n"


def _blank_cell(lines: list[str], first: int) -> list[str]:
    """One cell; `first` is the number of its first line in the file, for messages."""
    if lines and "[markdown]" in lines[0]:
        return lines
    regions: list[tuple[int, int]] = []
    opened = None
    for i, line in enumerate(lines):
        marker = line.strip()
        if marker == BEGIN and opened is None:
            opened = i
        elif marker == END and opened is not None:
            regions.append((opened, i))
            opened = None
        elif marker in (BEGIN, END):
            partner = "a second one before its END" if marker == BEGIN else "without a BEGIN in this cell"
            raise EditionError(f"line {first + i}: {marker!r} {partner}; write one BEGIN and one END per region")
        elif _LOOKS_LIKE_MARKER.search(line):
            raise EditionError(f"line {first + i}: {marker!r} looks like a marker; write {BEGIN!r} or {END!r} alone")
    if opened is not None:
        raise EditionError(f"line {first + opened}: {BEGIN!r} without {END!r} in this cell; add it after the answer")

    code = "\n".join(lines)
    if not regions:
        if _CHECKED.search(code) and f'"{SHOWN}"' not in lines[0]:
            raise EditionError(
                f"line {first}: a cell with @check and no {BEGIN!r} would give its answer away; "
                f"mark the answer, or tag the cell {SHOWN!r} if everybody may see it"
            )
        return lines
    answers = [(a, next((i for i in range(a, b) if lines[i].strip() == START), b)) for a, b in regions]
    _require_inside_functions(lines, answers, first)

    result, at = [], 0
    for begin, end in regions:
        indent = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
        result += [*lines[at:begin], *(_starting_code(lines, begin, end, first) or [indent + stub()])]
        at = end + 1
    return result + lines[at:]


def _starting_code(lines: list[str], begin: int, end: int, first: int) -> list[str]:
    """The lines after `### START` without their comment signs; none for a region without that line."""
    starts = [i for i in range(begin, end) if lines[i].strip() == START]
    if not starts:
        return []
    code = []
    for i in range(starts[0] + 1, end):
        match = re.fullmatch(r"(\s*)#(?: (.*))?", lines[i])
        if not match:
            raise EditionError(f"line {first + i}: code after {START!r} must be a comment, '# ' before each line")
        code.append((match[1] + match[2]) if match[2] else "")
    if not any(code):
        raise EditionError(f"line {first + starts[0]}: no code after {START!r}; leave the marker out for a stub")
    return code


def _require_inside_functions(lines: list[str], regions: list[tuple[int, int]], first: int) -> None:
    """Refuse a region that is not the inside of a function's body: its stub would stop the notebook."""
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError as error:
        line = first + (error.lineno or 1) - 1
        raise EditionError(f"line {line}: the cell of an answer is not valid Python ({error.msg})") from None
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    for begin, end in regions:
        inside = [s for s in statements if begin + 1 < s.lineno and s.end_lineno < end + 1]
        if not inside:
            raise EditionError(f"line {first + begin}: the region is empty; put the answer between the markers")
        if not any(f.body[0].lineno <= min(s.lineno for s in inside) and end <= f.end_lineno + 1 for f in functions):
            raise EditionError(
                f"line {first + begin}: a region at module level; an answer stands inside a function, "
                "so that its stub raises only when it is called"
            )
