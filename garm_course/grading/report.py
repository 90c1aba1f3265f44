"""What is handed back: a table of marks, a page of feedback for each student, and an overview for the instructor."""

import csv
import hashlib
import html
import io
import re
from collections import Counter
from pathlib import Path

from garm_course.exercises.verdict import NOT_ATTEMPTED, NOT_YET, PASSED
from garm_course.grading.assignment import Assignment
from garm_course.weights.files import write_atomically

STATES = (PASSED, NOT_YET, NOT_ATTEMPTED, "missing", "not own")
STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:1em auto;padding:0 1em}td,th{text-align:left;padding:.2em .8em "
    ".2em 0;vertical-align:top}pre{white-space:pre-wrap}"
)


def by_student(results: list[dict], names: list[str]) -> dict[str, dict]:
    """The results of each student: an exercise counts from the last of her files that has it.

    Args:
        results: of files, a student's newest file last.
        names: of the exercises.

    Returns:
        Student -> `files`, `exercises` (name -> verdict), `notes`, in the order of the results.
    """
    students: dict[str, dict] = {}
    for result in results:
        one = students.setdefault(result["student"], {"files": [], "exercises": {}, "notes": []})
        one["files"].append(result["file"])
        if result["unreadable"]:
            one["notes"].append(f"{result['file']}: {result['unreadable']}")
        one["notes"] += [f"{result['file']}: {note}" for note in result["notes"]]
        for name, verdict in result["exercises"].items():
            if verdict["status"] != "missing" or name not in one["exercises"]:
                one["exercises"][name] = verdict
    absent = {"status": "missing", "hint": "No notebook could be read.", "detail": "", "call": "", "flags": []}
    for one in students.values():
        one["exercises"] = {name: one["exercises"].get(name, absent) for name in names}
    return students


def points(assignment: Assignment, verdicts: dict[str, dict]) -> float:
    """The sum of the points of what passed."""
    return sum(value for name, value in assignment.points.items() if verdicts[name]["status"] == PASSED)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    Example:
        >>> harmless("=1+1"), harmless("Ada")
        ("'=1+1", 'Ada')
    """
    return f"'{cell}" if cell.lstrip()[:1] in ("=", "+", "-", "@", "|") or cell[:1] in ("\t", "\r", "\n") else cell


def table(assignment: Assignment, students: dict[str, dict]) -> str:
    """The marks as CSV: a row for each student."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["student", "points", "of", *assignment.points, "files", "flags"])
    for student, one in students.items():
        verdicts = one["exercises"]
        flags = sorted({flag for verdict in verdicts.values() for flag in verdict["flags"]})
        cells = [*(verdict["status"] for verdict in verdicts.values()), "; ".join(one["files"]), "; ".join(flags)]
        total = f"{sum(assignment.points.values()):g}"
        writer.writerow([harmless(student), f"{points(assignment, verdicts):g}", total, *map(harmless, cells)])
    return text.getvalue()


def file_name(student: str) -> str:
    """A name for a student's page on any file system; two students never share one."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", student).strip("_")[:60]
    return f"{plain or 'student'}-{hashlib.sha256(student.encode(errors='replace')).hexdigest()[:8]}"


def feedback(assignment: Assignment, student: str, one: dict) -> list[tuple[str, str]]:
    """What a student is told, as pairs of a kind of line ("title", "head", "text" or "code") and its text."""
    total = sum(assignment.points.values())
    lines = [("title", f"{assignment.name}: {student}"),
             ("text", f"{points(assignment, one['exercises']):g} of {total:g} points")]  # fmt: skip
    for name, verdict in one["exercises"].items():
        lines.append(("head", f"{name}: {verdict['status']} ({assignment.points[name]:g} points)"))
        lines += [("text", verdict[part]) for part in ("hint", "detail") if verdict[part]]
        if verdict["call"]:
            lines.append(("code", verdict["call"]))
    if one["notes"]:
        lines += [("head", "Notes"), *(("text", note) for note in one["notes"])]
    return lines


def as_html(lines: list[tuple[str, str]]) -> str:
    """A page that fetches nothing."""
    tags = {"title": "h1", "head": "h2", "text": "p", "code": "pre"}
    title = html.escape(lines[0][1])
    body = "\n".join(f"<{tags[kind]}>{html.escape(text)}</{tags[kind]}>" for kind, text in lines)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def as_markdown(lines: list[tuple[str, str]]) -> str:
    """The same as Markdown, in which nothing that a student wrote is marked up."""
    marks = {"title": "# ", "head": "## ", "text": ""}
    plain = [(kind, " ".join(text.split())) for kind, text in lines]
    return "\n\n".join(
        f"    {text}" if kind == "code" else marks[kind] + re.sub(r"([\\`*_\[\]<>#|!])", r"\\\1", text)
        for kind, text in plain
    ) + "\n"  # fmt: skip


def overview(assignment: Assignment, students: dict[str, dict], walls: str) -> str:
    """The instructor's page: how many passed what, the most frequent causes, flags, and what could not be read."""
    rows, causes = [], []
    for name in assignment.points:
        verdicts = [one["exercises"][name] for one in students.values()]
        counts = Counter(verdict["status"] for verdict in verdicts)
        rows.append([name, *(str(counts[state]) for state in STATES)])
        hints = Counter(verdict["hint"] for verdict in verdicts if verdict["status"] == NOT_YET)
        causes += [[name, str(count), hint] for hint, count in hints.most_common(5)]
    rows.sort(key=lambda row: int(row[1]))
    scores = Counter(points(assignment, one["exercises"]) for one in students.values())
    flags = [[student, name, "; ".join(verdict["flags"])] for student, one in students.items()
             for name, verdict in one["exercises"].items() if verdict["flags"]]  # fmt: skip
    notes = [[student, note] for student, one in students.items() for note in one["notes"]]
    several = [[student, "; ".join(one["files"])] for student, one in students.items() if len(one["files"]) > 1]
    parts = [
        _table("Exercises, the hardest first", ["exercise", *STATES], rows),
        _table("Points", ["points", "students"], [[f"{k:g}", str(scores[k])] for k in sorted(scores)]),
        _table("Most frequent causes", ["exercise", "students", "cause"], causes),
        _table("Flags: to be looked at, no verdict", ["student", "exercise", "what"], flags),
        _table("Notes", ["student", "what"], notes),
        _table("Several files: the last that has an exercise counts", ["student", "files"], several),
    ]
    title = html.escape(f"{assignment.name}: {len(students)} submissions")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1><p>Isolation: {html.escape(walls)}</p>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in row) + "</tr>" for row in rows)
    return f"<h2>{html.escape(title)}</h2>\n<table><tr>{cells}</tr>\n{body}</table>"


def write(folder: Path, assignment: Assignment, results: list[dict], walls: str) -> dict[str, dict]:
    """Write `grades.csv`, `feedback/` and `report.html`, and return the results by student.

    Args:
        folder: of the assignment.
        assignment: what was asked for.
        results: of all files, a student's newest last.
        walls: what closed the answers in, in words.
    """
    students = by_student(results, list(assignment.points))
    pages = folder / "feedback"
    pages.mkdir(exist_ok=True)
    for student, one in students.items():
        lines = feedback(assignment, student, one)
        for ending, text in (("html", as_html(lines)), ("md", as_markdown(lines))):
            write_atomically(pages / f"{file_name(student)}.{ending}", text.encode(errors="replace"))
    write_atomically(folder / "report.html", overview(assignment, students, walls).encode(errors="replace"))
    marks = "\ufeff" + table(assignment, students)  # with the mark by which spreadsheets know UTF-8
    write_atomically(folder / "grades.csv", marks.encode(errors="replace"))
    return students
