"""What answers do to be passed, to read or write, or to do harm: each gets its verdict, and costs only itself.

One child serves all that do not end it: each attack is the body of another exercise's answer in one notebook.
"""

import json
import os
import socket

import pytest

from garm_course.exercises import exercises, get
from garm_course.grading.judge import judge

RIGHT = """
def conv_mask(k, kind):
    mask = torch.zeros(k, k)
    mask[: k // 2] = 1
    mask[k // 2, : k // 2 + (kind == "B")] = 1
    return mask
"""
WRONG = "def conv_mask(k, kind):\n    return torch.ones(k, k)\n"


def notebook(*cells, **more):
    cells = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}).encode()


def verdict(*cells, name="conv_mask"):
    return judge(notebook("import torch", *cells), [name])["exercises"][name]


QUICK = {  # the body of an answer, and what its hint says
    "secret": ("return open(SECRET).read()", "must not be read"),
    "secret_in_native_code": ("return torch.from_file(SECRET, size=4, dtype=torch.uint8)", "RuntimeError"),
    "secret_by_ctypes": (
        "import ctypes\n    libc = ctypes.CDLL(None)\n    handle = libc.open(SECRET.encode(), 0)\n"
        "    raise RuntimeError(f'handle {handle}')",
        "handle -1",
    ),
    "home": ("import os\n    return os.listdir(os.path.dirname(SECRET))", "must not be read"),
    "solutions": ("return open(SOLUTION).read()", "must not be read"),
    "exercises_folder": ("import os\n    return os.listdir(PACKAGE + '/exercises')", "must not be read"),
    "tests_of_lessons": ("return open(PACKAGE + '/lessons/lesson04/conv_mask.py').read()", "must not be read"),
    "write_library": ("open(PACKAGE + '/__init__.py', 'a')", "must not be written"),
    "memory_of_the_process": ("open('/proc/self/mem', 'r+b')", "must not be"),
    "fork": ("import os\n    while True: os.fork()", "os.fork is closed"),
    "program": ("import subprocess\n    subprocess.run(['id'])", "is closed"),
    "program_in_native_code": (
        "import ctypes\n    raise RuntimeError(f'ended {ctypes.CDLL(None).system(b\"touch \" + MARK.encode())}')",
        "ended 32512",  # no process could be made
    ),
    "connect": ("import socket\n    socket.create_connection(('127.0.0.1', PORT))", "is closed"),
    "socket_in_native_code": (
        "import ctypes\n    raise RuntimeError(f'{ctypes.CDLL(None).socket(2, 1, 0)} it')",
        "-1 it",
    ),
    "exit": ("import sys\n    sys.exit(0)", "it calls exit()"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "patched_torch": (
        "torch.equal = torch.allclose = torch.isclose = lambda *a, **k: True\n    return torch.ones(3)",
        "",
    ),
    "patched_tensor": ("torch.Tensor.any = lambda *a: False\n    return torch.ones(2, 9)", ""),
    "subclass": (
        "class Equal(torch.Tensor):\n        __eq__ = lambda *a: True\n"
        "        @classmethod\n        def __torch_function__(cls, *a, **k): return torch.tensor(True)\n"
        "    return torch.ones(3).as_subclass(Equal)",
        "Equal",
    ),
    "printed": ("print('conv_mask: passed', flush=True)\n    return 0", "got"),
    "reduce": ("class Bomb:\n        def __reduce__(self): return (open, (MARK, 'w'))\n    return Bomb()", "Bomb"),
    "reference": ("from garm_course.exercises import get\n    return get(NAME).reference(*args)", "are closed"),
    "registry": ("import garm_course.exercises.registry as r\n    return r.get(NAME)(*args)", "is not a package"),
    "lesson": ("from garm_course.lessons.lesson04 import conv_mask\n    return conv_mask", "is closed"),
    "memory": ("return bytearray(1 << 40)", "MemoryError"),
    "torch_memory": ("return torch.zeros(200000, 200000)", "memory"),
    "recursion": ("return NAMED(*args)", "RecursionError"),
    "foreign_error": ("class E(Exception):\n        def __str__(self): raise SystemExit\n    raise E", "calls exit()"),
    "long_error": ("raise ValueError('x' * 100_000)", "ValueError"),
    "deep_list": ("x = []\n    for _ in range(10_000): x = [x]\n    return x", ""),
    "itself": ("x = []\n    x.append(x)\n    return x", ""),
    "strange_names": ("class A: pass\n    A.__name__ = '<script>' * 1000\n    return A()", ""),
}  # fmt: skip
HOSTS = ["conv_mask", "gated_activation", "rgb_center_mask", "bernoulli_nll", "kl_categorical", "nats_to_bits",
         "nll_to_bits_per_dim", "d_loss", "g_loss_nonsat", "hinge_d_loss", "wasserstein1", "kl_diag_gaussian",
         "vq_loss", "free_bits", "identity_loss", "optimal_discriminator", "cycle_loss"]  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The verdicts on all quick attacks: two notebooks, and a right answer after each of them."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "secret").write_text("the instructor's secret")
    import garm_course

    package = os.path.dirname(garm_course.__file__)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        constants = {
            "SECRET": str(folder / "secret"), "PACKAGE": package, "PORT": listener.getsockname()[1],
            "SOLUTION": os.path.join(os.path.dirname(package), "solutions", "04_pixelcnn.py"),
            "MARK": str(folder / "mark"),
        }  # fmt: skip
        setup = "import torch\n" + "\n".join(f"{key} = {value!r}" for key, value in constants.items())
        found, left = {}, list(QUICK)
        while left:
            here, left = left[: len(HOSTS) - 1], left[len(HOSTS) - 1 :]
            hosts = dict(zip(here, HOSTS[1:], strict=False))
            cells = [f"def {host}(*args):\n    {QUICK[attack][0]}".replace("NAMED", host).replace("NAME", repr(host))
                     for attack, host in hosts.items()]  # fmt: skip
            result = judge(notebook(setup, *cells, RIGHT), [*hosts.values(), "conv_mask"])
            assert result["exercises"]["conv_mask"]["status"] == "passed"
            found |= {attack: result["exercises"][host] for attack, host in hosts.items()}
    assert sorted(path.name for path in folder.iterdir()) == ["secret"], "something was written"
    return found


@pytest.mark.parametrize("attack", QUICK)
def test_an_attack_does_not_pass_and_its_hint_names_it(quick, attack):
    found = quick[attack]
    assert found["status"] == "not yet"
    assert QUICK[attack][1] in found["hint"]
    assert "secret" not in found["hint"].replace("/secret", "")
    assert len(found["hint"]) < 1500


ENDS = {  # what ends the child, or takes long
    "loop": ("while True: pass", "does each loop end"),
    "loop_that_catches": ("while True:\n        try:\n            while True: pass\n"
                          "        except BaseException: pass", "does each loop end"),
    "ends_the_process": ("import os\n    os._exit(0)", "its process ended"),
    "segmentation_fault": ("import ctypes\n    ctypes.string_at(0)", "SIGSEGV"),
    "threads": ("import threading, time\n    for _ in range(100_000): "
                "threading.Thread(target=time.sleep, args=(60,)).start()", ""),
    "much_memory": ("x = []\n    while True: x.append(bytearray(100_000_000))", "MemoryError"),
    "large_result": ("return torch.zeros(30_000_000)", "answers take"),
    "prints_for_ever": ("while True: print('x' * 1000)", "does each loop end"),
    "forged_answers": ("import os\n    for pipe in range(3, 60):\n        try: os.write(pipe, b'A' + bytes(100))\n"
                       "        except OSError: pass", "cannot be read"),
    "forged_sizes": ("import os\n    for pipe in range(3, 60):\n        try: os.write(pipe, b'A' + b'\\xff' * 100)\n"
                     "        except OSError: pass", "answers take"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("attack", ENDS)
def test_what_ends_the_child_costs_only_itself(attack):
    body, words = ENDS[attack]
    cells = [f"import torch\ndef down_shift(*args):\n    {body}", RIGHT]
    found = judge(notebook(*cells), ["down_shift", "conv_mask"])["exercises"]
    assert found["down_shift"]["status"] == "not yet"
    assert words in found["down_shift"]["hint"]
    assert found["conv_mask"]["status"] == "passed"


@pytest.mark.slow
@pytest.mark.parametrize("line", ["while True: pass", "import os; os._exit(0)"])
def test_a_statement_that_ends_the_child_is_left_out_and_named(line):
    result = judge(notebook(f"import torch\n{line}\nsize = 1", "if True:\n    top = 1\n    " + line, RIGHT +
                            "    top\n"), ["conv_mask"])  # fmt: skip
    assert result["exercises"]["conv_mask"]["status"] == "passed"
    assert len(result["notes"]) <= 1


@pytest.mark.slow
def test_the_courses_own_function_is_no_answer_and_calling_it_is_told():
    library = "from garm_course.autoregressive.layers.causal_conv import conv_mask"
    assert verdict(library)["status"] == "not own"
    assert verdict("from garm_course.autoregressive.layers import causal_conv\nconv_mask = causal_conv.conv_mask")[
        "status"
    ] == "not own"  # fmt: skip
    found = verdict(f"{library} as theirs\ndef conv_mask(k, kind): return theirs(k, kind)")
    assert found["status"] == "not yet"
    assert "calls the course's own conv_mask" in found["flags"]


def test_wrapping_what_check_returned_wraps_ones_own_answer():
    cells = f"from garm_course import check\n@check\n{WRONG.strip()}\ntheirs = conv_mask"
    found = verdict(cells, "def conv_mask(k, kind): return theirs(k, kind)")
    assert (found["status"], found["hint"][:19]) == ("not yet", "Nothing is masked: ")


def test_what_is_looked_for_is_flagged():
    found = verdict("import gc\n" + RIGHT + "    gc.get_objects()\n")
    assert found["status"] == "passed"
    assert found["flags"] == ["imports gc", "uses .get_objects"]


def test_names_of_hosts_are_exercises():
    assert all(get(name) in exercises() for name in HOSTS)
