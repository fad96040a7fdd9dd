"""Activations and gradients of named layers, and which layers a network has: the only place that registers hooks.

A layer is what a forward pass calls, whether a module or a function. It is named as torchvision's feature extraction
names it: a module by its path, a function by the path of the module that calls it and its own name
(`layer1.0.add`), and each further call by a number behind that (`layer1.0.relu_1`).
"""

from cnnviz.probe.capture import Probe
from cnnviz.probe.find import FoundLayer, FoundLayers, find_layers, layers_in_order

__all__ = ["FoundLayer", "FoundLayers", "Probe", "find_layers", "layers_in_order"]
