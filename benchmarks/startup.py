"""Processor time of `import garm_course` beyond torch, in fresh interpreters; the aim is 0.3 s.

python benchmarks/startup.py             a table; --json for one object a row, --repeats 5 for the median of five
python -X importtime -c "import torch, garm_course" 2>&1 | grep garm_course     which module costs what
"""

import argparse
import json
import statistics
import subprocess
import sys

# what a lesson's first cell, the command line and a script import
STATEMENTS = (
    "import garm_course",
    "from garm_course import budget, check, claims, report, seed",
    "from garm_course.autoregressive.pixelcnn import GatedPixelCNN",
    "import garm_course.cli",
)
# must stay out of a plain `import garm_course`: each costs 0.1 s to 2 s
HEAVY = ("accelerate", "IPython", "ipywidgets", "matplotlib", "nbformat", "pandas", "scipy", "sklearn", "typer")

TIMED = """
import json, sys, time
start = time.process_time()
import torch
torch_seconds = time.process_time() - start
before = set(sys.modules)
start = time.process_time()
{statement}
seconds = time.process_time() - start
loaded = sorted({{name.split(".")[0] for name in set(sys.modules) - before}} & set({heavy!r}))
print(json.dumps([torch_seconds, seconds, loaded]))
"""


def measure(statement: str, repeats: int = 3) -> dict:
    """One row: the statement in fresh interpreters that have imported torch already."""
    runs = []
    for _ in range(repeats):
        code = TIMED.format(statement=statement, heavy=HEAVY)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        "statement": statement,
        "seconds_beyond_torch": round(statistics.median(run[1] for run in runs), 4),
        "seconds_torch": round(statistics.median(run[0] for run in runs), 3),
        "heavy_modules": runs[0][2],
        "repeats": repeats,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--repeats", type=int, default=3, help="fresh interpreters a row (3)")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"expected --repeats >= 1, got {options.repeats}")
    for statement in STATEMENTS:
        row = measure(statement, options.repeats)
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            extra = f", loads {', '.join(row['heavy_modules'])}" if row["heavy_modules"] else ""
            print(
                f"{statement}: {row['seconds_beyond_torch']:.3f} s beyond torch ({row['seconds_torch']:.1f} s){extra}"
            )


if __name__ == "__main__":
    sys.exit(main())
