"""A tiny network and its states in files, as the libraries write them."""

import pytest
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=2):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width * 36, 3)

    def forward(self, images):
        return self.fc(self.norm(self.conv(images)).flatten(1))


def state_at(step):
    """Return the state of a network at a step, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(step)
        return Net().state_dict()


@pytest.fixture
def net():
    return Net


@pytest.fixture
def state():
    return state_at


@pytest.fixture
def same():
    """Say whether two states are the same to the bit."""

    def check(one, other):
        return one.keys() == other.keys() and all(
            torch.equal(one[k], other[k]) and one[k].dtype == other[k].dtype for k in other
        )

    return check
