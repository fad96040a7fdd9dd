"""The images that a network takes, and with them the layers: those of a data set, else of sizes that are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError
from cnnviz.importing.building import channels_of
from cnnviz.importing.layers import TREE, layers_of
from cnnviz.importing.network import OWN_SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnviz.data.split import Data
    from cnnviz.importing.fitting import Shape
    from cnnviz.importing.layers import Layers
    from cnnviz.importing.network import Network


def layers_with(network: Network, data: Data | None, size: int | None) -> Layers:
    """Return the layers of a network as they run on the first image that it takes.

    Args:
        network: The network.
        data: The data set whose images travel with the run, if any; no others are tried then.
        size: Height and width of an image in pixels, if its user told it.

    Raises:
        ConfigError: If the data are not what the network takes.
    """
    if data is not None:
        return _with_data(network, data)
    first, *others = _tried(network, size)
    layers = layers_of(network.model, first)
    for image in others:
        if layers.source != TREE:
            break
        other = layers_of(network.model, image)
        layers = layers if other.source == TREE else other  # the first reason is the one to tell
    return layers


def _with_data(network: Network, data: Data) -> Layers:
    told = {"channels": data.channels, "classes": len(data.classes)}
    for key, value in told.items():
        if key in network.takes and network.arguments.get(key, value) != value:
            raise _unfit(data, key, value, network.arguments[key])
    layers = layers_of(network.model, data.shape)
    # What its factory was not asked for, running it tells: some put an image of one channel into three.
    channels = channels_of(network.model)
    if layers.source == TREE and channels is not None and channels != data.channels:
        raise _unfit(data, "channels", data.channels, channels)
    return layers


def _unfit(data: Data, key: str, value: int, other: int) -> ConfigError:
    what = key if value != 1 else {"channels": "channel", "classes": "class"}[key]
    return ConfigError(
        f"the images of {data.name} are not this network's: they have {value} {what}, the network has {other}"
    )


def _tried(network: Network, size: int | None) -> Iterator[Shape]:
    arguments = network.arguments
    told = arguments.get("channels") or channels_of(network.model)
    if "image_size" in network.takes:
        size = arguments["image_size"]
    for pixels in OWN_SIZES if size is None else (size,):
        for channels in (1, 3) if told is None else (told,):
            yield channels, pixels, pixels
