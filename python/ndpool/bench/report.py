"""What a record says, as a table for the terminal and as one for a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from ndpool.bench.record import geometric_mean

if TYPE_CHECKING:
    from rich.console import Console

    from ndpool.bench.record import Figure, Outcome, Record

COLUMNS = ("ndpool", "ratio", "best peer", "torch", "any layout", "loop", "of copy", "out=")
MICROSECOND, MILLISECOND = 1e-6, 1e-3
LEGEND = (
    "ndpool: time of a call with a fresh result. ratio: time of the best peer on the same data in the same layout "
    "over ndpool's, then that of PyTorch as it comes, of the best peer with the data in a layout of its own choice, "
    "and of a plain loop compiled by numba. of copy: share of the speed of a copy of as many bytes, with a fresh "
    "result and with out=. Figures are medians of the rounds; a cell on which ndpool is wrong counts 0.1."
)


def show(record: Record, console: Console) -> None:
    """Print a record: losses first, then what it comes to and what it was measured on."""
    table = Table(title="Pooling: the best peer's time over ndpool's", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("cell", no_wrap=True, style="cyan")
    table.add_column("what", overflow="fold", style="dim")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in record.losses_first:
        table.add_row(outcome.cell, outcome.what, *_row(outcome), style=_style(outcome))
    console.print(table)
    for line in summary(record):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(LEGEND, style="dim", highlight=False, soft_wrap=True)
    for note in record.notes:
        console.print(note, style="yellow", highlight=False, soft_wrap=True)
    for outcome in record.outcomes:
        for problem in outcome.problems:
            style = "bold red" if problem.library == "ndpool" else "red" if problem.kind != "failed" else "dim"
            said = {"wrong": "is wrong", "different": "differs", "failed": "failed"}[problem.kind]
            line = f"{outcome.cell}: {problem.name} {said}: {problem.message}"
            console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def markdown(record: Record) -> str:
    """Write a record as a table in Markdown, losses first, with what it was measured on."""
    lines = [
        *(f"{line}  " for line in summary(record)),
        "",
        f"| cell | what | {' | '.join(COLUMNS)} |",
        f"|---|---|{'--:|' * len(COLUMNS)}",
    ]
    lines += [f"| {outcome.cell} | {outcome.what} | {' | '.join(_row(outcome))} |" for outcome in record.losses_first]
    wrong = [
        f"{outcome.cell}: {problem.name}"
        for outcome in record.outcomes
        for problem in outcome.problems
        if problem.kind != "failed"
    ]
    if wrong:
        lines += ["", f"Not timed, since the results are others: {', '.join(wrong)}."]
    return "\n".join([*lines, "", LEGEND])


def summary(record: Record) -> list[str]:
    """Say in a few lines what a record comes to."""
    lines = []
    mean, torch = record.mean(), geometric_mean(o.over(o.figure("torch")) for o in record.outcomes)
    if mean is not None:
        ratios = [outcome.ratio for outcome in record.outcomes if outcome.ratio is not None]
        lost = sum(ratio < 1 for ratio in ratios)
        ending = "none lost" if lost == 0 else f"{lost} lost"
        cells = _count(len(ratios), "cell")
        least = f"{record.least_mean():.2f} by the least of the rounds"
        lines.append(f"Geometric mean over {cells}: {mean:.2f} x the best peer ({least}), {ending}.")
    if torch is not None:
        lines.append(f"Over PyTorch as it comes: {torch:.1f} x.")
    noise = "" if record.noise() is None else f" The copy varied by {record.noise():.0%}."
    lines.append(
        f"{record.machine}; {_count(record.threads, 'thread')}, {record.cpu_level}; "
        f"{_count(record.rounds, 'round')}, {record.date}.{noise}"
    )
    lines.append(", ".join(f"{name} {version}" for name, version in record.versions.items() if name != "copy") + ".")
    return lines


def _row(outcome: Outcome) -> list[str]:
    ours = outcome.ours
    return [
        "wrong" if ours is None else duration(ours.median),
        _times(outcome.ratio),
        _name(outcome.best),
        _times(outcome.over(outcome.figure("torch"))),
        _times(outcome.over(outcome.any_layout)),
        _times(outcome.over(outcome.figure("loop"))),
        _share(outcome.of_copy()),
        _share(outcome.of_copy("out")),
    ]


def _style(outcome: Outcome) -> str:
    if outcome.ours is None:
        return "bold red"
    return "red" if outcome.ratio is not None and outcome.ratio < 1 else ""


def duration(seconds: float) -> str:
    """Write a time in three digits, with its unit."""
    for unit, name in ((1.0, "s"), (MILLISECOND, "ms"), (MICROSECOND, "us")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-9:.3g} ns"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"  # noqa: PLR2004 - two digits


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f}"


def _name(figure: Figure | None) -> str:
    return "-" if figure is None else figure.name
