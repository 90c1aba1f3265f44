"""One program in one process or in several: what each of them computes, and what all of them must agree on.

Started by `torchrun` or `accelerate launch`, every process runs the same lines. Accelerate finds its device and its
number; here is what the training loops need beyond that.
"""

import atexit
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class Processes:
    """The processes of a run.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
        main: whether this is the one that evaluates, saves and shows progress.
        device: where this process computes.
        accelerator: the one that was asked.
    """

    def __init__(self):
        from accelerate import Accelerator

        self.accelerator = Accelerator()  # without a precision, which it would fix for the whole process
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.main, self.device = self.accelerator.is_main_process, self.accelerator.device
        if self.count > 1:
            atexit.register(_leave)

    def share(self, batch: Tensor) -> Tensor:
        """This process's part (B / count, ...) of a batch (B, ...) that all have drawn alike."""
        return batch.chunk(self.count)[self.rank]

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes, without gradient."""
        return value.detach() if self.count == 1 else self.accelerator.reduce(value.detach(), "mean")

    def agree(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values of these tensors, in place."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), src=0)

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes: that of a loss averaged over the whole batch."""
        if self.count > 1:
            for weight in weights:
                if weight.grad is not None:
                    weight.grad = self.accelerator.reduce(weight.grad, "mean")

    def autocast(self, precision: str) -> AbstractContextManager:
        """A context in which matrix products and convolutions have 16 bits, if precision is "bf16"."""
        enabled = precision == "bf16"
        kind = self.device.type
        if not (enabled or (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind))):
            return nullcontext()
        return torch.autocast(kind, torch.bfloat16, enabled=enabled)

    def of_the_first(self, figure: Callable[[], object]) -> object:
        """What the first process computes, known to all."""
        if self.count == 1:
            return figure()
        found = [figure() if self.main else None]
        torch.distributed.broadcast_object_list(found, src=0)
        return found[0]

    def gathered(self, value: object) -> list:
        """The values of all processes, known to all."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        torch.distributed.all_gather_object(values, value)
        return values


def _leave() -> None:
    """Close the connections between the processes: an interpreter that ends while their threads run is aborted.

    A thread of gloo that is about to drop a tensor needs the interpreter for that, which torch 2.4 does not let go of
    while it waits for the thread; a moment in which nothing else runs lets it finish.
    """
    if torch.distributed.is_initialized():
        time.sleep(0.1)
        torch.distributed.destroy_process_group()
