"""A PixelCNN over frames: masked convolutions in the current frame, and anything at all over the frames before it.

Frames that are over are known whole, so nothing about them has to be masked: an ordinary encoder reads the last ones,
and its features enter every layer of the masked stack. What such an encoder cannot do is to move a picture by a speed
that it has just seen: that is a product of two frames, and a convolution adds. `Match` does it in the way of attention:
keys are the displacements of the last frame, and the query is what is known of the current one.

Sources: van den Oord et al. (2016), "Conditional Image Generation with PixelCNN Decoders", arXiv 1606.05328 (gates,
conditions); Kalchbrenner et al. (2017), "Video Pixel Networks", arXiv 1610.00527 (a PixelCNN decoder for each frame,
conditioned on features of the frames before it).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.clips import ClipModel, earlier_frames
from garm_course.autoregressive.layers.causal_conv import CausalConv2d, ConvCache, by_color
from garm_course.autoregressive.pixelcnn import gated_activation
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.distributions.heads import as_weights, at_least_float32
from garm_course.inputs import check_settings
from garm_course.models import configured
from garm_course.transforms import level_features

DOUBT = 1e-4  # the weight that a level has whatever the guess


class Match(nn.Module):
    """Which displacement carries the last frame into the current one, from the pixels of the current one so far.

    Displacement d is preferred by a prior, and loses by every pixel at which the last frame, moved by d, differs from
    what was drawn: its weight at pixel i is softmax_d(prior_d - sharpness * differences before i). The prior comes from
    the displacement between the two frames before, found in the same way, and from where the last frame has ink, which
    tells a wall. A wall turns one direction around, so there is a term for rows and one for columns. What moves in from
    outside is taken to be level 0. The prior hears the class as well, so that a model can be told where to go.

    Args:
        shape: (C, H, W) of a frame.
        levels: number of levels.
        speed: the largest displacement in each direction, in pixels.
        n_classes: 0, or the number of classes.
        hidden: units of the hidden layer of each term of the prior.
    """

    def __init__(self, shape: tuple[int, int, int], levels: int, speed: int, n_classes: int = 0, hidden: int = 256):
        super().__init__()
        self.levels, self.speed, self.n_classes = levels, speed, n_classes
        steps = 2 * speed + 1
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        self.repeat = nn.Parameter(torch.tensor(4.0))
        self.rows, self.columns = (
            nn.Sequential(nn.Linear(steps + size + n_classes, hidden), nn.ReLU(), nn.Linear(hidden, steps))
            for size in shape[1:]
        )

    def moved(self, frame: Tensor) -> Tensor:
        """LongTensor (N, C, H, W) -> (N, (2 speed + 1)², C, H, W): the frame moved by each displacement, row first."""
        s, (h, w) = self.speed, frame.shape[2:]
        padded = F.pad(frame, (s, s, s, s))
        steps = range(2 * s, -1, -1)  # from -speed, up and to the left, to +speed
        return torch.stack([padded[:, :, r : r + h, c : c + w] for r in steps for c in steps], 1)

    def expect(self, before: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits of the next displacement, given the last two frames and the class.

        Args:
            before: LongTensor (N, past, C, H, W), -1 where there was no frame.
            y: LongTensor (N,), where there are classes.

        Returns:
            (N, displacements), row first.
        """
        last, older = before[:, -1], before[:, -2]
        differences = (self.moved(older) != last.unsqueeze(1)).flatten(2).sum(2)
        found = torch.softmax(-self.sharpness * differences, 1) * (older[:, 0, :1, 0] >= 0)  # none if there was none
        ink = last.clamp(min=0).amax(1).to(found.dtype) / (self.levels - 1)
        table = found.unflatten(1, (2 * self.speed + 1, -1))  # (N, row displacement, column displacement)
        told = [] if y is None else [F.one_hot(y, self.n_classes).to(found.dtype)]
        rows = self.rows(torch.cat([table.sum(2), ink.amax(2), *told], 1))
        columns = self.columns(torch.cat([table.sum(1), ink.amax(1), *told], 1))
        return self.repeat * found + (rows.unsqueeze(2) + columns.unsqueeze(1)).flatten(1)

    def weights(self, expected: Tensor, differences: Tensor) -> Tensor:
        """Softmax over displacements, the last axis of both (broadcast), at least in float32."""
        return at_least_float32(expected - self.sharpness * differences).softmax(-1)

    def vote(self, moved: Tensor, weights: Tensor, known: Tensor) -> Tensor:
        """What the displacements say about a pixel.

        Args:
            moved: LongTensor (..., C, displacements), the level that each of them brings there.
            weights: (..., displacements).
            known: BoolTensor (...), False where there is no last frame: all levels are then alike.

        Returns:
            (..., C, levels) probabilities.
        """
        votes = weights.new_zeros(*moved.shape[:-1], self.levels)
        votes = votes.scatter_add(-1, moved.clamp(min=0), weights.unsqueeze(-2).expand(moved.shape))
        return torch.where(known[..., None, None], votes, 1 / self.levels)

    def forward(self, before: Tensor, frame: Tensor, y: Tensor | None = None) -> Tensor:
        """The guess for each pixel of a frame, from the frames before, the pixels before and the class.

        Args:
            before: LongTensor (N, past, C, H, W), -1 where there was no frame.
            frame: LongTensor (N, C, H, W).
            y: LongTensor (N,), where there are classes.

        Returns:
            (N, H, W, C, levels) probabilities; those at a pixel depend on earlier pixels only.
        """
        moved = self.moved(before[:, -1])  # (N, D, C, H, W)
        differ = (moved != frame.unsqueeze(1)).sum(2).flatten(2)  # (N, D, H W)
        so_far = (differ.cumsum(2) - differ).unflatten(2, frame.shape[2:]).movedim(1, -1)  # (N, H, W, D)
        weights = self.weights(self.expect(before, y)[:, None, None], so_far)
        known = (before[:, -1, 0] >= 0).expand(weights.shape[:-1])
        return self.vote(moved.permute(0, 3, 4, 2, 1), weights, known)


class FramePixelCNN(ClipModel):
    """Gated masked convolutions in the current frame, conditioned on the frames before it.

    Args:
        shape: (C, T, H, W) of the clips.
        levels: number of levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        channels: features of a layer (divisible by C).
        layers: gated layers after the first one.
        past: how many earlier frames are read; 0 makes a model without time.
        match: whether the displacement of the last frame is searched, see `Match`; this needs past >= 2.
        speed: the largest displacement that is searched, in pixels.
        first_kernel: kernel of the first layer.
        kernel: kernel of the others.
        dropout: probability of dropping a gated feature.
        encoding: of the pixels of the current frame, see `level_features`.

    Example:
        >>> model = FramePixelCNN((1, 8, 16, 16), 17, channels=8, layers=1)
        >>> model.frame_log_probs(torch.zeros(2, 1, 5, 16, 16, dtype=torch.long)).shape  # any number of frames
        torch.Size([2, 5])
    """

    name = "frame_pixelcnn"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, layers=4, past=2, match=True, speed=2, first_kernel=7,
        kernel=3, dropout=0.0, encoding="thermometer",
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes)
        check_settings(0, whole=True, layers=layers, past=past)
        check_settings(1, whole=True, channels=channels, speed=speed)
        colors, _, height, width = shape
        if channels % colors:
            raise ValueError(f"expected channels divisible by {colors}, a group for each color, got {channels}")
        if match and past < 2:
            raise ValueError(f"a displacement is seen in two frames: expected past >= 2, or match=False, got {past}")
        self.channels, self.reach = channels, past
        self.register_buffer("table", level_features(levels, encoding), persistent=False)
        widths = [colors * self.table.shape[1]] + layers * [channels]
        self.convs = nn.ModuleList(
            CausalConv2d(c_in, 2 * channels, kernel if i else first_kernel, "B" if i else "A", colors=colors, parts=2)
            for i, c_in in enumerate(widths)
        )
        self.head_in = CausalConv2d(channels, 2 * channels, 1, "B", colors=colors)
        self.head_out = CausalConv2d(2 * channels, colors * self.head.n_params, 1, "B", colors=colors)
        biases = len(self.convs) * 2 * channels  # what enters the layers from outside of the frame
        self.encoder = _encoder(2 * past * colors, channels, biases) if past else None
        self.match = Match((colors, height, width), levels, speed, n_classes) if match else None
        self.guessed = nn.Linear(colors * levels, biases, bias=False) if match else None
        self.trust = nn.Parameter(torch.ones(())) if match else None
        self.classes = nn.Embedding(n_classes, biases) if n_classes else None
        self.dropout = nn.Dropout(dropout)

    @property
    def looks_ahead(self) -> int:
        """A row, for gray clips."""
        return self.shape[3] if self.shape[0] == 1 else 0

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: all frames at once, each given the true ones before it."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        frames = x.movedim(2, 1)  # (B, T, C, H, W)
        b, t = frames.shape[:2]
        now = frames.flatten(0, 1)
        before = earlier_frames(frames, self.reach).flatten(0, 1) if self.reach else None
        y = None if y is None else y.repeat_interleave(t)
        biases = self.biases(before, y)
        guess = None if self.match is None else self.match(before, now, y)
        if guess is not None:
            biases = biases + self.guessed(as_weights(guess.flatten(3), self.guessed)).movedim(3, 1)
        h = self.table[now].movedim(-1, 2).flatten(1, 2)
        for i, conv in enumerate(self.convs):
            bias = 0 if biases is None else biases[:, 2 * self.channels * i : 2 * self.channels * (i + 1)]
            new = self.dropout(gated_activation(conv(h) + bias))  # (B T, channels, H, W)
            h = h + new if i else new
        outputs = self.head_out(F.relu(self.head_in(F.relu(h))))
        params = self.head.of(outputs.unflatten(1, (x.shape[1], -1)).movedim(2, -1))  # (B T, C, H, W, levels)
        if guess is not None:
            params = params + self.vote(guess.movedim(3, 1))
        return params.unflatten(0, (b, t)).movedim(2, 1)

    def biases(self, before: Tensor | None, y: Tensor | None) -> Tensor | None:
        """What enters the layers of a frame from the frames before it and the class.

        Args:
            before: LongTensor (N, past, C, H, W), -1 where there was no frame; None for a model without time.
            y: LongTensor (N,), or None.

        Returns:
            (N, layers * 2 channels, H, W), the last two axes 1 where it is the same for all pixels; None for neither.
        """
        past = None
        if before is not None:
            there = (before >= 0).unsqueeze(2)
            values = torch.stack([before * (2 / (self.levels - 1)) - 1, torch.ones_like(before)], 2) * there
            past = self.encoder(as_weights(values.flatten(1, 3), self.encoder))
        if y is None:
            return past
        classes = self.classes(y)[..., None, None]
        return classes if past is None else past + classes

    def vote(self, guess: Tensor) -> Tensor:
        """What a guess (..., levels) adds to the parameters: (..., levels) nats, or (...) for two levels."""
        nats = self.trust * (guess + DOUBT).log()
        return nats if self.head.n_params > 1 else nats[..., 1] - nats[..., 0]

    # While a clip is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None, *, length: int | None = None) -> "Drawing":
        """No frames yet for n clips of classes y; see `step`. It holds `past` frames, whatever the length."""
        self.check_classes(y, n)
        self.shape_of(length)
        return Drawing(self, n, y)

    @torch.no_grad()
    def step(self, state: "Drawing", i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: a frame and a row are prepared where they begin, a pixel takes a few products."""
        self._arrive(state, i, x_prev)
        colors, _, _, width = self.shape
        with one_thread(state.n * self.channels):
            return self._pixel(state, i // colors % width, i % colors)

    @torch.no_grad()
    def look_ahead(self, state: "Drawing", i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """See `Autoregressive.look_ahead`: a pass over a few pixels calls as many operations as a pass over one."""
        if not self.looks_ahead:
            raise TypeError(f"looking ahead needs clips with one channel, got {self.shape[0]}; draw step by step")
        column, m, most = i % self.shape[3], len(guesses), self.block_end(i) - i - 1
        if m > most:
            raise ValueError(f"expected at most {most} guesses, to the end of the row of position {i}, got {m}")
        self._arrive(state, i, x_prev)
        with one_thread(state.n * (m + 1) * self.channels):
            if m:
                self._write(state, self._row(i), slice(column, column + m), 0, guesses)
            return self._pixel(state, slice(column, column + m + 1), 0).unflatten(0, (m + 1, state.n))

    def _row(self, i: int) -> int:
        return i // (self.shape[3] * self.shape[0]) % self.shape[2]

    def _arrive(self, state: "Drawing", i: int, x_prev: Tensor | None) -> None:
        """Store what was drawn at position i - 1, and prepare the frame and the row if position i begins one."""
        colors, _, _, width = self.shape
        if i:
            self._write(state, self._row(i - 1), (i - 1) // colors % width, (i - 1) % colors, x_prev.unsqueeze(0))
        if i % self.frame_positions == 0:
            if i and self.reach:
                state.before = torch.cat([state.before[:, 1:], state.frame.unsqueeze(1)], 1)
            self._start_frame(state)
        if i % (width * colors) == 0:
            with one_thread(state.n * self.channels * width):  # features of a row in all clips
                self._start_row(state, self._row(i))

    def _start_frame(self, state: "Drawing") -> None:
        """All that the frames before contribute to this one: the encoder runs once a frame."""
        width = self.shape[3]
        biases = self.biases(state.before if self.reach else None, state.y)
        if biases is not None:  # (H, layers, W, n, 2 channels)
            biases = biases.expand(-1, -1, *self.shape[2:]).unflatten(1, (-1, 2 * self.channels)).permute(3, 1, 4, 0, 2)
        state.biases = biases
        state.convs = [ConvCache(conv, state.n, width) for conv in self.convs]
        state.head = [ConvCache(conv, state.n, width) for conv in (self.head_in, self.head_out)]
        if self.match is not None:
            last = state.before[:, -1]
            state.moved = self.match.moved(last).permute(3, 4, 0, 2, 1).contiguous()  # (H, W, n, C, D)
            state.known = last[:, 0, 0, 0] >= 0
            state.expected = self.match.expect(state.before, state.y)  # (n, D)
            state.differences = state.expected.new_zeros(width + 1, *state.expected.shape)  # before each pixel of a row

    def _start_row(self, state: "Drawing", row: int) -> None:
        """All that the rows above contribute to this row: one product a layer."""
        state.row = row
        for k, cache in enumerate(state.convs):
            if row:
                cache.end_row()
            cache.start_row(None if state.biases is None else state.biases[row, k])
        for cache in state.head:
            cache.start_row()
        if self.match is not None and row:
            state.differences[0] = state.differences[-1]

    def _write(self, state: "Drawing", row: int, column: int | slice, color: int, values: Tensor) -> None:
        """Values (m, n) of the pixels drawn last, or guessed: as input of the first layer, and held against the last
        frame."""
        colors = self.shape[0]
        first, m = column.start if isinstance(column, slice) else column, len(values)
        state.frame[:, color, row, first : first + m] = values.T
        state.convs[0].write(column, color, self.table[values].flatten(0, 1))
        if self.match is not None and color == colors - 1:
            drawn = state.frame[:, :, row, first : first + m].permute(2, 0, 1)  # (m, n, C)
            differ = (state.moved[row, first : first + m] != drawn.unsqueeze(-1)).sum(2)  # (m, n, D)
            state.differences[first + 1 : first + m + 1] = state.differences[first] + differ.cumsum(0)

    def _pixel(self, state: "Drawing", column: int | slice, color: int) -> Tensor:
        """Parameters (m n, levels) of m pixels of one color; the same lines as `forward`."""
        colors = self.shape[0]
        if self.match is not None and color == 0:
            columns = column if isinstance(column, slice) else slice(column, column + 1)
            weights = self.match.weights(state.expected, state.differences[columns])  # (m, n, D)
            moved, known = state.moved[state.row, columns], state.known.expand(weights.shape[:-1])
            state.guess = self.match.vote(moved, weights, known).flatten(0, 1)  # (m n, C, levels)
            biases = self.guessed(as_weights(state.guess.flatten(1), self.guessed))
            state.from_guess = by_color(biases.unflatten(1, (-1, 2 * self.channels)), 2, colors)
        h = None
        for k, cache in enumerate(state.convs):
            b = cache.read(column, color) if h is None else cache.step(column, color, h)
            new = gated_activation(b if self.match is None else b + state.from_guess[color, :, k])
            h = new if h is None else h + new
        head_in, head_out = state.head
        params = self.head.of(head_out.step(column, color, F.relu(head_in.step(column, color, F.relu(h)))))
        return params if self.match is None else params + self.vote(state.guess[:, color])


class Drawing:
    """n clips while they are being drawn: the frame so far, those before it, and what they say about the next pixel."""

    def __init__(self, model: FramePixelCNN, n: int, y: Tensor | None):
        colors, _, height, width = model.shape
        self.n, self.y = n, y
        self.frame = torch.zeros(n, colors, height, width, dtype=torch.long, device=model.table.device)
        self.before = self.frame.new_full((n, model.reach, *self.frame.shape[1:]), -1)  # -1 where there was no frame
        # prepared where a frame begins
        self.biases = None  # what the frames before, and the class, add to the layers: (H, layers, W, n, 2 channels)
        self.convs, self.head = [], []
        # with a match: the last frame in all displacements, whether there was one, and which displacement to expect
        self.moved = self.known = self.expected = None
        self.row = 0
        self.differences = None  # of each displacement, in the pixels before each one of this row: (W + 1, n, D)
        self.guess = self.from_guess = None  # for the current pixels, and what that adds to the layers


def _encoder(c_in: int, channels: int, c_out: int) -> nn.Sequential:
    """Ordinary convolutions over frames that are known whole: nothing is masked."""
    return nn.Sequential(
        nn.Conv2d(c_in, channels, 5, padding=2), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
        nn.Conv2d(channels, c_out, 1),
    )  # fmt: skip
