"""One library in a process of its own: ``python -m ndpool.bench.worker LIBRARY THREADS``.

Every line on standard input is a request in JSON, every line on standard output its answer. What the library prints
goes to standard error. The one who starts the process sets :func:`environment`, since libraries read it when they are
imported.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import Any

import numpy as np

from ndpool.bench import peers, reference
from ndpool.bench.cells import Array, Cell, Data, Regions, Window

#: A call that is shorter is warmed up by one that does not count: others have used the caches in the meantime.
LONG = 0.1
MOST_CALLS = 100_000


def environment(threads: int) -> dict[str, str]:
    """Return what a process gets, so that its libraries use ``threads`` threads that wait passively."""
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "KMP_BLOCKTIME": "0",
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "NUMBA_NUM_THREADS": count,
        "NPROC": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
    }


class Worker:
    """The jobs of one library for the present cell."""

    def __init__(self, library: str, threads: int) -> None:
        self.library, self.threads = library, threads
        self.cell: Cell | None = None
        self.data: Data | None = None
        self.jobs: list[peers.Job] = []

    def prepare(self, cell: dict[str, Any]) -> dict[str, Any]:
        """Make data and jobs; return what the jobs are called."""
        self.drop()
        self.cell = _cell(cell)
        self.data = self.cell.data()
        self.jobs = peers.prepare(self.library, self.cell, self.data, self.threads)
        return {"jobs": [{"variant": job.variant, "native": job.native} for job in self.jobs]}

    def check(self, job: int, save: str | None = None, against: str | None = None) -> dict[str, Any]:
        """Call a job once and say what is wrong: at sampled places, and as a whole ``against`` results that were saved.

        Parameters
        ----------
        job : int
            Which job.
        save, against : str, optional
            Beginnings of file names: where the results go, and where those to compare with are.
        """
        if self.cell is None or self.data is None:
            raise ValueError("nothing is prepared")
        returned = self.jobs[job].call()
        if self.library == "copy":
            return {}
        results = self.jobs[job].results(returned)
        wrong = reference.misplaced(self.cell, self.data, results, exact=self.library == "ndpool")
        different = None
        if against is not None and wrong is None:
            others = tuple(_load(f"{against}-{number}.npy", result) for number, result in enumerate(results))
            different = reference.different(self.cell, self.data, results, others)
        if save is not None and wrong is None:
            for number, result in enumerate(results):
                np.save(f"{save}-{number}.npy", _bits(result))
        return {"wrong": wrong, "different": different}

    def run(self, job: int, seconds: float) -> dict[str, Any]:
        """Call a job for about ``seconds``, at least once; return the time of a call."""
        todo, count = self.jobs[job], 1
        gc.collect()
        gc.disable()
        try:
            taken = _timed(todo, 1)
            if taken < LONG:
                taken = _timed(todo, 1)
            if taken < seconds:
                count = min(MOST_CALLS, int(seconds / taken) + 1)
                taken = _timed(todo, count)
        finally:
            gc.enable()
        return {"seconds": taken / count, "calls": count}

    def drop(self) -> dict[str, Any]:
        """Let go of data and jobs."""
        self.jobs, self.data = [], None
        gc.collect()
        return {}


def _timed(job: peers.Job, count: int) -> float:
    start = time.perf_counter()
    job.repeat(count)
    return time.perf_counter() - start


def _cell(fields: dict[str, Any]) -> Cell:
    """Make a cell again of what :func:`dataclasses.asdict` and JSON made of it."""
    windows = tuple(Window(**{name: tuple(values) for name, values in window.items()}) for window in fields["windows"])
    regions = None if fields["regions"] is None else Regions(**fields["regions"])
    return Cell(**{**fields, "shape": tuple(fields["shape"]), "windows": windows, "regions": regions})


def _bits(array: Array) -> Array:
    """View a dtype that ``.npy`` does not know as integers."""
    return array.view(np.uint16) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else array


def _load(path: str, like: Array) -> Array:
    saved: Array = np.load(path, mmap_mode="r")
    return saved.view(like.dtype) if like.dtype.name == "bfloat16" else saved


def main(library: str, threads: int) -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    worker = Worker(library, threads)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    def attempt(request: dict[str, Any]) -> dict[str, Any]:
        name = request.pop("do")
        try:
            if name == "version":
                return {"version": peers.version(library)}
            found: dict[str, Any] = getattr(worker, name)(**request)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the others go on
            lines = str(error).strip().splitlines()
            return {"error": f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]}
        return found

    for line in sys.stdin:
        answer(attempt(json.loads(line)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
