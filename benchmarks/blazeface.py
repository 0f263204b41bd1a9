"""What quantization costs BlazeFace, in integers; docs/quantization.md shows the table.

    python -m benchmarks.blazeface                     prints the tables (some minutes)
    python -m benchmarks.blazeface --samples FILE.npy  writes the images that ranges are taken from, for `hwsim deploy`

The images are composed: faces of scikit-image's `lfw_subset` (100 of Labeled Faces in the Wild, 25 x 25, grey) are
enlarged and put at a known place onto other photographs of scikit-image. Ranges come from 32 faces on five photographs,
everything else is measured on the other 68 faces, three times each, on six others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from accelerators.mcu.deploy.deployer import fit
from accelerators.mcu.deploy.parts import find_part
from hwsim.quant.assign import Bits, Scheme
from hwsim.quant.infer import infer_all, quantize_input
from hwsim.quant.network import Network, Product
from hwsim.quant.training.blocks import Recipe
from hwsim.quant.training.calibrate import correct_biases, round_to_nearest
from hwsim.quant.training.convert import convert
from hwsim.quant.training.prepare import QuantizedNetwork, prepare, quantized_values, weighted_layers
from workloads import blazeface, boxes
from workloads.boxes import Face, Reals

Maps = Sequence[Reals]
"""The four heads' values of one image, height x width x channels."""

CALIBRATION_FACES, FACES = 32, 100
TIMES = 3
CALIBRATION_BACKGROUNDS = ("rocket", "brick", "immunohistochemistry", "retina", "gravel")
BACKGROUNDS = ("coffee", "chelsea", "grass", "hubble_deep_field", "coins", "page")
SMALLEST, LARGEST = 40, 96
"""Sides of a face, in pixels of the network's input."""
SAME = 0.5
"""Boxes are of the same face if they overlap by more."""
BATCH = 32


@dataclass(frozen=True)
class Scenes:
    """Images as the network takes them (batch x 3 x 128 x 128), and where in each the face lies."""

    images: NDArray[np.float32]
    places: tuple[tuple[float, float, float, float], ...]


def scenes(faces: Sequence[int], backgrounds: Sequence[str], times: int, seed: int) -> Scenes:
    """Each of `faces` so many times, at random places and sizes, on the photographs in turn."""
    from skimage import data

    rng, patches = np.random.default_rng(seed), data.lfw_subset()
    views = [boxes.square(_colour(getattr(data, name)())) for name in backgrounds]
    images, places = [], []
    for i, face in enumerate(list(faces) * times):
        image, side = views[i % len(views)].copy(), int(rng.integers(SMALLEST, LARGEST + 1))
        left, top = (int(n) for n in rng.integers(0, boxes.SIZE - side + 1, 2))
        image[:, top : top + side, left : left + side] = enlarged(patches[face], side) * 2 - 1
        images.append(image)
        places.append((left / boxes.SIZE, top / boxes.SIZE, (left + side) / boxes.SIZE, (top + side) / boxes.SIZE))
    return Scenes(np.array(images, np.float32), tuple(places))


def calibration() -> Scenes:
    """What ranges and biases are taken from."""
    return scenes(range(CALIBRATION_FACES), CALIBRATION_BACKGROUNDS, 1, 1)


def held_out(times: int = TIMES) -> Scenes:
    """What is measured on."""
    return scenes(range(CALIBRATION_FACES, FACES), BACKGROUNDS, times, 2)


def _colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image if image.ndim == len(("height", "width", "channel")) else np.repeat(image[..., None], 3, axis=2)


def enlarged(patch: Reals, side: int) -> Reals:
    """A square of `side` pixels, bilinear."""
    at = np.clip((np.arange(side) + 0.5) * len(patch) / side - 0.5, 0, len(patch) - 1)
    low = np.minimum(at.astype(int), len(patch) - 2)
    share = at - low
    rows = patch[low] * (1 - share)[:, None] + patch[low + 1] * share[:, None]
    found: Reals = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    return found


# --- what a network says of them --------------------------------------------------------------------------------------


def float_maps(network: torch.nn.Module, images: NDArray[np.float32]) -> list[Maps]:
    """The heads' values by image, in float."""
    with torch.no_grad():
        parts = [network(torch.as_tensor(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
    whole = [torch.cat(maps).numpy().transpose(0, 2, 3, 1) for maps in zip(*parts, strict=True)]
    return [[head[i] for head in whole] for i in range(len(images))]


def integer_maps(network: Network, images: NDArray[np.float32]) -> list[Maps]:
    """The same by the golden function."""
    found: list[Maps] = []
    for i in range(0, len(images), BATCH):
        values = infer_all(network, quantize_input(network, images[i : i + BATCH].transpose(0, 2, 3, 1)))
        heads = [network.values[name] for name in network.outputs]
        real = [head.scale * (values[head.name] - head.zero) for head in heads]
        found += [[one[k] for one in real] for k in range(len(real[0]))]
    return found


@dataclass(frozen=True)
class Loss:
    """What became of a float network's faces: how many are found again, how many boxes are new, the mean overlap of a
    face's two boxes and the mean difference of its two scores. `placed`: how many faces are found where put."""

    wanted: int
    again: int
    new: int
    overlap: float
    score: float
    placed: int


def loss(found: Sequence[Maps], wanted: Sequence[Maps], places: Sequence[tuple[float, float, float, float]]) -> Loss:
    """Compare the faces of each image's maps with those of the float network's."""
    pairs, new, total, placed = list[tuple[Face, Face]](), 0, 0, 0
    for ours, theirs, place in zip(found, wanted, places, strict=True):
        mine, float_faces = boxes.faces(ours), boxes.faces(theirs)
        matched = [(m, f) for f in float_faces if (m := nearest(mine, f.box)) and boxes.overlap(m.box, f.box) > SAME]
        pairs += matched
        new += len(mine) - len({m for m, _ in matched})
        total += len(float_faces)
        best = nearest(mine, place)
        placed += best is not None and boxes.overlap(best.box, place) > SAME
    overlaps = [boxes.overlap(m.box, f.box) for m, f in pairs] or [0.0]
    scores = [abs(m.score - f.score) for m, f in pairs] or [0.0]
    return Loss(total, len(pairs), new, float(np.mean(overlaps)), float(np.mean(scores)), placed)


def nearest(faces: Sequence[Face], box: tuple[float, float, float, float]) -> Face | None:
    """The face that overlaps `box` most."""
    return max(faces, key=lambda face: boxes.overlap(face.box, box), default=None)


# --- quantized networks -----------------------------------------------------------------------------------------------

Mend = Callable[[QuantizedNetwork], QuantizedNetwork]


def quantized(network: torch.nn.Module, bits: Bits, recipe: Recipe, samples: Scenes, mend: Mend) -> Network:
    """The integer network; `mend` moves its biases."""
    chain = prepare(network, bits, recipe, torch.as_tensor(samples.images))
    return convert(mend(chain), (3, boxes.SIZE, boxes.SIZE), "blazeface")


def bits_of(network: torch.nn.Module, narrow: Callable[[str], bool], weights: int = 4, values: int = 8) -> Bits:
    """`weights` bits for the layers that `narrow` names, 8 for others; `values` bits between layers."""
    widest = Bits((8,) * weighted_layers(network), (8,) * quantized_values(network))
    chain = prepare(network, widest, Recipe.PC_ICN, torch.zeros(1, 3, boxes.SIZE, boxes.SIZE))
    heads = len(blazeface.HEADS)
    inner = (values,) * (len(widest.values) - heads - 1)
    return Bits(tuple(weights if narrow(block.name) else 8 for block in chain.blocks()), (8, *inner, *(8,) * heads))


def tables() -> None:
    """Measure and print."""
    torch.set_num_threads(2)
    network, samples, test = blazeface.network(), calibration(), held_out()
    wanted = float_maps(network, test.images)
    images = torch.as_tensor(samples.images)

    def corrected(chain: QuantizedNetwork) -> QuantizedNetwork:
        return correct_biases(chain, images)

    def deep(name: str) -> bool:
        return "depthwise" in name

    def middle(name: str) -> bool:
        return deep(name) or any(name == f"blocks.{i}.pointwise" for i in range(6, 11))

    def point(name: str) -> bool:
        return "pointwise" in name

    def head(name: str) -> bool:
        return name.startswith("heads")

    pc = Recipe.PC_ICN

    def make(bits: Bits) -> Network:
        return quantized(network, bits, pc, samples, corrected)

    rows: list[tuple[str, str, Recipe, Bits, Mend]] = [
        ("8", "8", pc, bits_of(network, bool, 8), lambda chain: chain),
        ("8", "8", pc, bits_of(network, bool, 8), round_to_nearest),
        ("8", "8", pc, bits_of(network, bool, 8), corrected),
        ("8", "8", Recipe.PL_ICN, bits_of(network, bool, 8), corrected),
        ("4 depthwise", "8", pc, bits_of(network, deep), corrected),
        ("4 depthwise, pointwise 6 to 10", "8", pc, bits_of(network, middle), corrected),
        ("4 pointwise", "8", pc, bits_of(network, point), corrected),
        ("4 heads", "8", pc, bits_of(network, head), corrected),
        ("4", "8", pc, bits_of(network, bool), corrected),
        ("8", "4", pc, bits_of(network, bool, 8, 4), corrected),
    ]
    mends = {round_to_nearest: "to nearest", corrected: "corrected"}
    print("| weights | values | scheme | biases | weights, bytes | found again | new | overlap | score off | placed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    print(f"| float | float | - | - | - | {_cells(loss(wanted, wanted, test.places))} |", flush=True)
    for weights, values, recipe, bits, mend in rows:
        made = quantized(network, bits, recipe, samples, mend)
        cells = _cells(loss(integer_maps(made, test.images), wanted, test.places))
        mended, size = mends.get(mend, "as they are"), made.flash_bits() // 8
        print(f"| {weights} | {values} | {recipe.value} | {mended} | {size:,} | {cells} |", flush=True)
    for name in ("stm32h743", "stm32h750", "nrf52840"):
        part = find_part(name)
        image, over = fit(make, make(bits_of(network, bool, 8)), part, Scheme.PC)
        if image is None:
            print(f"{name}: {'; '.join(map(str, over))}")
            continue
        sizes = {"flash": image.flash_bytes, "ram": image.ram_bytes}
        narrow = [layer.name for layer in image.network.layers if isinstance(layer, Product) and layer.weight_bits < 8]
        lower = [name for name, value in image.network.values.items() if value.bits < 8]
        print(f"{name}: {', '.join(f'{k} {sum(v.values()):,}' for k, v in sizes.items())} bytes; "
              f"weights below 8 bits {narrow}; values below 8 bits {lower}")  # fmt: skip
        print(_cells(loss(integer_maps(make(image_bits(image.network)), test.images), wanted, test.places)), flush=True)


def image_bits(network: Network) -> Bits:
    """The bits that a laid out network has."""
    products = [layer for layer in network.layers if isinstance(layer, Product)]
    own = [layer.output for layer in network.layers if not hasattr(layer, "window") or isinstance(layer, Product)]
    widths = [network.values[name].bits for name in (network.input, *own)]
    return Bits(tuple(layer.weight_bits for layer in products), tuple(widths))


def _cells(found: Loss) -> str:
    again = f"{found.again} of {found.wanted}"
    return f"{again} | {found.new} | {found.overlap:.3f} | {found.score:.3f} | {found.placed}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blazeface")
    parser.add_argument("--samples", type=Path, metavar="FILE.npy", help="write the images that ranges are taken from")
    path = parser.parse_args().samples
    if path is None:
        tables()
    else:
        np.save(path, calibration().images)


if __name__ == "__main__":
    main()
