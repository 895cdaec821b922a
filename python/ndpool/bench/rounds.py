"""How it is measured: a process for each library, every result checked, then turns of a few milliseconds in rounds."""

from __future__ import annotations

import os
import platform
import statistics
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import ndpool
from ndpool.bench import peers
from ndpool.bench.process import EndedError, Library, LibraryError
from ndpool.bench.record import Figure, Outcome, Problem, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from ndpool.bench.cells import Cell

TURN = 0.02
#: Whoever takes this many times as long as the quickest leaves after one round.
HOPELESS = 20


@dataclass
class Entrant:
    """One way of one library to do the present cell, and its times."""

    library: Library
    job: int
    variant: str
    native: bool
    seconds: list[float] = field(default_factory=list)
    staying: bool = True

    def turn(self, seconds: float) -> None:
        """Take a turn."""
        self.seconds.append(self.library.ask("run", job=self.job, seconds=seconds)["seconds"])
        self.library.settle()

    def figure(self) -> Figure:
        """Sum up the turns."""
        return Figure(
            self.library.name,
            self.variant,
            self.native,
            statistics.median(self.seconds),
            min(self.seconds),
            len(self.seconds),
        )


class Bench:
    """The processes of all libraries, as a context; :meth:`measure` takes them through cells."""

    def __init__(self, names: Sequence[str], threads: int, rounds: int, seconds: float = TURN) -> None:
        self.threads, self.rounds, self.seconds = threads, rounds, seconds
        self.notes: list[str] = []
        self.versions: dict[str, str] = {}
        self._folder = TemporaryDirectory(prefix="ndpool-bench-", ignore_cleanup_errors=True)
        self._libraries: list[Library] = []
        try:
            for name in ("ndpool", *names, "copy"):  # ndpool first: the others' results are compared with its own
                self._libraries.append(Library(name, threads, Path(self._folder.name) / f"{name}.log"))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        try:
            self._introduce()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _introduce(self) -> None:
        for library in [*self._libraries]:
            try:
                self.versions[library.name] = library.ask("version")["version"]
            except LibraryError as error:
                self._dismiss(library, f"{library.name} is left out: {error}")

    def __exit__(self, *_: object) -> None:
        for library in self._libraries:
            library.close()
        self._folder.cleanup()

    def measure(self, cells: Iterable[Cell], told: Callable[[str, str], None] | None = None) -> Iterator[Record]:
        """Give the record so far after each cell; ``told`` hears the cell and the library that is at work."""
        record = Record(
            date=datetime.now(UTC).date().isoformat(),
            machine=processor(),
            threads=self.threads,
            rounds=self.rounds,
            cpu_level=str(ndpool.show_config()["cpu_level"]),
            versions=self.versions,
        )
        for cell in cells:
            outcome = self._outcome(cell, told or _silent)
            record = replace(record, outcomes=(*record.outcomes, outcome), notes=tuple(self.notes))
            yield record

    def _outcome(self, cell: Cell, told: Callable[[str, str], None]) -> Outcome:
        problems: list[Problem] = []
        entrants: list[Entrant] = []
        agreeing = 0
        for library in [*self._libraries]:
            told(cell.name, library.name)
            found, wrong = self._admitted(cell, library)
            entrants += found
            problems += wrong
            agreeing += sum(library.name not in ("ndpool", "copy") for _ in found)
        differing = [problem for problem in problems if problem.kind == "different"]
        if differing and not agreeing and all(problem.library != "ndpool" for problem in problems):
            # Right at the sampled places, and yet nobody has the same: then it is not the others.
            message = f"{differing[0].name} has {differing[0].message}"
            problems.append(Problem("ndpool", "", "wrong", message))
            entrants = [entrant for entrant in entrants if entrant.library.name != "ndpool"]
        self._rounds(cell, entrants, problems, told)
        for library in [*self._libraries]:
            try:
                library.ask("drop")
            except LibraryError as error:
                self._dismiss(library, str(error))
        for results in Path(self._folder.name).glob("*.npy"):
            with suppress(OSError):  # where a file cannot go that somebody still maps
                results.unlink()
        figures = tuple(entrant.figure() for entrant in entrants if entrant.seconds)
        return Outcome(cell.name, cell.what, cell.size, cell.direction, cell.traffic, figures, tuple(problems))

    def _admitted(self, cell: Cell, library: Library) -> tuple[list[Entrant], list[Problem]]:
        """Prepare a cell and check every way of a library to do it."""
        entrants, problems = [], []
        try:
            for number, job in enumerate(library.ask("prepare", cell=asdict(cell))["jobs"]):
                found = self._checked(cell, library, number)
                if found is None:
                    entrants.append(Entrant(library, number, job["variant"], job["native"]))
                else:
                    problems.append(Problem(library.name, job["variant"], *found))
        except LibraryError as error:
            problems.append(Problem(library.name, "", "failed", str(error)))
            if isinstance(error, EndedError):
                self._dismiss(library, str(error))
                entrants = []
        return entrants, problems

    def _checked(self, cell: Cell, library: Library, job: int) -> tuple[str, str] | None:
        """Say what kind of problem a job has, if any, and what it is."""
        saved, files = Path(self._folder.name) / cell.name, {}
        if library.name == "ndpool" and job == 0:
            files["save"] = str(saved)
        elif Path(f"{saved}-0.npy").exists():  # which it does if it was right
            files["against"] = str(saved)
        try:
            verdict = library.ask("check", job=job, **files)
        except EndedError:
            raise
        except LibraryError as error:
            return "failed", str(error)
        return next(((kind, message) for kind, message in verdict.items() if message), None)

    def _rounds(
        self, cell: Cell, entrants: list[Entrant], problems: list[Problem], told: Callable[[str, str], None]
    ) -> None:
        for number in range(self.rounds):
            for entrant in entrants:
                if not entrant.staying:
                    continue
                told(cell.name, entrant.library.name)
                try:
                    entrant.turn(self.seconds)
                except LibraryError as error:
                    entrant.staying, entrant.seconds = False, []
                    problems.append(Problem(entrant.library.name, entrant.variant, "failed", str(error)))
                    if isinstance(error, EndedError):
                        self._dismiss(entrant.library, str(error))
            if number == 0:
                quickest = min(
                    (e.seconds[0] for e in entrants if e.seconds and e.library.name != "copy"), default=float("inf")
                )
                for entrant in entrants:
                    kept = entrant.library.name in ("ndpool", "copy")
                    slow = entrant.seconds and entrant.seconds[0] > HOPELESS * quickest
                    entrant.staying = entrant.staying and (kept or not slow)

    def _dismiss(self, library: Library, why: str) -> None:
        """Go on without a library; without ndpool there is nothing to measure."""
        if library not in self._libraries:
            return
        self._libraries.remove(library)
        library.close()
        if library.name == "ndpool":
            raise EndedError(why)
        self.notes.append(why)


def _silent(cell: str, library: str) -> None:
    """Tell nobody."""


def processor() -> str:
    """Name the processor, and how many of them this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = names[0].partition(":")[2].strip() if names else name
    return f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} processors"


def chosen(asked: str | None) -> list[str]:
    """Turn a comma-separated list of peers into names, all that are installed if there is no list.

    Raises
    ------
    ValueError
        When a peer has no such name or is not installed.
    """
    here = peers.installed()
    if asked is None:
        return here
    names = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    for name in names:
        if name not in peers.PEERS:
            raise ValueError(f"peers: {name!r} is none of {', '.join(peers.PEERS)}")
        if name not in here:
            raise ValueError(f"peers: {name} is not installed ({peers.PEERS[name]} cannot be imported)")
    return names
