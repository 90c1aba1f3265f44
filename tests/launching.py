"""Run a script in one process and in two, as `torchrun` does it, and compare what they write."""

import json
import os
import subprocess
import sys

from limits import PATIENCE

# what a script ends with: `found`, a dict, goes to the folder that it was given
ENDING = """
rank, n = 0, 1
if torch.distributed.is_initialized():
    rank, n = torch.distributed.get_rank(), torch.distributed.get_world_size()
open(f"{sys.argv[1]}/{rank}.json", "w").write(json.dumps({**found, "processes": n}))
"""


def one_and_two(source, tmp_path):
    """What the script found alone, and what the first and the second of two processes found; folders "one", "two"."""
    script = tmp_path / "script.py"
    script.write_text(source + ENDING)
    environment = {**os.environ, "GARM_PROGRESS": "0", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launchers = {"one": [], "two": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}
    results = []
    for name, launcher in launchers.items():
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(
            [sys.executable, *launcher, str(script), str(folder)], env=environment, check=True, timeout=PATIENCE
        )
        results += [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    assert [result["processes"] for result in results] == [1, 2, 2]
    return results
