"""Renew the parts of README.md that are generated: how to clone, and the map of lessons with their badges.

    .venv/bin/python tools/renew_readme.py

The address comes from `pyproject.toml`, the lessons that exist from `solutions/`; a test compares the file with this.
"""

import re
from pathlib import Path

from garm_course.editions import address, badges, lessons

ROOT = Path(__file__).resolve().parents[1]
MAP = (  # every lesson of the course, in the order of the course: title and data
    ("00", "Start here", "digits"),
    ("01", "Probability, likelihood, units", "bars and stripes, counts"),
    ("02", "Chain rule, NADE, MADE", "bars and stripes"),
    ("03", "PixelRNN", "digits"),
    ("04", "PixelCNN, gated, blind spot, conditional", "digits"),
    ("05", "PixelCNN++ and compression", "photo patches, digits"),
    ("06", "Fast and controlled sampling", "glyphs, digits, bars and stripes"),
    ("07", "Transformer, char-GPT", "Python's documentation"),
    ("08", "WaveNet audio", "plucked strings"),
    ("09", "Video", "moving digits"),
    ("10", "Latent variables, ELBO, VAE", "digits"),
    ("11", "IWAE, posterior collapse", "digits"),
    ("12", "VQ-VAE", "glyphs"),
    ("13", "GAN theory", "discrete toys, a ring"),
    ("14", "Stabilizing GANs", "a grid of modes, digits"),
    ("15", "VAE-GAN", "digits"),
    ("16", "CycleGAN", "digits and glyphs, unpaired"),
    ("17", "VQGAN and a transformer", "colored glyphs"),
    ("18", "Evaluation", "samples of all models"),
    ("19", "Trust: copying, privacy, interpretation", "digits"),
    ("20", "Practice: search, resume, compress, export", "digits"),
    ("21", "Capstone: families compared", "bars and stripes, digits"),
)


def clone(root: Path) -> str:
    """The two commands that bring the course to a machine."""
    where = address(root)
    return f"```sh\ngit clone {where.url}\ncd {where.name}\n```"


def lesson_map(root: Path) -> str:
    """The table of all lessons: those that exist with a link and badges, the others marked as planned."""
    exist = {lesson.number: lesson for lesson in lessons(root)}
    rows = ["| | lesson | data | |", "|---|---|---|---|"]
    for number, title, data in MAP:
        lesson = exist.get(number)
        link, badge = title, "planned"
        if lesson:
            link, badge = f"[{title}](notebooks/{lesson.name}.ipynb)", badges(lesson.name, root)
        rows.append(f"| {number} | {link} | {data} | {badge} |")
    return "\n".join(rows)


def renew(text: str, root: Path = ROOT) -> str:
    """The text of README.md with its generated parts as they ought to be.

    Raises:
        ValueError: a pair of markers `<!-- NAME -->` and `<!-- end NAME -->` is missing.
    """
    for name, part in (("clone", clone(root)), ("map", lesson_map(root))):
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"README.md needs one pair of markers <!-- {name} --> and <!-- end {name} -->")
        text = pattern.sub(lambda match, part=part: match[1] + part + "\n" + match[2], text)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(renew(readme.read_text(encoding="utf-8")), encoding="utf-8")
