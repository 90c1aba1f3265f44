"""The start of a PixelCNN++ whose inputs are scaled values: left + above - above left, with enlarged differences.

To pass a value on exactly is what a network learns slowly, so a model of photographs starts where simple image formats
end. And neighbors in a photograph differ by few levels, which is little beside [-1, 1]: with a `contrast` above 1 the
first features start as differences of neighbors, that many times larger, and what is read out of them is divided again,
so that a step of the optimizer moves a mean by a fraction of a level. Neither is in the paper.
"""

import math

import torch

FOLLOW = 0.9  # how far the mean of a color follows the color before it


@torch.no_grad()
def start_from_neighbors(model) -> None:
    """Start with components around what the neighbors suggest, colors that follow each other, several scales.

    The mean of R starts at r = left + above - above left (what lies outside counts as 0), that of G likewise at
    g + 0.9 (x_R - r), and B follows G.

    Args:
        model: a `PixelCNNPP` with mixtures, the encoding "scaled" and at least as many channels as colors; changed in
            place.
    """
    k, colors, features = model.mixtures, model.shape[0], model.table.shape[1]
    model.out.bias.zero_()
    model.out.bias[model.log_scales] = torch.linspace(-3.5, -0.5, k + 2)[1:-1].repeat(colors)
    model.direct.weight.mul_(0.1)
    if model.contrast > 1:
        _start_from_differences(model)
    for c in range(colors):
        for conv in (model.first_left, model.first_above):  # feature c of the stream predicts color c
            conv.weight[c], conv.bias[c] = 0, 0
        model.first_left.weight[c, c * features, :, 0] = torch.tensor([-1.0, 1.0]) * model.contrast
        model.first_above.weight[c, c * features, 0, 1] = model.contrast
        rows = slice(k + c * k, k + (c + 1) * k)
        model.direct.weight[rows] = 0
        model.direct.weight[rows, c] = model.contrast
        if c:
            model.direct.weight[rows, c - 1] = -FOLLOW * model.contrast
            coef = c * (c - 1) // 2 + c - 1  # of channel c for the channel before it
            start = k + 2 * colors * k + coef * k
            model.out.bias[start : start + k] = math.atanh(FOLLOW)


def _start_from_differences(model) -> None:
    """The kernels of the first features sum to zero over the pixels of a color, and are larger by the contrast."""
    values = slice(0, None, model.table.shape[1])  # the inputs that are values; the others are the constant 1
    for convs in ([model.first_left, model.first_above], [model.first_u]):
        weights = [conv.weight[:, values] for conv in convs]  # views
        total = sum(weight.sum((2, 3), keepdim=True) for weight in weights)
        taps = sum(weight[0, 0].numel() for weight in weights)
        for weight in weights:
            weight.sub_(total / taps).mul_(model.contrast)
    model.direct.weight.zero_()
