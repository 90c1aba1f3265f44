"""A checkout with one tiny lesson, made for each test: the release machinery is tested on it alone."""

import shutil
from pathlib import Path

import pytest

from garm_course.editions import Lesson

ROOT = Path(__file__).resolve().parents[2]

TINY = '''\
# %% [markdown]
# # A tiny lesson
#
# One exercise, one figure, one claim.

# %% tags=["setup"]

# %% [markdown]
# A nat is worth $1/\\ln 2$ bits:
# $$b = \\frac{n}{\\ln 2} \\tag{0.1}$$

# %%
import math

from matplotlib.figure import Figure

from garm_course import check, claims, report
from garm_course.display import show


# %%
@check
def nats_to_bits(nats: float) -> float:
    """Bits in `nats`."""
    ### BEGIN SOLUTION
    bits = nats / math.log(2)
    return bits
    ### END SOLUTION


# %%
print("8 ln 2 nats are", nats_to_bits(8 * math.log(2)), "bits")

# %%
fig = Figure(figsize=(3, 2))
_ = fig.subplots().plot([1, 2, 4])
show(fig, "A line that rises from 1 to 4, ≈ 1.5 a step.")

# %%
report("bits in one nat", nats_to_bits(1.0), claimed=1.44, tolerance=0.01, unit="bits")

# %%
claims()
'''


@pytest.fixture
def lesson(tmp_path):
    """The tiny lesson in a checkout of its own, with nothing generated yet."""
    (tmp_path / "solutions").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "solutions" / "00_tiny.py").write_text(TINY, encoding="utf-8")
    return Lesson("00_tiny", tmp_path)
