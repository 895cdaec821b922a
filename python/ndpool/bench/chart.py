"""A record as a picture: for each cell what is won over the best peer, and how near a copy it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndpool.bench.report import duration, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ndpool.bench.record import Outcome, Record

# Okabe-Ito: apart for every kind of colour vision, and by lightness in print.
WON, LOST, FRESH, OUT = "#0072B2", "#D55E00", "#56B4E9", "#E69F00"
INK, QUIET = "#22262B", "#6B7480"


def chart(record: Record) -> Figure:
    """Draw a row for each cell, losses at the top.

    On the left the time of the best peer over ndpool's, on a logarithmic scale; on the right the share of copy speed,
    with a fresh result and with ``out=``.
    """
    from matplotlib.figure import Figure

    outcomes = [outcome for outcome in record.losses_first if outcome.ratio is not None]
    height = 1.5 + 0.27 * max(len(outcomes), 3)
    figure = Figure(figsize=(12.0, height), dpi=150, facecolor="white")
    edges = {"left": 0.36, "right": 0.985, "bottom": 0.55 / height, "top": 1 - 0.95 / height}
    won, share = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (3, 2), "wspace": 0.05, **edges})
    _ratios(won, outcomes)
    _shares(share, outcomes)
    figure.legend(loc="lower right", bbox_to_anchor=(0.985, 0.0), ncols=2, fontsize=8, frameon=False, labelcolor=INK)
    figure.text(0.015, 1 - 0.3 / height, "Pooling with ndpool", fontsize=15, weight="bold", color=INK, va="center")
    said = [line for line in summary(record)[:-1] if not line.startswith("Over ")]
    figure.text(0.985, 1 - 0.3 / height, "\n".join(said), fontsize=8, color=QUIET, ha="right", va="center")
    return figure


def _ratios(axes: Axes, outcomes: list[Outcome]) -> None:
    """Draw bars from 1 on: to the right what is won, to the left what is lost."""
    rows = range(len(outcomes))
    ratios = [outcome.ratio or 1.0 for outcome in outcomes]
    axes.set_xscale("log")
    widths, colours = [ratio - 1 for ratio in ratios], [WON if ratio >= 1 else LOST for ratio in ratios]
    axes.barh(rows, widths, left=1.0, color=colours, height=0.7)
    axes.axvline(1.0, color=INK, linewidth=1.0)
    for row, (outcome, ratio) in enumerate(zip(outcomes, ratios, strict=True)):
        peer = "wrong" if outcome.ours is None else outcome.best.name if outcome.best else "-"
        axes.annotate(
            f"{ratio:.2g}   {peer}",
            (max(ratio, 1.0), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=INK,
        )
    labels = [f"{o.what}   {duration(o.ours.median) if o.ours else '-'}   {o.cell:>3}" for o in outcomes]
    axes.set_yticks(rows, labels, fontsize=7)
    axes.set_ylim(len(outcomes) - 0.4, -0.6)
    low, high = min([0.8, *ratios]), max([2.0, *ratios])
    axes.set_xlim(low / 1.15, high * 2.2)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low / 1.15 <= tick <= high * 1.9]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    _dress(axes, "time of the best peer / time of ndpool")


def _shares(axes: Axes, outcomes: list[Outcome]) -> None:
    """Draw a dot for a fresh result and one for ``out=``, joined."""
    for row, outcome in enumerate(outcomes):
        pair = [outcome.of_copy(), outcome.of_copy("out")]
        known = [share for share in pair if share is not None]
        if len(known) > 1:
            axes.plot(known, [row, row], color=QUIET, linewidth=1.0, zorder=1)
    for variant, colour, marker, label in (("", FRESH, "o", "fresh result"), ("out", OUT, "D", "out=")):
        points = [(outcome.of_copy(variant), row) for row, outcome in enumerate(outcomes)]
        known_points = [(share, row) for share, row in points if share is not None]
        axes.scatter(
            [share for share, _ in known_points],
            [row for _, row in known_points],
            color=colour,
            marker=marker,
            s=22,
            label=label,
            zorder=2,
            edgecolors=INK,
            linewidths=0.4,
        )
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.set_xlim(left=0.0)
    _dress(axes, "share of the speed of a copy")


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, color=INK, pad=6)
    axes.grid(axis="x", color="#DDE1E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=INK)
    axes.tick_params(axis="x", labelsize=8, colors=QUIET)
    for side in axes.spines.values():
        side.set_visible(False)
