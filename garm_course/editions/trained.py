"""Which printed numbers come from training, found in the text of a lesson and its stored outputs, without running it.

A trained number is another one on another processor: sums are added in another order, and training amplifies that. So
it is printed by `report`, which compares it with a claim, or carries the sign `≈`, after which the tests compare
nothing. This module finds those that do neither.

It follows names. What `load_pretrained` returns is trained; so is what is given to `fit` or to an optimizer, whatever
is computed from a trained name, and every function that uses one. The lines that a cell prints are suspect when the
cell uses a trained name; of their numbers those may stand that the cell's own source contains.
"""

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

EXACT = (
    "exact"  # a tag: what this cell prints of a trained model is the same on every machine (a shape, a count of all)
)
REMEDY = "a measured number outside of report: print it through report(...), or write ≈ before it"

_NUMBER = r"\d+(?:[.,]\d+)*(?:e[-+]?\d+)?"
_FREE = re.compile(rf"(?<![\w.,]){_NUMBER}(?![\w])")
_MARKED = re.compile(
    rf"(?:≈|==) *[-+]?{_NUMBER}|^.* ==? [-+]?{_NUMBER}[^()\n]* \((?:claimed|claim skipped) .*$|^\[(?:slider|menu) .*\]$"
)
_FILLING = ("append", "extend", "add", "update", "insert", "setdefault")
_OPTIMIZERS = ("torch.optim.", "optim.")


def free_numbers(nb: "NotebookNode") -> list[str]:
    """Numbers of trained models that a stored notebook prints without `report` and without `≈`, one line a cell."""
    found = []
    trained = Trained()
    for i, cell in enumerate(nb.cells, start=1):
        if cell.cell_type != "code":
            continue
        uses = trained.used_by(cell.source)
        if not uses or EXACT in cell.metadata.get("tags", []):
            continue
        own = set(_FREE.findall(cell.source))
        for line in _lines(cell.outputs):
            free = [number for number in _FREE.findall(_MARKED.sub("", line)) if number not in own]
            if free:
                words = f"{line.strip()[:100]!r} prints {free[0]}, which comes from {sorted(uses)[0]}"
                found.append(f"cell {i}: {words}: {REMEDY}")
                break
    return found


def _lines(outputs: list) -> Iterator[str]:
    for output in outputs:
        text = output.text if output.output_type == "stream" else output.get("data", {}).get("text/plain", "")
        yield from text.splitlines()


class Trained:
    """The names of a notebook that hold something trained, followed from cell to cell."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.trainers: set[str] = set()  # functions of the notebook that train what they are given
        self.parts: dict[str, set[str]] = {}  # what an object was made of

    def used_by(self, source: str) -> set[str]:
        """The trained names that a cell uses or makes; follows its assignments."""
        return self._follow_all(ast.parse(source).body)

    def _follow_all(self, body: list[ast.stmt]) -> set[str]:
        return set().union(*map(self._follow, body))

    def _follow(self, statement: ast.stmt) -> set[str]:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):  # it prints nothing yet
            trains = any(map(self._is_training, _calls(statement)))
            if trains:
                self.trainers.add(statement.name)
            used = (_names(statement, ast.Load) - _own_names(statement)) & self.names
            self._set({statement.name}, trains or bool(used))
            return set()
        bodies = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
        if not any(bodies):
            return self._head(statement, statement)
        uses = set()
        for part in ("iter", "test", "items"):  # of `for`, `if` and `while`, `with`
            for head in _listed(getattr(statement, part, None)):
                uses |= self._head(head, getattr(statement, "target", head))
        for body in (*bodies, *bodies):  # twice: in a loop, a name may be used above the line that trains it
            uses |= self._follow_all(body)
        return uses

    def _head(self, node: ast.AST, target: ast.AST) -> set[str]:
        """Follows one expression or simple statement; `target` holds the names that take its value."""
        own = _own_names(node)
        trains = [call for call in _calls(node) if self._is_training(call)]
        given = {name for call in trains for part in self._trained_parts(call) for name in _names(part, ast.Load)}
        if given & own:  # `Adam(net.parameters()) for net in (G, D)` trains G and D
            given |= {
                name for n in ast.walk(node) if isinstance(n, ast.comprehension) for name in _names(n.iter, ast.Load)
            }
        given -= own
        given |= {name for whole in given for name in self.parts.get(whole, ())}
        for name in _names(target, ast.Store):  # `game = GANGame(gan)`: who trains the game trains the gan
            self.parts[name] = {a.id for call in _calls(node) for a in call.args if isinstance(a, ast.Name)} - {name}
        uses = ((_names(node, ast.Load) - own) & self.names) | given
        self._set(_names(target, ast.Store) - own, bool(uses or trains))
        if uses or trains:  # `curves[name] = x` and `curves.append(x)` put into what was there before
            self.names |= given | (_filled(node) - own)
        return uses or ({"training"} if trains else set())

    def _set(self, names: set[str], trained: bool) -> None:
        self.names = self.names | names if trained else self.names - names

    def _trained_parts(self, call: ast.Call) -> list[ast.expr]:
        """The arguments that a call trains: the first one, and of a function of the notebook any."""
        return call.args if _name(call) in self.trainers else call.args[:1]

    def _is_training(self, call: ast.Call) -> bool:
        name = _name(call)
        last = name.rpartition(".")[2]
        return (
            last in ("load_pretrained", "fit")
            or last.startswith("fit_")
            or (last.endswith("step") and "." in name and not call.args)  # optimizer.step()
            or name.startswith(_OPTIMIZERS)
            or name in self.trainers
        )


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _calls(node: ast.AST) -> list[ast.Call]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Call)]


def _filled(node: ast.AST) -> set[str]:
    """Names of containers and objects that a statement puts something into."""
    parts = [
        n.value for n in ast.walk(node) if isinstance(n, ast.Subscript | ast.Attribute) and isinstance(n.ctx, ast.Store)
    ]
    parts += [n.func.value for n in _calls(node) if isinstance(n.func, ast.Attribute) and n.func.attr in _FILLING]
    return {name for part in parts for name in _names(part, ast.Load)}


def _listed(value: ast.AST | list | None) -> list[ast.AST]:
    return value if isinstance(value, list) else [value] if value is not None else []


def _names(node: ast.AST, context: type) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


def _own_names(statement: ast.stmt) -> set[str]:
    """Names that mean something only within: parameters, variables of functions and of comprehensions."""
    own: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.comprehension):
            own |= _names(node.target, ast.Store)
        elif isinstance(node, ast.FunctionDef):
            own |= {name for line in node.body for name in _names(line, ast.Store)}
    return own
