"""What a run leaves: figures for each cell, and the machine that they are of. It is written as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: What a cell counts on which ndpool is wrong or fails.
FAILED = 0.1


@dataclass(frozen=True)
class Way:
    """One way of one library to do a cell."""

    library: str
    variant: str

    @property
    def name(self) -> str:
        """The library, and after a colon how it was used."""
        return f"{self.library}:{self.variant}" if self.variant else self.library


@dataclass(frozen=True)
class Figure(Way):
    """Seconds of a call: the median and the least of the rounds."""

    native: bool
    median: float
    least: float
    rounds: int


@dataclass(frozen=True)
class Problem(Way):
    """Why there is no figure: the result is ``wrong`` or ``different`` from ndpool's, or the library ``failed``."""

    kind: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """All figures of one cell."""

    cell: str
    what: str
    size: str
    direction: str
    traffic: int
    figures: tuple[Figure, ...]
    problems: tuple[Problem, ...] = ()

    def figure(self, library: str, variant: str = "") -> Figure | None:
        """Return the figure of one way of one library."""
        return next((f for f in self.figures if (f.library, f.variant) == (library, variant)), None)

    @property
    def ours(self) -> Figure | None:
        """Return ndpool's figure, with a fresh result."""
        return self.figure("ndpool")

    @property
    def best(self) -> Figure | None:
        """Return the fastest peer on the same data in the same layout."""
        return _fastest(self.rivals)

    @property
    def rivals(self) -> list[Figure]:
        """Return the figures of peers on the same data in the same layout."""
        return [figure for figure in self.figures if figure.native and figure.library not in ("ndpool", "copy", "loop")]

    @property
    def any_layout(self) -> Figure | None:
        """Return the fastest peer that had the data in a layout of its own choice."""
        return _fastest(f for f in self.figures if not f.native)

    @property
    def ratio(self) -> float | None:
        """Return the time of the best peer over ndpool's: above 1 is won."""
        if self.ours is None:
            return FAILED
        return self.over(self.best)

    @property
    def least_ratio(self) -> float | None:
        """Return the ratio again, of the least of the rounds: steadier where others use the machine too."""
        if self.ours is None:
            return FAILED
        least = min((figure.least for figure in self.rivals), default=None)
        return None if least is None else least / self.ours.least

    @property
    def noise(self) -> float | None:
        """Return how far the median copy was above the quickest."""
        copy = self.figure("copy")
        return None if copy is None else copy.median / copy.least - 1

    def over(self, other: Figure | None) -> float | None:
        """Return a time over ndpool's."""
        return None if other is None or self.ours is None else other.median / self.ours.median

    def of_copy(self, variant: str = "") -> float | None:
        """Return the fraction of copy speed that ndpool reaches."""
        copy, own = self.figure("copy"), self.figure("ndpool", variant)
        return None if copy is None or own is None else copy.median / own.median


@dataclass(frozen=True)
class Record:
    """A run: when, where, with what, and its outcomes."""

    date: str
    machine: str
    threads: int
    rounds: int
    cpu_level: str
    versions: dict[str, str]
    outcomes: tuple[Outcome, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def losses_first(self) -> list[Outcome]:
        """Return the outcomes by what is won, the least first; those without a peer come last."""
        return sorted(self.outcomes, key=lambda outcome: math.inf if outcome.ratio is None else outcome.ratio)

    @property
    def wrong(self) -> list[Outcome]:
        """Return the outcomes on which ndpool itself is wrong or failed."""
        return [outcome for outcome in self.outcomes if any(p.library == "ndpool" for p in outcome.problems)]

    def mean(self) -> float | None:
        """Return the geometric mean of the ratios to the best peer."""
        return geometric_mean(outcome.ratio for outcome in self.outcomes)

    def least_mean(self) -> float | None:
        """Return the same of the least of the rounds."""
        return geometric_mean(outcome.least_ratio for outcome in self.outcomes)

    def noise(self) -> float | None:
        """Return the median of the outcomes' noise."""
        found = sorted(outcome.noise for outcome in self.outcomes if outcome.noise is not None)
        return found[len(found) // 2] if found else None

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record that was written."""
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        outcomes = tuple(
            Outcome(
                **{
                    **outcome,
                    "figures": tuple(Figure(**figure) for figure in outcome["figures"]),
                    "problems": tuple(Problem(**problem) for problem in outcome["problems"]),
                }
            )
            for outcome in content["outcomes"]
        )
        return cls(**{**content, "outcomes": outcomes, "notes": tuple(content["notes"])})


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of the values that are there."""
    logs = [math.log(value) for value in values if value is not None]
    return math.exp(sum(logs) / len(logs)) if logs else None


def _fastest(figures: Iterable[Figure]) -> Figure | None:
    return min(figures, key=lambda figure: figure.median, default=None)
