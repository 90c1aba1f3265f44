"""The smallest lesson that has everything: an exercise, a figure, a claim. Nothing in it is generated yet."""

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
from garm_course.show import show_figure


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
show_figure(fig, "A line that rises from 1 to 4, ≈ 1.5 a step.")

# %%
report("bits in one nat", nats_to_bits(1.0), claimed=1.44, tolerance=0.01, unit="bits")

# %%
claims()
'''
