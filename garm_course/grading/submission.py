"""From the bytes of a notebook to the statements that its answers need: parsed cell by cell, never executed as a whole.

One cell that does not parse costs only itself: its definitions are kept where they parse alone. Of the rest, an answer
takes what binds the names that it uses, however far back.
"""

import ast
import contextlib
import json
import re
from typing import NamedTuple

PYTHON_MAGICS = re.compile(r"%%(time|timeit|capture|prun)\b")
SHELL = re.compile(r"^(?:[%!?]|[\w., ]+=\s*[%!])")
FLAGGED_MODULES = {
    "builtins", "ctypes", "gc", "importlib", "inspect", "marshal", "multiprocessing", "os", "pickle", "signal",
    "socket", "subprocess", "sys", "threading",
}  # fmt: skip
FLAGGED_NAMES = {"open", "exec", "eval", "compile", "__import__", "globals"}
FLAGGED_ATTRIBUTES = {
    "reference", "__code__", "__globals__", "__subclasses__", "__closure__", "__wrapped__", "__builtins__", "getsource",
    "_getframe", "f_back", "cell_contents", "get_objects", "get_referrers", "modules",
}  # fmt: skip
Import, Definition = (ast.Import, ast.ImportFrom), (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Unreadable(Exception):
    """Why a file is no notebook, in one sentence."""


class Statement(NamedTuple):
    """One top-level statement and the number of its code cell, from 1."""

    cell: int
    node: ast.stmt


class Reading(NamedTuple):
    """What a notebook says about some exercises."""

    statements: list[Statement]
    needed: list[int]  # which of them the answers need, in order
    defined: dict[str, list[int]]  # exercise -> the statements that bind its name
    notes: list[str]  # cells that do not parse
    others: list[str]  # names of all functions and classes
    flags: list[str]
    sources: list[str]  # of the code cells, as they are executed


def read(raw: bytes, names: list[str]) -> Reading:
    """What a notebook says about exercises.

    Args:
        raw: the file.
        names: of the exercises.

    Raises:
        Unreadable: it is no notebook.
    """
    sources = [plain(source) for source in code_cells(raw)]
    found, notes = statements(sources)
    defined = {name: [k for k, one in enumerate(found) if name in binds(one.node)] for name in names}
    needed = needed_by(found, [k for places in defined.values() for k in places])
    others = {name for one in found if isinstance(one.node, Definition) for name in binds(one.node)}
    flags = sorted({flag for k in needed for flag in flagged(found[k].node, set(names))})
    return Reading(found, needed, defined, notes, sorted(others), flags, sources)


def code_cells(raw: bytes) -> list[str]:
    """The code cells of a notebook, in format 4 or 3.

    Raises:
        Unreadable: it is no notebook.
    """
    try:
        notebook = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unreadable("the file is not a notebook: save it as .ipynb and submit it again") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if cells is None and isinstance(notebook, dict) and isinstance(notebook.get("worksheets"), list):
        sheets = [sheet.get("cells") for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise Unreadable("the file is not a notebook: it has no cells")
    return [text(cell.get("source", cell.get("input"))) for cell in cells
            if isinstance(cell, dict) and cell.get("cell_type") == "code"]  # fmt: skip


def text(source: object) -> str:
    """The source of a cell, a string or a list of lines."""
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def plain(source: str) -> str:
    """A cell without what only a notebook understands; lines keep their numbers."""
    lines = source.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].startswith("%%"):
        if not PYTHON_MAGICS.match(lines[first]):
            return ""
        lines[first] = ""
    for i, line in enumerate(lines):
        bare = line.strip()
        if SHELL.match(bare) or (bare.endswith("?") and not bare.startswith("#") and _fails(bare)):
            lines[i] = line[: len(line) - len(line.lstrip())] + "pass"
    return "\n".join(lines)


def _fails(line: str) -> bool:
    return bool(re.fullmatch(r"[\w.]+\?{1,2}", line))


def statements(sources: list[str]) -> tuple[list[Statement], list[str]]:
    """The statements of all cells that parse, and a note about each of the others."""
    found, notes = [], []
    for number, source in enumerate(sources, 1):
        try:
            body = ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            body = _saved(source)
            where = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
            notes.append(f"code cell {number}{where} does not parse: {getattr(error, 'msg', type(error).__name__)}")
        found += [Statement(number, node) for node in body]
    return found, notes


def _saved(source: str) -> list[ast.stmt]:
    """The top-level blocks of a cell that parse although the cell does not."""
    lines = source.splitlines()
    starts = [i for i, line in enumerate(lines) if line and not line[0].isspace() and line[0] not in "#)]}"]
    body, start = [], None
    for i, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        start = i if start is None else start
        if lines[i].startswith("@"):  # goes with what is below
            continue
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            # blank lines in front keep the numbers of lines
            body += ast.parse("\n" * start + "\n".join(lines[start:end])).body
        start = None
    return body


def binds(node: ast.AST) -> set[str]:
    """The names that a statement binds."""
    if isinstance(node, Definition):
        return {node.name}
    if isinstance(node, Import):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    inner = {one.name for one in ast.walk(node) if isinstance(one, Definition)}
    return inner | {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def uses(node: ast.AST) -> set[str]:
    """The names that a statement may need from outside; those that a function binds for itself are not among them."""
    if isinstance(node, ast.ClassDef):
        return {name for part in [*node.decorator_list, *node.bases, *node.keywords, *node.body] for name in uses(part)}
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
    outer = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    loaded, own, shared = set(), {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}, set()
    for one in (one for part in node.body for one in ast.walk(part)):
        if isinstance(one, ast.Name):
            (loaded if isinstance(one.ctx, ast.Load) else own).add(one.id)
        elif isinstance(one, Import):
            own |= binds(one)
        elif isinstance(one, Definition):
            own.add(one.name)
        elif isinstance(one, ast.arg):
            own.add(one.arg)
        elif isinstance(one, ast.Global):
            shared |= set(one.names)
    return (loaded - (own - shared)) | shared | {name for part in outer for name in uses(part)}


def needed_by(found: list[Statement], wanted: list[int]) -> list[int]:
    """The statements that some need, themselves included, in order."""
    where: dict[str, list[int]] = {}
    for k, one in enumerate(found):
        for name in binds(one.node):
            where.setdefault(name, []).append(k)
    left = wanted + where.get("*", [])
    needed = set()
    while left:
        k = left.pop()
        if k not in needed:
            needed.add(k)
            left += [j for name in uses(found[k].node) for j in where.get(name, [])]
    return sorted(needed)


def flagged(node: ast.AST, names: set[str]) -> set[str]:
    """What an instructor may want to look at; it decides nothing."""
    flags = set()
    for one in ast.walk(node):
        if isinstance(one, ast.ImportFrom) and (one.module or "").startswith("garm_course"):
            flags |= {f"imports the course's {alias.name}" for alias in one.names if alias.name in names}
        if isinstance(one, Import):
            modules = [one.module or ""] if isinstance(one, ast.ImportFrom) else [alias.name for alias in one.names]
            flags |= {f"imports {module}" for module in modules if module.split(".")[0] in FLAGGED_MODULES}
        if isinstance(one, ast.Attribute) and one.attr in FLAGGED_ATTRIBUTES:
            flags.add(f"uses .{one.attr}")
        if isinstance(one, ast.Name) and one.id in FLAGGED_NAMES:
            flags.add(f"uses {one.id}")
    return flags
