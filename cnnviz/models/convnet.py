"""The notebook's network: two convolutions, each followed by ReLU and max-pooling, and two linear layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from cnnviz.errors import ModelError
from cnnviz.models import model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cnnviz.types import Images


@model("convnet")
class ConvNet(nn.Module):
    """Two convolutions with ReLU and 2x2 max-pooling, then a hidden linear layer, dropout and the logits.

    Every layer is a named module, so that each can be looked at, and no ReLU works in place, so that what a
    hook saw before it stays what it was.

    Attributes:
        conv1: Convolution of the image, `depth[0]` feature maps of the image's size.
        conv2: Convolution of the pooled maps, `depth[1]` feature maps of half that size.
        fc1: Linear layer from the flattened maps to `hidden` units.
        fc2: Linear layer from the hidden units to the logits.
    """

    def __init__(  # noqa: PLR0913 (an architecture's arguments are its configuration)
        self,
        *,
        depth: Sequence[int] = (4, 8),
        kernel_size: int = 5,
        image_size: int = 28,
        channels: int = 1,
        classes: int = 10,
        hidden: int = 512,
        dropout: float = 0.5,
    ) -> None:
        """Build the network; the defaults give the notebook's 207,258 parameters.

        Args:
            depth: Feature maps of the first and the second convolution.
            kernel_size: Height and width of each kernel in pixels, odd: the padding keeps the maps' size.
            image_size: Height and width of an image in pixels, at least 4 (it is halved twice, rounding down).
            channels: Channels of an image.
            classes: Number of classes.
            hidden: Units of the hidden linear layer.
            dropout: Probability of zeroing a hidden unit in training, in [0, 1).

        Raises:
            ModelError: If an argument is out of its range.
        """
        super().__init__()
        first, second = _two(depth)
        _check_counts(kernel_size=kernel_size, image_size=image_size, channels=channels)
        _check_counts(classes=classes, hidden=hidden)
        if kernel_size % 2 == 0:
            raise ModelError(
                f"convnet: kernel_size must be odd, not {kernel_size}: the padding is half of it"
            )
        if image_size < 4:
            raise ModelError(f"convnet: image_size must be at least 4, not {image_size}: it is halved twice")
        if not 0 <= dropout < 1:
            raise ModelError(f"convnet: dropout must be in [0, 1), not {dropout}")
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(channels, first, kernel_size, padding=padding)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(first, second, kernel_size, padding=padding)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(second * (image_size // 4) ** 2, hidden)
        self.relu3 = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, classes)
        # With channels last in memory its few channels train a fifth faster on the CPU; the values stay the same.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Images) -> Tensor:
        """Return the logits of each class.

        The notebook ends in log-softmax and takes the negative log-likelihood; cross-entropy of the logits is
        the same loss, and log-softmax never changes which class is the largest.

        Args:
            images: Images of shape (b, channels, image_size, image_size), in [0, 1].

        Returns:
            Logits of shape (b, classes), of any value.
        """
        maps = self.pool1(self.relu1(self.conv1(images)))
        maps = self.pool2(self.relu2(self.conv2(maps)))
        units = self.dropout(self.relu3(self.fc1(maps.flatten(1))))
        logits: Tensor = self.fc2(units)
        return logits


def _two(depth: Sequence[int]) -> tuple[int, int]:
    """Return the two numbers of feature maps; from JSON they come as a list."""
    whole = isinstance(depth, list | tuple) and all(type(d) is int for d in depth)
    if not whole or len(depth) != 2 or min(depth) < 1:
        raise ModelError(
            f"convnet: depth must be two numbers of feature maps, each at least 1, not {depth!r}"
        )
    return depth[0], depth[1]


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if type(count) is not int or count < 1:
            raise ModelError(f"convnet: {name} must be a whole number of at least 1, not {count!r}")
