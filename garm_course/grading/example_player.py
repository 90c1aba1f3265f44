"""A player for `garm challenge`: change what you like, keep the class and its three methods."""

import time

import torch
from torch import nn


class Model(nn.Module):
    """Each value from the values before it, by one masked layer: a fully visible sigmoid belief network.

    shape is (C, H, W); there are `levels` values, and D = C * H * W positions in raster order.
    """

    def __init__(self, shape, levels):
        super().__init__()
        self.levels, self.d = levels, shape[0] * shape[1] * shape[2]
        self.weight = nn.Parameter(torch.zeros(self.d * levels, self.d))
        self.bias = nn.Parameter(torch.zeros(self.d * levels))
        before = torch.ones(self.d, self.d).tril(-1).repeat_interleave(levels, 0)
        self.register_buffer("before", before)  # position i sees positions 0 .. i - 1

    def forward(self, x):
        x = x.flatten(1).float() / (self.levels - 1)
        return (x @ (self.weight * self.before).T + self.bias).view(len(x), self.d, self.levels)

    def fit(self, x, y, seconds, seed):
        """Train on images x (N, C, H, W) of levels and their classes y (N,), within `seconds` of a processor."""
        torch.manual_seed(seed)
        optimizer = torch.optim.Adam(self.parameters(), lr=3e-3, weight_decay=1e-4)
        started = time.process_time()
        while time.process_time() - started < 0.9 * seconds:
            batch = x[torch.randint(len(x), (64,))].flatten(1)
            loss = nn.functional.cross_entropy(self(batch).flatten(0, 1), batch.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def logits(self, prefix, i):
        """(n, levels) for value i of n images, of which prefix (n, D) shows values 0 .. i - 1; the rest is noise."""
        return self(prefix)[:, i]
