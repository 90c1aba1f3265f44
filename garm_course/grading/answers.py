"""The child's side of grading: it holds a student's functions and calls them; no probe, no verdict. Run by `Sandbox`.

What it says is data that the judge compares with what it computes by itself.
"""

import ast
import contextlib
import inspect
import linecache
import os
import sys
import types
from pathlib import Path
from typing import Any

HERE = "garm_course.exercises", "garm_course.lessons"


def main(questions: int, answers: int) -> None:
    """Answer until the pipe ends."""
    from garm_course.grading.player import read, told, write

    first, _ = read(questions)
    os.environ["GARM_PROBE_SEED"] = first["seed"]  # a probe may draw numbers where it calls the answer
    sys.path[:] = [*first["path"], *(entry for entry in sys.path if entry not in first["path"])]
    import cloudpickle  # noqa: F401
    import torch

    from garm_course import check  # noqa: F401  # the lazy names of the package are there before the door closes
    from garm_course.grading import walls
    from garm_course.grading.wire import encode

    torch.set_num_threads(1)
    torch.backends.cpu.get_cpu_capability()  # asks the system about the processor now: later, Landlock closes /sys
    student = Student(first["names"])
    walls.close_in(**{name: first[name] for name in ("folder", "memory", "path", "hidden", "modules", "why")})
    student.hide_the_exercises()
    write(answers, b"A")
    while True:
        values, data = read(questions)
        try:
            said = encode(getattr(student, values["word"])(values, data))
        except BaseException as error:  # SystemExit and KeyboardInterrupt as well
            write(answers, b"E", told(error).encode(errors="replace")[:400])
        else:
            write(answers, b"A", said)


class Student:
    """A notebook's definitions, and the calls of them.

    Args:
        names: of the exercises.
    """

    def __init__(self, names: list[str]):
        from garm_course.exercises import arguments, attempt, world
        from garm_course.grading import submission

        self.submission, self.names, self.arguments, self.attempt, self.world = (
            submission,
            names,
            arguments,
            attempt,
            world,
        )
        self.answers: dict[str, Any] = {}
        self.space: dict[str, Any] = {
            "__name__": "__main__", "get_ipython": lambda: None, "display": lambda *args, **options: None,
            "check": _check,
        }  # fmt: skip

    def hide_the_exercises(self) -> None:
        """`garm_course.exercises` as an answer sees it: `check` returns what it is given, the rest refuses."""
        import garm_course

        def closed(*args: Any, **options: Any) -> None:
            raise PermissionError("the course's exercises are closed while an answer is graded")

        module = types.ModuleType(HERE[0])
        module.check, module.is_reference = _check, lambda function: False
        module.get = module.exercises = module.grade = module.progress = closed
        sys.modules[HERE[0]] = garm_course.exercises = module
        for name in ("check", "grade", "progress"):
            setattr(garm_course, name, getattr(module, name))

    def read(self, values: dict, data: bytes) -> dict:
        """Take the notebook apart; nothing of it is run yet."""
        try:
            self.reading = found = self.submission.read(data, self.names)
        except self.submission.Unreadable as error:
            return {"unreadable": str(error)}
        except MemoryError:
            return {"unreadable": "the file needs too much memory to be read"}
        self.errors: dict[int, str] = {}
        return {
            "unreadable": None, "needed": found.needed, "notes": found.notes[:20], "others": found.others[:500],
            "cells": [found.statements[k].cell for k in found.needed], "flags": found.flags[:50],
            "defined": {name: places for name, places in found.defined.items() if places},
        }  # fmt: skip

    def run(self, values: dict, data: bytes) -> dict:
        """Execute statements, each by itself: one that raises costs only what needs it."""
        for number, source in enumerate(self.reading.sources, 1):
            file = f"<code cell {number}>"
            linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        with self.world.recorded_output():
            for k in values["statements"]:
                cell, node = self.reading.statements[k]
                for one in ast.walk(node):  # annotations are never needed
                    if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                        one.returns = None
                    elif isinstance(one, ast.arg):
                        one.annotation = None
                try:
                    exec(compile(ast.Module([node], []), f"<code cell {cell}>", "exec"), self.space)
                except BaseException as error:
                    self.errors[k] = f"code cell {cell} raises {self.attempt.readable(error)}"
        return {"errors": self.errors}

    def found(self, values: dict, data: bytes) -> dict:
        """What the names of the exercises are bound to."""
        said = {}
        for name in self.names:
            if name in self.space and self.reading.defined[name]:
                self.answers[name] = one = self.space[name]
                kind = "class" if inspect.isclass(one) else "function" if callable(one) else "other"
                source = ""
                with contextlib.suppress(Exception):
                    source = inspect.getsource(one)
                said[name] = {"kind": kind, "parameters": _parameters(one), "own": not _of_course(one),
                              "loops": "for " in source or "while " in source}  # fmt: skip
        return said

    def take(self, values: dict, data: bytes) -> dict:
        """An answer of the course's own, by which this machine is tested."""
        import cloudpickle

        self.answers[values["name"]] = cloudpickle.loads(data)
        return {}

    def rebind(self, values: dict, data: bytes) -> dict:
        """An answer that is not right costs only itself: those after it find the course's function."""
        import cloudpickle

        self.space[values["name"]] = cloudpickle.loads(data)
        return {}

    def call(self, values: dict, data: bytes) -> dict:
        """Call an answer on copies of the arguments, as `Attempt` does."""
        import cloudpickle
        import torch

        args, before, grad, use, watched = cloudpickle.loads(data)
        names = values["arguments"]
        for (_, net), slopes in zip(self.arguments.networks(zip(names, args, strict=True)), before, strict=True):
            for weight, slope in zip(net.parameters(), slopes, strict=True):
                weight.grad = slope
        function, seen = self.answers[values["name"]], []
        mine, leaves = [self.arguments.fresh(one) for one in args], []
        for i, one in enumerate(mine):
            if grad and isinstance(one, torch.Tensor) and one.is_floating_point():
                leaves.append(one.requires_grad_())
                mine[i] = one.clone()
        codes = {_code_of(*place) for place in watched} - {None}

        def watch(frame: Any, event: str, arg: Any) -> None:
            if event == "call" and frame.f_code in codes:
                seen.append(frame.f_code)

        value, slopes, error, where, stub = None, (), "", "", False
        self.world.seed_all()
        with self.world.recorded_output() as printed, self.world.restored():
            try:
                sys.setprofile(watch if codes else None)
                value = function(*mine) if use is None else use(function, *mine)
                sys.setprofile(None)
                if inspect.isgenerator(value) or inspect.iscoroutine(value):
                    value.close()
                slopes = self.arguments.gradients(value, leaves) if leaves else ()
            except BaseException as raised:
                sys.setprofile(None)
                stub = type(raised) is NotImplementedError and raised.args in ((), (self.attempt.STUB_TEXT,))
                error, where = self.attempt.readable(raised), self.attempt.own_line(raised)
        states = {name: self.arguments.state_of(net)
                  for name, net in self.arguments.networks(zip(names, mine, strict=True))}  # fmt: skip
        changed = [name for name, a, b in zip(names, mine, args, strict=True) if self.arguments.differ(a, b)]
        return {
            "value": value, "gradients": slopes, "error": error, "where": where, "stub": stub, "handed": bool(seen),
            "printed": self.attempt.without_addresses(printed.getvalue()), "networks": states or None,
            "changed": changed[0] if changed else "",
        }  # fmt: skip


def _check(answer: Any = None) -> Any:
    return (lambda one: one) if answer is None else answer


def _parameters(function: Any) -> list | None:
    try:
        found = inspect.signature(function).parameters.values()
        return [[one.name, int(one.kind), one.default is not one.empty] for one in found]
    except Exception:
        return None


def _of_course(function: Any) -> bool:
    """Whether it is no answer but the course's own object."""
    with contextlib.suppress(BaseException):
        return str(function.__module__).startswith("garm_course")
    return False


def _code_of(module: str, name: str) -> Any:
    """The code of a function of the library, None where it is not to be had."""
    with contextlib.suppress(Exception):
        found = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
        return inspect.unwrap(found).__code__
    return None


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(int(sys.argv[1]), int(sys.argv[2]))
