r"""The numbered equations of a lesson: every `\tag{L.n}` in its displayed mathematics."""

import re

from garm_course.editions.address import EditionError

_CODE = re.compile(r"^(```|~~~).*?^\1|(`+)(?!`).*?(?<!`)\2(?!`)", re.MULTILINE | re.DOTALL)
_DISPLAY = re.compile(
    r"\$\$(.*?)\$\$|\\begin\{(equation|align|gather|multline|alignat)(\*?)\}(.*?)\\end\{\2\3\}", re.DOTALL
)
_TAG = re.compile(r"\\tag\*?\s*\{([^}]*)\}")


def tags(text: str, lesson: str) -> list[str]:
    r"""The numbers of a lesson's equations, in order, for example `["4.1", "4.2"]`.

    Args:
        text: the lesson in percent format.
        lesson: its name; the number before the underscore must be the one in the tags.

    Raises:
        EditionError: a tag outside displayed mathematics, or numbers that are not L.1, L.2, ... in order.
    """
    found = []
    for cell in re.split(r"^# %%", text, flags=re.MULTILINE):
        head, _, body = cell.partition("\n")
        if "[markdown]" not in head:
            continue
        body = _CODE.sub("", re.sub(r"^# ?", "", body, flags=re.MULTILINE))
        shown = [number for match in _DISPLAY.finditer(body) for number in _TAG.findall(match[0])]
        stray = _TAG.findall(_DISPLAY.sub("", body))
        if stray:
            raise EditionError(rf"{lesson}: \tag{{{stray[0]}}} stands outside displayed mathematics; use $$ ... $$")
        found += shown
    expected = [f"{int(lesson[:2])}.{n}" for n in range(1, len(found) + 1)]
    for number, should in zip(found, expected, strict=True):
        if number != should:
            raise EditionError(rf"{lesson}: \tag{{{number}}} where \tag{{{should}}} was expected; number in order")
    return found
