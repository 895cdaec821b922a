"""How it is measured: a process for each library, every result checked, then turns of a few milliseconds in rounds."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ndpool.bench import peers
from ndpool.bench.record import Figure, Outcome, Problem, Record
from ndpool.bench.worker import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from ndpool.bench.cells import Cell

TURN = 0.02
#: Whoever takes this many times as long as the quickest leaves after one round.
HOPELESS = 20
#: How long to wait, at most, until the threads of the last turn are quiet.
QUIET = 0.5


class LibraryError(Exception):
    """A library raised something, or its process ended."""


class EndedError(LibraryError):
    """The process of a library ended."""


class Library:
    """The process of a library, which waits for requests."""

    def __init__(self, name: str, threads: int, log: Path) -> None:
        self.name, self._log = name, log
        with log.open("w") as chatter:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                # -P: a folder named torch where the command was typed is not PyTorch.
                [sys.executable, "-P", "-m", "ndpool.bench.worker", name, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=chatter,
                text=True,
                env={**os.environ, **environment(threads)},
            )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise EndedError(f"{self.name}: its process has no pipes")
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            words = [f"{self.name}: its process ended with code {self._process.wait()} at {do!r}", *last]
            raise EndedError("; ".join(words))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LibraryError(answer["error"])
        return answer

    def settle(self) -> None:
        """Wait until no thread of the process runs."""
        tasks, end = Path(f"/proc/{self._process.pid}/task"), time.monotonic() + QUIET
        while tasks.is_dir() and time.monotonic() < end:
            try:
                states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
            except OSError:  # a thread ended meanwhile
                continue
            if "R" not in states:
                return
            time.sleep(0.001)

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


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

    def measure(self, cells: Iterable[Cell], told: Callable[[str, str], None] | None = None) -> Record:
        """Measure cells; ``told`` hears what is going on, the cell and the library at work."""
        outcomes = tuple(self._outcome(cell, told or _silent) for cell in cells)
        import ndpool

        return Record(
            date=datetime.now(UTC).date().isoformat(),
            machine=processor(),
            threads=self.threads,
            rounds=self.rounds,
            cpu_level=str(ndpool.show_config()["cpu_level"]),
            versions=self.versions,
            outcomes=outcomes,
            notes=tuple(self.notes),
        )

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
        figures = tuple(entrant.figure() for entrant in entrants if entrant.seconds)
        return Outcome(cell.name, cell.what, cell.size, cell.direction, cell.traffic, figures, tuple(problems))

    def _admitted(self, cell: Cell, library: Library) -> tuple[list[Entrant], list[Problem]]:
        """Prepare a cell and check every way of a library to do it."""
        own = str(Path(self._folder.name) / "ndpool")
        entrants, problems = [], []

        def report(variant: str, kind: str, message: str) -> None:
            problems.append(Problem(library.name, variant, kind, message))

        variant = ""
        try:
            jobs = library.ask("prepare", cell=asdict(cell))["jobs"]
            for number, job in enumerate(jobs):
                variant = job["variant"]
                first = library.name == "ndpool" and number == 0
                files = {"save": own} if first else {"against": own}
                try:
                    verdict = library.ask("check", job=number, **files)
                except EndedError:
                    raise
                except LibraryError as error:
                    report(variant, "failed", str(error))
                    continue
                if verdict["misplaced"]:
                    report(variant, "wrong", verdict["misplaced"])
                elif verdict["different"]:
                    report(variant, "different", verdict["different"])
                else:
                    entrants.append(Entrant(library, number, variant, job["native"]))
        except EndedError as error:
            report(variant, "failed", str(error))
            self._dismiss(library, str(error))
            return [], problems
        except LibraryError as error:
            report(variant, "failed", str(error))
        return entrants, problems

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
    names = [name.strip() for name in asked.split(",") if name.strip()]
    for name in names:
        if name not in peers.PEERS:
            raise ValueError(f"peers: {name!r} is none of {', '.join(peers.PEERS)}")
        if name not in here:
            raise ValueError(f"peers: {name} is not installed ({peers.PEERS[name]} cannot be imported)")
    return names
