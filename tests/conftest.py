"""Environment of all tests, set before any of them imports torch.

With shared cores, OpenMP threads that spin while they wait make small models 10 to 20 times slower; `make test` sets
the same values for its workers.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
