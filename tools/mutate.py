"""Break the library in small ways, one at a time, and see whether a fast test notices.

    .venv/bin/python tools/mutate.py VERDICTS.jsonl [--spots 200] [--seed 0] [--room NAME]

Spots are drawn from a seed, one room after another, so that a run that is stopped has seen all of them. At each, one
comparison, operator, constant, boolean, statement or argument is changed in a copy of the checkout, and the fast tests
of its room and those elsewhere that import its module run until the first failure. A verdict is one line of JSON:

    killed      a test failed that passes without the change
    survived    all of them passed: either the change makes no difference, or a test is missing
    timed out   the limit of processor time was reached: an endless loop, which a person would notice

A run goes on where the file ends; to judge a survivor again after a new test, delete its line. What all tests import
is imported once, and every spot is a fork of that process, so this needs Linux or macOS.
"""

import argparse
import ast
import importlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("autoregressive", "latent", "adversarial", "distributions", "evaluation", "training", "weights", "datasets",
         "transforms", "exercises")  # fmt: skip
FAST = ("-x", "-q", "--tb=no", "--disable-plugin-autoload", "-p", "no:cacheprovider", "-p", "no:faulthandler",
        "-m", "not slow and not browser")  # fmt: skip
SECONDS, MEMORY = 300, 8 * 2**30  # of a processor, and bytes, for the tests of one spot
SHARED = ("torch._dynamo", "safetensors.torch", "accelerate", "matplotlib.pyplot", "scipy.stats", "sklearn.datasets",
          "sklearn.linear_model", "IPython", "ipywidgets", "nbformat", "typer", "yaml", "pooch", "pytest")  # fmt: skip
WAIT = 20  # times that long by the clock, for a lock or a process that never comes
OPERATORS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


class Spot(NamedTuple):
    """One small change: what stands in `module` from `start` to `end` (bytes) becomes `after`."""

    module: str
    line: int
    start: int
    end: int
    kind: str
    before: str
    after: str


# --- what can be changed ---------------------------------------------------------------------------------------------


def changed(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every way to change one node of a syntax tree: a kind, and the new node."""
    match node:
        case ast.Compare(left, [op], right) if type(op) in OPERATORS:
            yield "comparison", ast.Compare(left, [OPERATORS[type(op)]()], right)
        case ast.BoolOp(op, values):
            yield "boolean", ast.BoolOp(OPERATORS[type(op)](), values)
        case ast.BinOp(left, op, right) if type(op) in OPERATORS and not (is_text(left) or is_text(right)):
            yield "operator", ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.UnaryOp(ast.USub(), operand):
            yield "operator", operand
        case ast.UnaryOp(ast.Not(), operand):
            yield "boolean", operand
        case ast.Constant(bool(value)):
            yield "boolean", ast.Constant(not value)
        case ast.Constant(int(value)):
            yield "constant", ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield "constant", ast.Constant(2 * value or 1.0)
        case ast.Call(function, [first, second, *rest], keywords) if ast.dump(first) != ast.dump(second):
            if not any(isinstance(argument, ast.Starred) for argument in (first, second)):
                yield "argument", ast.Call(function, [second, first, *rest], keywords)
        case ast.Expr(ast.Call()) | ast.AugAssign():
            yield "statement", ast.Pass()
    if isinstance(node, ast.Call) and node.keywords and node.keywords[-1].arg:
        yield "argument", ast.Call(node.func, node.args, node.keywords[:-1])


def is_text(node: ast.AST) -> bool:
    """Whether an operand is a piece of text, whose operators only put words together."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes whose change can matter: without annotations, decorators, imports, texts and what errors say."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.JoinedStr | ast.Import):
                    yield from nodes(child)


def spots(module: str, source: bytes) -> list[Spot]:
    """Every change that can be made to one module, in the order of its text."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in nodes(ast.parse(source)):
        for kind, new in changed(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            after = ast.unparse(ast.fix_missing_locations(new))
            if not isinstance(new, ast.Constant | ast.Pass):
                after = f"({after})"
            found.append(Spot(module, node.lineno, start, end, kind, source[start:end].decode(), after))
    return found


def applied(spot: Spot, source: bytes) -> bytes:
    """The source of a module with the change made."""
    return source[: spot.start] + spot.after.encode() + source[spot.end :]


def modules(root: Path, room: str) -> list[Path]:
    """The files of a room, which is a folder of the package or a single module."""
    place = root / "garm_course" / room
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def drawn(root: Path, rooms: tuple[str, ...], seed: int, n: int) -> list[Spot]:
    """The first n spots of a seed, one room after another; a room that has no more is left out."""
    decks = []
    for room in rooms:
        deck = [s for file in modules(root, room) for s in spots(file.relative_to(root).as_posix(), file.read_bytes())]
        random.Random(f"{seed} {room}").shuffle(deck)
        decks.append(deck)
    result = []
    while len(result) < n and any(decks):
        result += [deck.pop() for deck in decks if deck]
    return result[:n]


# --- which tests look at a module ------------------------------------------------------------------------------------


class Imports:
    """Which module of the package each test file imports names from, also through the lazy exports of a room.

    Args:
        root: the checkout.
    """

    def __init__(self, root: Path):
        self.root = root
        self.defined = {}  # a name to the modules that define it
        for file in sorted((root / "garm_course").rglob("*.py")):
            module = file.relative_to(root).as_posix()
            for node in ast.parse(file.read_bytes()).body:
                for name in names_of(node):
                    self.defined.setdefault(name, []).append(module)
        self.tests = {file: self.imported(file) for file in sorted((root / "tests").rglob("*.py"))}

    def imported(self, file: Path) -> set[str]:
        """The modules that a file imports from, as paths in the checkout."""
        found = set()
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("garm_course"):
                place = node.module.replace(".", "/")
                for name in (alias.name for alias in node.names):
                    candidates = (f"{place}.py", f"{place}/{name}.py", f"{place}/__init__.py")
                    found |= {path for path in candidates if (self.root / path).exists()}
                    found |= {path for path in self.defined.get(name, ()) if path.startswith(f"{place}/")}
        return found

    def of(self, module: str) -> list[list[str]]:
        """Test files to run for a module, likely ones first: each of its room that imports it; then all others."""
        room = module.split("/")[1].removesuffix(".py")
        near = {file for file in self.tests if room in file.relative_to(self.root).parts or file.stem == f"test_{room}"}
        direct = {file for file, imported in self.tests.items() if module in imported}
        groups = [*([file] for file in sorted(near & direct)), [*sorted(near - direct), *sorted(direct - near)]]
        groups = [[f.relative_to(self.root).as_posix() for f in g if f.name.startswith("test_")] for g in groups]
        return [group for group in groups if group]


def names_of(statement: ast.stmt) -> list[str]:
    """What a statement at the top of a module defines."""
    match statement:
        case ast.ClassDef(name) | ast.FunctionDef(name):
            return [name]
        case ast.Assign(targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


# --- a verdict -------------------------------------------------------------------------------------------------------


class Judge:
    """Runs tests in forks of this process, in a copy of the checkout.

    Args:
        copy: the copy, which is changed and put back.
        seconds: of a processor, for one run of tests.
    """

    def __init__(self, copy: Path, seconds: int = SECONDS):
        self.copy, self.seconds, self.imports = copy, seconds, Imports(copy)
        self.healthy = {}  # a test that failed at some spot: whether it passes without a change
        self.clock = 0  # of changed files: no compiled module of another change may be taken for this one's

    def verdict(self, spot: Spot) -> dict:
        """Make the change, run the tests, and undo it."""
        file = self.copy / spot.module
        source, before = file.read_bytes(), file.stat()
        self.clock += 1
        status, test = "passed", ""
        try:
            file.write_bytes(applied(spot, source))
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + self.clock * 10**9))
            for tests in self.imports.of(spot.module):
                status, test = self.run(tests)
                if status != "passed":
                    break
        finally:
            file.write_bytes(source)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        if status == "failed" and not self.passes(test):
            status = "no verdict"
        words = {"passed": "survived", "failed": "killed"}
        return {**spot._asdict(), "verdict": words.get(status, status), "test": test}

    def passes(self, test: str) -> bool:
        """Whether a test passes where nothing was changed."""
        if test not in self.healthy:
            self.healthy[test] = self.run([test])[0] == "passed"
        return self.healthy[test]

    def run(self, tests: list[str]) -> tuple[str, str]:
        """Run tests in a fork: "passed", "failed" or "timed out", and the first test that failed."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            os.setsid()
            self.tests_in_this_process(tests, writing)
        os.close(writing)
        guard = subprocess.Popen(["sh", "-c", f"sleep {self.seconds * WAIT}; kill -9 -{child}"], start_new_session=True)
        with os.fdopen(reading) as pipe:
            told = pipe.readline().strip()
        _, ended = os.waitpid(child, 0)
        for group in (child, guard.pid):  # also what tests had started, and the sleep
            with suppress(ProcessLookupError):
                os.killpg(group, 9)
        guard.wait()
        if not os.WIFEXITED(ended):
            return "timed out", ""
        return ("passed" if os.WEXITSTATUS(ended) == 0 else "failed"), told

    def tests_in_this_process(self, tests: list[str], writing: int) -> None:
        """Run pytest under limits, write the first failure to the pipe, and leave the process."""
        import pytest

        resource.setrlimit(resource.RLIMIT_CPU, (self.seconds, self.seconds))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os.chdir(self.copy)
        os.environ["PYTHONPATH"] = str(self.copy)
        sys.path.insert(0, str(self.copy))

        class First:
            def pytest_runtest_logreport(self, report):
                if report.failed:
                    os.write(writing, f"{report.nodeid}\n".encode())

            def pytest_collectreport(self, report):
                if report.failed:
                    os.write(writing, f"{report.nodeid}\n".encode())

        status = 1
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                status = pytest.main([*FAST, *tests], plugins=[First()])
        finally:
            os._exit(int(status))


def table(verdicts: list[dict]) -> str:
    """Verdicts by room."""
    words = ("killed", "survived", "timed out", "no verdict")
    rows = {room: Counter(v["verdict"] for v in verdicts if room_of(v) == room) for room in ROOMS}
    rows["all"] = sum(rows.values(), Counter())
    lines = [f"{'room':16}" + "".join(f"{word:>12}" for word in words)]
    lines += [f"{room:16}" + "".join(f"{counts[word]:12}" for word in words) for room, counts in rows.items()]
    return "\n".join(lines)


def room_of(verdict: dict) -> str:
    """The room of a spot."""
    return verdict["module"].split("/")[1].removesuffix(".py")


def copied(root: Path, target: Path) -> Path:
    """A copy of the files that git knows of, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (root / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    return target


def main() -> None:
    """Draw spots, judge those that the file does not hold yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verdicts", type=Path)
    parser.add_argument("--spots", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--room", choices=ROOMS, action="append", help="only this room; may be given several times")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GARM_PROGRESS="0")
    for name in SHARED:
        importlib.import_module(name)
    verdicts = [json.loads(line) for line in options.verdicts.open()] if options.verdicts.exists() else []
    known = {tuple(v[field] for field in Spot._fields) for v in verdicts}
    with tempfile.TemporaryDirectory() as folder, options.verdicts.open("a") as file:
        judge = Judge(copied(ROOT, Path(folder)))
        for spot in drawn(judge.copy, tuple(options.room or ROOMS), options.seed, options.spots):
            if tuple(spot) not in known:
                verdicts.append(judge.verdict(spot))
                file.write(json.dumps(verdicts[-1]) + "\n")
                file.flush()
                print(f"{spot.module}:{spot.line} {spot.kind}: {verdicts[-1]['verdict']}", flush=True)
    print(table(verdicts))


if __name__ == "__main__":
    main()
