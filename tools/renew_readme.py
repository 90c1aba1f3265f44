"""Renew the parts of README.md that are generated: how to clone, the map of lessons with their badges, the figures.

    .venv/bin/python tools/renew_readme.py

The address comes from `pyproject.toml`, the lessons that exist from `solutions/`, the figures from `results/`; a test
compares the file with this.
"""

import json
import re
from pathlib import Path

from garm_course.editions import address, badges, lessons
from garm_course.recipes.kinds import kind_of

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
    ("19", "Trust: copying, privacy, interpretation", "all"),
    ("20", "Practice: tuning, tracking, deployment", "digits"),
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


def figures(root: Path) -> str:
    """The tables of recorded runs, one for each kind of figure: means over the seeds, and the command."""
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in (root / "results").glob("*.json")]
    parts = []
    for kind, what in KINDS.items():
        of_kind = [entry for entry in entries if entry.get("kind", "likelihood") == kind]
        parts.append(f"{what}\n\n{table(of_kind)}")
    return "\n\n".join(parts)


KINDS = {
    "likelihood": "Likelihood, in nats per image ± standard error of the mean over the images; ≤ marks a bound:",
    "samples": "Samples: Fréchet distance to as many images of the split, in the features of this course's own "
    "classifier (so it is no FID, and compares only within a data set); ± is the bootstrap's standard error:",
    "translation": "Unpaired translation from gray to colors: mean square error against the true translation ± "
    "standard error over the images:",
    "classifier": "The classifiers behind these features, share of right answers:",
}


def table(entries: list[dict]) -> str:
    """The rows of one kind, best last, data sets apart."""
    rows = ["| model | data | validation | test | processor seconds | command |", "|---|---|---|---|---|---|"]
    order = [(e["data"] != "digits", e["data"], -kind_of(e).headline(e["validation"]).rank) for e in entries]
    for _, entry in sorted(zip(order, entries, strict=True), key=lambda pair: pair[0]):
        texts = [kind_of(entry).headline(entry[split]).text for split in ("validation", "test")]
        seconds = f"{sum(entry['cpu_seconds']) / len(entry['cpu_seconds']):.0f}"
        seeds = entry["seeds"]
        command = f"`{entry['command'][0].removesuffix(f' --seed {seeds[0]}')} --seed {seeds[0]}`"
        command += f", then {', '.join(map(str, seeds[1:]))}" if seeds[1:] else ""
        name = entry["model"].replace("_", " ")
        rows.append(f"| {name} | {entry['data'].replace('_', ' ')} | {' | '.join(texts)} | {seconds} | {command} |")
    return "\n".join(rows)


def renew(text: str, root: Path = ROOT) -> str:
    """The text of README.md with its generated parts as they ought to be.

    Raises:
        ValueError: a pair of markers `<!-- NAME -->` and `<!-- end NAME -->` is missing.
    """
    for name, part in (("clone", clone(root)), ("map", lesson_map(root)), ("figures", figures(root))):
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"README.md needs one pair of markers <!-- {name} --> and <!-- end {name} -->")
        text = pattern.sub(lambda match, part=part: match[1] + part + "\n" + match[2], text)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(renew(readme.read_text(encoding="utf-8")), encoding="utf-8")
