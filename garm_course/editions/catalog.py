"""The lessons that exist: every `solutions/NN_topic.py` of the checkout, in order."""

import re
from dataclasses import dataclass
from pathlib import Path

from garm_course.editions.address import EditionError, project_root

_NAME = re.compile(r"(\d\d)_[a-z0-9_]+")


@dataclass(frozen=True, order=True)
class Lesson:
    """One lesson, by name (`"04_pixelcnn"`) and checkout, and the four files that belong to it."""

    name: str
    root: Path

    @property
    def number(self) -> str:
        """Two digits, as in the file name."""
        return self.name[:2]

    @property
    def source(self) -> Path:
        """The file that a person edits."""
        return self.root / "solutions" / f"{self.name}.py"

    @property
    def solutions(self) -> Path:
        """The executed notebook with answers."""
        return self.root / "solutions" / f"{self.name}.ipynb"

    @property
    def student_text(self) -> Path:
        """The source with the answers blanked."""
        return self.root / "notebooks" / f"{self.name}.py"

    @property
    def student(self) -> Path:
        """The executed notebook that students get."""
        return self.root / "notebooks" / f"{self.name}.ipynb"

    @property
    def title(self) -> str:
        """The first heading of the source."""
        for line in self.source.read_text(encoding="utf-8").splitlines():
            if line.startswith("# # "):
                return line[4:].strip()
        raise EditionError(f"{self.source.name}: no title; the first cell must be markdown and hold `# # Title`")


def lessons(root: Path | None = None) -> list[Lesson]:
    """All lessons of a checkout, by number."""
    root = root or project_root()
    files = sorted((root / "solutions").glob("*.py"))
    for file in files:
        if not _NAME.fullmatch(file.stem):
            raise EditionError(f"solutions/{file.name}: a lesson's file is called NN_topic.py, in lower case")
    found = [Lesson(file.stem, root) for file in files]
    numbers = [lesson.number for lesson in found]
    for lesson in found:
        if numbers.count(lesson.number) > 1:
            raise EditionError(f"two lessons have the number {lesson.number}; rename one in solutions/")
    return found


def select(names: list[str], root: Path | None = None) -> list[Lesson]:
    """The lessons that a user named, each by number (`4`, `04`), name or file; all of them for an empty list.

    Raises:
        EditionError: an unknown name; the message lists the known ones.
    """
    known = lessons(root)
    if not names:
        return known
    chosen = []
    for name in names:
        stem = Path(name).name.removesuffix(".py").removesuffix(".ipynb")
        match = [one for one in known if stem in (one.name, one.number) or stem.zfill(2) == one.number]
        if not match:
            listed = ", ".join(one.name for one in known) or "none yet"
            raise EditionError(f"no lesson {name!r}; the lessons are: {listed}")
        chosen += [one for one in match if one not in chosen]
    return chosen
