"""Kuzushiji-MNIST: cursive hiragana in the format of MNIST (ROIS-DS Center for Open Data in the Humanities)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.data import dataset
from cnnviz.data.torchvision_idx import IdxSet

if TYPE_CHECKING:
    from cnnviz.data.request import Request
    from cnnviz.data.split import Data

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataset("kmnist")
def load(request: Request) -> Data:
    """Return 60,000 training characters, test characters 0-4999 for validation and 5000-9999 for the test.

    Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha: Deep learning for classical Japanese literature (2018).
    """
    return IdxSet("kmnist", "KMNIST", CLASSES).load(request)
