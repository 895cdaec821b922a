"""The floor: threads of ``numpy.copyto`` that move the bytes of a cell into memory that is already there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ndpool.bench.peers import Job

if TYPE_CHECKING:
    from ndpool.bench.cells import Array, Cell, Data

TASKS = ("pool", "omit", "unpool", "regions")
#: Bytes below which a second thread costs more than it saves.
SHARED = 1 << 18


def prepare(cell: Cell, data: Data, threads: int) -> list[Job]:
    """Copy half of the bytes that the cell reads and writes; many copies are handed out to the threads once."""
    half = cell.traffic // 2
    source = np.resize(np.ascontiguousarray(data.x).view(np.uint8).reshape(-1), half)
    destination = source.copy()
    shares = threads if half >= SHARED else 1
    edges = [half * share // shares for share in range(shares + 1)]
    parts = [(destination[low:high], source[low:high]) for low, high in pairwise(edges)]
    pool = ThreadPoolExecutor(shares)

    def share(part: tuple[Array, Array], count: int) -> None:
        for _ in range(count):
            np.copyto(*part)

    def many(count: int) -> None:
        if shares == 1:
            share(parts[0], count)
        else:
            list(pool.map(share, parts, [count] * shares))

    return [Job("", lambda: many(1), lambda _: (), many=many)]
