"""A residual network of eighteen layers for small pictures, its batch normalisation replaced by groups.

Batch statistics of one holder are no use to another, and are state beside the weights; those of a group are of one example.

Reference: K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", 2016, sections 3 and 4.2 (a
first convolution of 3 x 3, no pooling after it); Y. Wu, K. He, "Group Normalization", 2018: 32 groups, the last scale of each
block 0.
"""

import torch
from torch import nn

GROUPS = 32
STAGES = 4
BLOCKS = 2
"""Of a stage: with two convolutions each, the first and the last layer, eighteen."""


class Block(nn.Module):
    """Two convolutions, and what went in added to what comes out.

    Args:
        before: channels that go in.
        after: channels that come out.
        stride: of the first convolution.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(before, after, 3, stride)
        self.first_norm = _norm(after)
        self.second = _convolution(after, after, 3, 1)
        self.second_norm = _norm(after)
        nn.init.zeros_(self.second_norm.weight)
        same = before == after and stride == 1
        self.shortcut = None if same else nn.Sequential(_convolution(before, after, 1, stride), _norm(after))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """`(examples, after, rows / stride, columns / stride)` of `(examples, before, rows, columns)`."""
        found = torch.relu(self.first_norm(self.first(pictures)))
        kept = pictures if self.shortcut is None else self.shortcut(pictures)
        output: torch.Tensor = torch.relu(self.second_norm(self.second(found)) + kept)
        return output


def network(colours: int, channels: int, classes: int) -> nn.Sequential:
    """The model, for pictures of any size: with 64 channels and 3 colours, 11,173,962 parameters over ten classes.

    Args:
        colours: of a picture: 1 for grey.
        channels: of the first of four stages, each of which has twice as many as the one before and half the rows.
        classes: scores that come out.
    """
    layers: list[nn.Module] = [_convolution(colours, channels, 3, 1), _norm(channels), nn.ReLU()]
    before = channels
    for stage in range(STAGES):
        after = channels << stage
        for number in range(BLOCKS):
            layers.append(Block(before, after, 2 if stage and not number else 1))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def _convolution(before: int, after: int, side: int, stride: int) -> nn.Conv2d:
    made = nn.Conv2d(before, after, side, stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(GROUPS, channels // 2), channels)
