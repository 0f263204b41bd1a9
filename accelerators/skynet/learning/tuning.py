"""A short training with the engine's number formats in sight, from a trained network whose batch norms are folded.

Weights, biases and every map are rounded to their types on the way forward; gradients pass as if they were not, but for
what saturates (straight-through; Bengio et al. 2013). Roundings within a sum, after every tap and tree, are not in
sight: they are measured afterwards, with everything else, by the engine's own arithmetic.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from accelerators.poetbin.learning.train import one_thread
from accelerators.skynet import detection
from accelerators.skynet.fixed import Fixed, Formats
from accelerators.skynet.learning import training
from accelerators.skynet.learning.loss import loss
from accelerators.skynet.learning.training import BATCH, DISTINCT, Settings, Sight, pictures
from accelerators.skynet.network import IMAGE, RELU_LIMIT, Kind, Layer, Network
from workloads.skynet import reorg

RATE = 0.001
"""A tenth of the training's: the network has been found. Ours."""


class Folded(nn.Module):
    """The layers of a folded network, rounded to `formats`. Maps are features, and so is the image."""

    def __init__(self, network: Network, formats: Formats) -> None:
        super().__init__()
        self.network, self.formats = network, formats
        for layer in network.convolutions():
            self.register_parameter(f"{layer.name}_weight", nn.Parameter(_tensor(layer.arrays()[0])))
            if layer.bias is not None:
                self.register_parameter(f"{layer.name}_bias", nn.Parameter(_tensor(layer.bias)))

    def forward(self, image: Tensor) -> Tensor:
        maps = {IMAGE: rounded(image, self.formats.feature)}
        for layer in self.network.layers:
            maps[layer.name] = self.layer(layer, [maps[source] for source in layer.sources])
        return maps[self.network.layers[-1].name]

    def layer(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        """The map of one layer."""
        if layer.kind is Kind.POOL:
            return nn.functional.max_pool2d(inputs[0], 2)
        if layer.kind is Kind.REORG:
            return reorg(inputs[0])
        if layer.kind is Kind.CONCAT:
            return torch.cat(inputs, 1)
        weight, bias = self.rounded(f"{layer.name}_weight"), None
        if layer.bias is not None:
            bias = self.rounded(f"{layer.name}_bias")
        if layer.kind is Kind.DEPTHWISE:
            made = nn.functional.conv2d(inputs[0], weight[:, None], bias, padding=1, groups=len(weight))
        else:
            made = nn.functional.conv2d(inputs[0], weight[:, :, None, None], bias)
        return rounded(made.clamp(0, RELU_LIMIT) if layer.relu else made, self.formats.feature)

    def rounded(self, name: str) -> Tensor:
        """A parameter as a weight of the engine."""
        return rounded(self.get_parameter(name), self.formats.weight)

    def trained(self) -> Network:
        """The network with the parameters as they are now, not rounded."""
        held = {name: parameter.detach().double().numpy() for name, parameter in self.named_parameters()}
        return Network(
            tuple(
                replace(layer, **{part: held[f"{layer.name}_{part}"] for part in ("weight", "bias")
                                  if f"{layer.name}_{part}" in held})
                for layer in self.network.layers
            ),
            self.network.inputs,
        )  # fmt: skip


def rounded(values: Tensor, target: Fixed) -> Tensor:
    """Values as codes of a type tell them, halves upwards; the gradient is that of clipping to its range."""
    step = 2.0**-target.fraction_bits
    kept = values.clamp(target.low * step, target.high * step)
    return kept + (torch.floor(kept / step + 0.5) * step - kept).detach()


def tune(network: Network, formats: Formats, settings: Settings, seen: Sight) -> Network:
    """The network after a short training for `formats`, on frames that its training did not see."""
    made = Folded(network, formats)
    optimizer = torch.optim.Adam(made.parameters(), RATE)
    first = DISTINCT // 2 + settings.seed * DISTINCT // 32
    with one_thread():
        for step in range(settings.steps):
            frames = detection.compose(seen.sources, "train", BATCH, first + step * BATCH)
            optimizer.param_groups[0]["lr"] = training.rate(step, settings.steps, RATE)
            found = loss(made(pictures(frames.images)), torch.from_numpy(frames.boxes).float(), seen.anchors)
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
    return made.trained()


def _tensor(array: np.ndarray) -> Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(np.asarray(array, np.float32).copy())
