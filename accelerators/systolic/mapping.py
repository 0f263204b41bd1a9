"""The ways to cut a product into tiles that are worth looking at, for `hwsim map`.

The costs of a tile (`accelerators.systolic.tiling`) depend on it through how many tiles there are along each dimension
and how many blocks of the array they hold. Of all tiles that make as many trips, the smallest takes the least room, and
the largest with no more blocks, or the whole blocks beyond it, leave the fewest blocks: these stand for all. A tile
between them, where only that fits, can leave one block less in the last tile of a row; such are not offered. Beside
tiles over n and k the tile over m is the largest that fits, or one block, which may stay in the array. Orders that
differ only in loops of one trip are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

from accelerators.systolic.design import Design, LoopOrder
from accelerators.systolic.tasks import MappedProduct, Product, Share, shared, unique_share
from accelerators.systolic.tiling import BEST, choose, fits, room
from hwsim.errors import bad_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Choices = NDArray[np.int64]

ORDERS = {order.name.lower(): int(order) for order in LoopOrder if order is not LoopOrder.BEST}


class Choice(NamedTuple):
    """Tiles of the rows that one core works on, and the loops over tiles, outermost first (`LoopOrder`)."""

    tile_m: int
    tile_n: int
    tile_k: int
    order: int


class Space:
    """What may be chosen for a product (the protocol of `hwsim.mapping`)."""

    mapped: Mapping[type, type] = {Product: MappedProduct}
    Choice = Choice

    def default(self, design: Design, task: Product) -> Choice:
        """What the model takes by itself."""
        s, unique = _core(design, task)
        copies = max(1, s.active * s.copies // s.split)
        return Choice(*choose(design, s.rows, task.n, task.k, unique, task.halo, s.active, copies))

    def choices(self, design: Design, task: Product) -> Choices:
        """All that are worth looking at, as rows of `Choice`."""
        import numpy as np

        s, unique = _core(design, task)
        m, n, k = s.rows, task.n, task.k
        r = room(design, m, n, k, unique, task.halo)
        tile_n, tile_k = (a.reshape(-1) for a in np.meshgrid(_sizes(n, r.least_n), _sizes(k, r.least_k)))
        most = np.minimum(r.inputs // tile_k, r.outputs // tile_n)
        if r.reuse > 1:
            formed = (r.inputs - -(-r.halo * tile_k // k)) * r.reuse // tile_k
            most = np.minimum(np.maximum(r.inputs // tile_k, formed), r.outputs // tile_n)
        held = (tile_n * tile_k <= r.weights) & (most >= 1)
        tile_n, tile_k, most = tile_n[held], tile_k[held], np.minimum(most[held], m)
        even = -(-m // -(-m // most))
        blocks = np.minimum(m, -(-even // r.least_m) * r.least_m)
        rows = [np.stack((tile_m, tile_n, tile_k), 1)[tile_m <= most]
                for tile_m in (even, blocks, most, np.full_like(most, r.least_m))]  # fmt: skip
        tiles = np.unique(np.concatenate(rows), axis=0)
        return _ordered(design, tiles, (m, n, k))

    def broken(self, design: Design, task: Product, choice: Choice) -> str:
        """The rule that a choice breaks on this design, or nothing."""
        s, unique = _core(design, task)
        sizes = (s.rows, task.n, task.k)
        for name, tile, size in zip(("m", "n", "k"), choice, sizes, strict=False):
            if not 1 <= tile <= size:
                return f"tile_{name} is from 1 to {size}"
        if choice.order not in ORDERS.values():
            return f"the order is one of {', '.join(ORDERS)}"
        if not fits(design, *sizes, *choice[:3], unique, task.halo):
            return "a tile of each operand lies in half of its SRAM"
        return ""

    def words(self, choice: Choice) -> dict[str, int | str]:
        """A choice for people and files."""
        return {**choice._asdict(), "order": LoopOrder(choice.order).name.lower()}

    def read(self, words: Mapping[str, Any]) -> Choice:
        """A choice from what `words` gave. Raises InputError for other keys or values."""
        tiles = [words.get(f) for f in Choice._fields[:3]]
        if set(words) != set(Choice._fields) or not all(type(t) is int for t in tiles):
            rule = f"a choice has whole numbers {', '.join(Choice._fields[:3])}, and an order"
            raise bad_input("mapping", dict(words), rule)
        if words["order"] not in ORDERS:
            raise bad_input("mapping", words["order"], f"the order is one of {', '.join(ORDERS)}")
        return Choice(*tiles, ORDERS[words["order"]])  # type: ignore[arg-type]


SPACE = Space()


def _core(design: Design, task: Product) -> tuple[Share, int]:
    """What one core does of a product, and the different elements of its inputs."""
    s = shared(design, task.batch, task.m)
    return s, unique_share(task, s)


def _sizes(size: int, block: int) -> Choices:
    """For every number of trips the smallest tile that makes as many, and the largest of as many with no more blocks;
    and whole blocks, which may make fewer."""
    import numpy as np

    trips = np.unique(-(-size // np.arange(1, size + 1)))
    least = -(-size // trips)
    most = np.where(trips > 1, -(-size // np.maximum(trips - 1, 1)) - 1, size)
    blocks = np.minimum(size, -(-least // block) * block)
    return np.unique(np.concatenate((least, np.minimum(blocks, most), blocks)))


def _ordered(design: Design, tiles: Choices, sizes: tuple[int, int, int]) -> Choices:
    """Tiles in every order that is not the same as another one before it."""
    import numpy as np

    if design.loop_order != BEST:
        return np.column_stack((tiles, np.full(len(tiles), int(design.loop_order), np.int64)))
    several = np.stack([-(-size // tiles[:, i]) > 1 for i, size in enumerate(sizes)], 1)
    found = []
    for at, order in enumerate(permutations("mnk")):
        columns = ["mnk".index(letter) for letter in order]
        # The first of all orders that leave the loops of several trips in the same turn has the others in turn of mnk.
        first = np.ones(len(tiles), bool)
        for earlier in list(permutations("mnk"))[:at]:
            other = ["mnk".index(letter) for letter in earlier]
            first &= ~_same_turn(several, columns, other)
        number = ORDERS["".join(order)]
        found.append(np.column_stack((tiles[first], np.full(int(first.sum()), number, np.int64))))
    return np.concatenate(found)


def _same_turn(several: NDArray[np.bool_], first: list[int], second: list[int]) -> NDArray[np.bool_]:
    """Where two orders put the loops of several trips in the same turn."""
    import numpy as np

    same = np.ones(len(several), bool)
    for a in range(3):
        for b in range(a + 1, 3):
            turned = (first.index(a) < first.index(b)) != (second.index(a) < second.index(b))
            if turned:
                same &= ~(several[:, a] & several[:, b])
    return same
