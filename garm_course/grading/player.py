"""The child's side of a challenge: it builds, trains and asks the `Model` of a stranger's file. Run by `Sandbox`."""

import json
import os
import struct
import sys
import types


def read(pipe: int) -> tuple[dict, bytes]:
    """The next question; the process ends where the pipe does."""

    def exactly(size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            piece = os.read(pipe, size - len(found))
            if not piece:
                os._exit(0)
            found += piece
        return bytes(found)

    head, data = struct.unpack("!IQ", exactly(12))
    return json.loads(exactly(head)), exactly(data)


def write(pipe: int, kind: bytes, data: bytes = b"") -> None:
    """An answer: b"A", or b"E" with what went wrong."""
    rest = memoryview(struct.pack("!cQ", kind, len(data)) + data)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def told(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, SystemExit):
        return "it calls exit()"
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def main(questions: int, answers: int) -> None:
    """Answer until the pipe ends."""
    first, _ = read(questions)
    sys.path[:] = [*first["path"], *(entry for entry in sys.path if entry not in first["path"])]
    import numpy as np
    import torch
    from safetensors.torch import load as load_tensors
    from safetensors.torch import save as save_tensors

    import garm_course.autoregressive.made
    import garm_course.latent.vae  # noqa: F401
    from garm_course.grading import walls

    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports a great deal at its first use
    torch.backends.cpu.get_cpu_capability()  # asks the system about the processor now: later, Landlock closes /sys
    walls.close_in(**{name: first[name] for name in ("folder", "memory", "path", "hidden", "modules")})
    del sys.modules[walls.__name__]
    write(answers, b"A")
    model = None
    while True:
        values, data = read(questions)
        try:
            if values["word"] in ("train", "load"):
                model = built(values)
                if values["word"] == "load":  # of another child that has been trained
                    model.load_state_dict(load_tensors(data))
                    model.eval()
                else:
                    x = torch.from_numpy(np.frombuffer(data, np.uint8).astype(np.int64))
                    model.fit(
                        x.view(-1, *values["shape"]), torch.tensor(values["y"]), seconds=values["seconds"],
                        seed=values["seed"],
                    )  # fmt: skip
                write(answers, b"A")
            elif values["word"] == "state":
                write(answers, b"A", save_tensors({k: v.contiguous() for k, v in model.state_dict().items()}))
            else:
                with torch.no_grad():
                    write(answers, b"A", ANSWERS[values["word"]](model, values, data))
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: a verdict, not a crash
            write(answers, b"E", told(error).encode()[:400])


def built(values: dict):
    """The stranger's model, untrained."""
    import torch

    module = types.ModuleType("player")
    exec(compile(values["source"], "player.py", "exec"), module.__dict__)
    torch.manual_seed(values["seed"])
    return module.Model(tuple(values["shape"]), values["levels"])


def logits(model, values: dict, data: bytes) -> bytes:
    """Of value i after some prefixes."""
    found = model.logits(levels_in(data, values), values["i"])
    return numbers(found, (values["n"], values["levels"]), f"logits at position {values['i']}")


def encode(model, values: dict, data: bytes) -> bytes:
    """Means and log-variances of latents, side by side."""
    import torch

    parts = [torch.as_tensor(part) for part in model.encode(levels_in(data, values))]
    if len(parts) != 2 or parts[0].ndim != 2 or len(parts[0]) != values["n"] or parts[0].shape != parts[1].shape:
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise ValueError(f"expected a mean and a log-variance of shape ({values['n']}, Z), got {shapes}")
    return numbers(torch.cat(parts, 1), (values["n"], 2 * parts[0].shape[1]), "means and log-variances")


def decode(model, values: dict, data: bytes) -> bytes:
    """Logits of all values, given latents."""
    import numpy as np
    import torch

    z = torch.from_numpy(np.frombuffer(data, np.float64).reshape(values["n"], -1).astype(np.float32))
    return numbers(model.decode(z), (values["n"], values["d"], values["levels"]), "logits of the decoder")


def sample(model, values: dict, data: bytes) -> bytes:
    """Images of levels."""
    import torch

    x, wanted = torch.as_tensor(model.sample(values["n"], values["seed"])), (values["n"], *values["shape"])
    if tuple(x.shape) != wanted or x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise ValueError(f"expected samples of shape {wanted} in whole numbers, got {tuple(x.shape)} in {x.dtype}")
    if x.min() < 0 or x.max() >= values["levels"]:
        raise ValueError(f"expected levels 0 to {values['levels'] - 1}, got {x.min()} to {x.max()}")
    return x.to(torch.uint8).contiguous().numpy().tobytes()


ANSWERS = {"logits": logits, "encode": encode, "decode": decode, "sample": sample}


def levels_in(data: bytes, values: dict):
    """Images or prefixes (n, D) of a question."""
    import numpy as np
    import torch

    return torch.from_numpy(np.frombuffer(data, np.uint8).reshape(values["n"], -1).astype(np.int64))


def numbers(found, wanted: tuple, what: str) -> bytes:
    """Numbers of the right shape as bytes of float64."""
    import torch

    found = torch.as_tensor(found)
    if tuple(found.shape) != wanted or not found.dtype.is_floating_point:
        got = f"{tuple(found.shape)} in {found.dtype}"
        raise ValueError(f"expected {what} of shape {wanted} in a floating type, got {got}")
    return found.double().contiguous().numpy().tobytes()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
