"""A player for `garm challenge --kind bound` and `--kind samples`: a VAE whose networks are yours to change."""

import math
import time

import torch
from torch import nn


class Model(nn.Module):
    """Latents z, standard normal; the encoder proposes them, the decoder gives logits of every value.

    Weights and buffers (the `state_dict`) are all that the decoder of a bound is given: it runs where no image is seen,
    in `eval` mode.
    """

    latents = 24

    def __init__(self, shape, levels):
        super().__init__()
        self.shape, self.levels, self.d = shape, levels, math.prod(shape)
        self.encoder = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(self.d, 192), nn.ReLU(), nn.Dropout(0.2), nn.Linear(192, 2 * self.latents)
        )
        self.decoder = nn.Sequential(
            nn.Linear(self.latents, 192), nn.ReLU(), nn.Dropout(0.2), nn.Linear(192, self.d * levels)
        )

    def encode(self, x):
        """Images (n, D) -> mean and log-variance of their latents, (n, Z) each."""
        return self.encoder(x.float() / (self.levels - 1)).chunk(2, 1)

    def decode(self, z):
        """Latents (n, Z) -> logits (n, D, levels)."""
        return self.decoder(z).view(len(z), self.d, self.levels)

    def sample(self, n, seed):
        """n images (n, C, H, W) of levels."""
        z = torch.randn(n, self.latents, generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(seed)
        levels = torch.distributions.Categorical(logits=self.decode(z)).sample()
        return levels.view(n, *self.shape)

    def fit(self, x, y, seconds, seed):
        """Train on images x (N, C, H, W) of levels and their classes y (N,), within `seconds` of a processor."""
        torch.manual_seed(seed)
        x = x.flatten(1)
        counts = torch.stack([(x == level).sum(0) + 1.0 for level in range(self.levels)], 1)  # (D, levels)
        self.decoder[-1].bias.data = counts.log().flatten()  # start from the histogram of each value
        optimizer = torch.optim.AdamW(self.parameters(), lr=2e-3, weight_decay=0.05)
        started = time.process_time()
        while (spent := (time.process_time() - started) / seconds) < 0.9:
            batch = x[torch.randint(len(x), (64,))]
            mean, log_var = self.encode(batch)
            logits = self.decode(mean + (0.5 * log_var).exp() * torch.randn_like(mean))
            nll = nn.functional.cross_entropy(logits.flatten(0, 1), batch.flatten(), reduction="sum") / len(batch)
            kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
            loss = nll + min(1.0, 2 * spent) * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.eval()
