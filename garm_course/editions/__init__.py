"""Two editions of every lesson from one source.

`solutions/NN_topic.py` (jupytext percent) is the only file of a lesson that a person edits. From it come, in this
order:

1. its generated parts, the badges and the setup cell (`address`);
2. `solutions/NN_topic.ipynb`, executed (`execution`);
3. `notebooks/NN_topic.py`, the same text with the answers blanked (`answers`);
4. `notebooks/NN_topic.ipynb`, with the results of the solutions and the verdicts of blank answers (`outputs`).

`build` does it all, or says what is out of step without executing anything; `guards` says what makes a notebook unfit
to be stored. The same source gives the same bytes.
"""

from garm_course.editions.address import Address, EditionError, address, badges, project_root, setup_cell, tag
from garm_course.editions.answers import blank, stub
from garm_course.editions.build import check, release
from garm_course.editions.catalog import Lesson, lessons, select

__all__ = [
    "Address",
    "EditionError",
    "Lesson",
    "address",
    "badges",
    "blank",
    "check",
    "lessons",
    "project_root",
    "release",
    "select",
    "setup_cell",
    "stub",
    "tag",
]
