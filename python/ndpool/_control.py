"""Threads, and what this build and this machine are."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ndpool import _ndpool
from ndpool._ndpool import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["get_num_threads", "set_num_threads", "show_config", "threads"]


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Use `n` threads for calls from this thread, until the block ends.

    Parameters
    ----------
    n : int
        Number of threads, from 1 to 1024.

    Examples
    --------
    >>> import ndpool
    >>> with ndpool.threads(1):
    ...     ndpool.get_num_threads()
    1
    """
    if n is None:  # which would undo an outer block
        raise TypeError("n: None must be an int")
    before = _ndpool.set_num_threads_here(n)
    try:
        yield
    finally:
        _ndpool.set_num_threads_here(before)


def show_config() -> dict[str, object]:
    """Return the version, the CPU level, the number of threads, and what they were chosen from.

    Returns
    -------
    dict
        `version`, `cpu_level` (in use), `cpu_levels` (that this CPU has), `threads`, `features` (`["rayon"]` in a
        build with threads), `numpy`.

    Examples
    --------
    >>> import ndpool
    >>> sorted(ndpool.show_config())
    ['cpu_level', 'cpu_levels', 'features', 'numpy', 'threads', 'version']
    """
    return {
        "version": _ndpool.__version__,
        "cpu_level": _ndpool.cpu_level(),
        "cpu_levels": _ndpool.cpu_levels(),
        "threads": get_num_threads(),
        "features": _ndpool.features(),
        "numpy": np.__version__,
    }
