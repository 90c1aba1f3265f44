"""Where a figure comes from: the versions and the hardware that made it."""

import os
import platform
import sys

import torch

import garm_course


def versions() -> dict[str, str]:
    """Versions of what produced a figure."""
    return {"garm_course": garm_course.__version__, "torch": torch.__version__, "python": platform.python_version()}


def hardware() -> str:
    """What a figure was produced on, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    if sys.platform == "linux" and os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {torch.get_num_threads()} thread(s)"
