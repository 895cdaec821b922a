"""A classifier of handwritten digits, of ndpool and NumPy alone, with its downsampling and its head exchanged.

    pip install '.[study]'
    python examples/digits.py --out digits

The network is always the same but for two places::

    image -> convolution -> ReLU -> DOWNSAMPLING -> convolution -> ReLU -> HEAD -> scores of the ten digits

Every variant is trained on centred digits, which scikit-learn ships, and tested on digits that it has not seen:
centred, and shifted by one and by two pixels. The program writes a table, the figures of every run, and two pictures.
"""

from __future__ import annotations

import csv
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from math import isnan, prod
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import ndpool
import numpy as np
import typer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from ndpool import nn
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track
from sklearn.datasets import load_digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Array = np.ndarray[Any, Any]
    Shape = tuple[int, ...]

CLASSES = 10
MARGIN = 3  # blank pixels around an 8x8 digit, so that the largest shift brings none to the border
SIDE = 8 + 2 * MARGIN
SHIFTS = (0, 1, 2)
TESTED = 500  # digits of 1797 that are not trained on
BATCH = 32
EPOCHS = 8
RATE = 0.02  # of the first epoch; it falls in a line to zero


# --- The network ------------------------------------------------------------------------------------------------------


class ReLU(nn.Layer):
    """Keep what is positive."""

    def forward(self, x: Array) -> Array:
        """Return `x`, with 0 in place of what is negative."""
        self.positive = x > 0
        return np.maximum(x, 0)

    def backward(self, dy: Array) -> Array:
        """Pass on the gradient of what was kept."""
        return dy * self.positive

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape, which stays."""
        return shape


class Flatten(nn.Layer):
    """Make one row of features of each image."""

    def forward(self, x: Array) -> Array:
        """Return `(N, features)`."""
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        """Bring each feature's gradient back to its place."""
        return dy.reshape(self.shape)

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(N, features)`."""
        return shape[0], prod(shape[1:])


class Tokens(nn.Layer):
    """Make a sequence of places of each map, with the channels as features."""

    def forward(self, x: Array) -> Array:
        """Return `(N, H * W, C)` for `(N, C, H, W)`."""
        self.shape = x.shape
        return x.reshape(*x.shape[:2], -1).swapaxes(1, 2)

    def backward(self, dy: Array) -> Array:
        """Bring each token's gradient back to its place."""
        return dy.swapaxes(1, 2).reshape(self.shape)

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(N, H * W, C)`."""
        n, channels, *sides = shape
        return n, prod(sides), channels


class Linear(nn.Layer):
    """Weigh all features once for each result."""

    def __init__(self, features: int, results: int, *, dtype: str, rng: np.random.Generator) -> None:
        super().__init__()
        limit = 1 / np.sqrt(features)
        weight = rng.uniform(-limit, limit, (features, results)).astype(dtype)
        self.params = {"weight": weight, "bias": np.zeros(results, dtype)}
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}

    def forward(self, x: Array) -> Array:
        """Return `(N, results)`."""
        self.x = x
        return x @ self.params["weight"] + self.params["bias"]

    def backward(self, dy: Array) -> Array:
        """Add to the gradients of the parameters and return that of the features."""
        self.grads["weight"] += self.x.T @ dy
        self.grads["bias"] += dy.sum(axis=0)
        return dy @ self.params["weight"].T

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(N, results)`."""
        return shape[0], self.params["bias"].size


def convolution(inputs: int, outputs: int, **drawn: Any) -> nn.Layer:
    """Convolve by 3x3 weights, at every place that they touch.

    Without a bias what is blank stays blank, and with a padding of 2 nothing is lost at the border: a digit may lie
    anywhere, as if the image had no end. What a shift changes is then owed to the downsampling and the head alone.
    """
    layer = nn.Conv2d(inputs, outputs, 3, padding=2, bias=False, **drawn)
    # Drawn as in PyTorch; with six times the variance the size of values survives a ReLU (He et al., 2015).
    layer.params["weight"] *= np.sqrt(6)
    return layer


def attention(channels: int, **drawn: Any) -> nn.Layer:
    """Make one feature vector of all places, by what a learned query asks for."""
    layer = nn.AttentionPool(channels, **drawn)
    # At first all places count nearly alike; from a sharp choice of few it would have to learn to look elsewhere.
    layer.params["query"] *= 0.1
    return layer


def downsamplings(channels: int, **drawn: Any) -> dict[str, list[nn.Layer]]:
    """Make the layers of every downsampling; `drawn` says of which dtype weights are and what they are drawn from."""
    return {
        "none": [],
        "max": [nn.MaxPool2d(2)],
        "average": [nn.AvgPool2d(2)],
        "strided": [nn.Conv2d(channels, channels, 2, stride=2, bias=False, **drawn)],
        "blur": [nn.BlurPool2d(padding="zeros")],
        "polyphase": [nn.APSPool2d("max")],
    }


def heads(channels: int, **drawn: Any) -> dict[str, list[nn.Layer]]:
    """Make the layers of every head."""
    return {
        "flatten": [Flatten()],
        "global average": [nn.GlobalAvgPool()],
        "attention": [Tokens(), attention(channels, **drawn), Flatten()],
    }


def network(
    downsampling: str, head: str, rng: np.random.Generator, dtype: str = "float32", channels: tuple[int, int] = (8, 24)
) -> nn.Sequential:
    """Make a variant of the network."""
    first, second = channels
    drawn: dict[str, Any] = {"dtype": dtype, "rng": rng}
    maps = nn.Sequential(
        *(convolution(1, first, **drawn), ReLU(), *downsamplings(first, **drawn)[downsampling]),
        *(convolution(first, second, **drawn), ReLU(), *heads(second, **drawn)[head]),
    )
    _, features = maps.output_shape((1, 1, SIDE, SIDE))
    return nn.Sequential(*maps, Linear(features, CLASSES, **drawn))


DOWNSAMPLINGS, HEADS = tuple(downsamplings(1)), tuple(heads(1))


# --- Training and testing ---------------------------------------------------------------------------------------------


class Adam:
    """Kingma et al., 2015: steps along the mean gradient, divided by its root mean square."""

    def __init__(self, params: dict[str, Array]) -> None:
        self.params, self.steps = params, 0
        self.means = {name: np.zeros_like(param) for name, param in params.items()}
        self.squares = {name: np.zeros_like(param) for name, param in params.items()}

    def step(self, grads: dict[str, Array], rate: float) -> None:
        """Change the parameters in place."""
        self.steps += 1
        rate *= np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for name, grad in grads.items():
            first, second = self.means[name], self.squares[name]
            first += 0.1 * (grad - first)
            second += 0.001 * (grad**2 - second)
            self.params[name] -= rate * first / (np.sqrt(second) + 1e-8)


def cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """Return the mean cross entropy of the softmax of the scores, and its gradient."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    gradient = np.exp(logarithms)
    gradient[rows, labels] -= 1
    return float(-logarithms[rows, labels].mean()), gradient / len(labels)


def learn(net: nn.Layer, images: Array, labels: Array) -> float:
    """Set the gradients of a network to those of its loss, which is returned."""
    net.zero_grad()
    loss, gradient = cross_entropy(net(images), labels)
    net.backward(gradient)
    return loss


def accuracy(net: nn.Layer, images: Array, labels: Array) -> float:
    """Return the share of images whose own class has the highest score."""
    return float((net(images).argmax(axis=1) == labels).mean())


class Digits(NamedTuple):
    """Images, `(N, 8, 8)` from 0 up, and what they show."""

    images: Array
    labels: Array


class Run(NamedTuple):
    """What training a variant once gave; accuracies are shares of the test digits, one for each of `SHIFTS`."""

    downsampling: str
    head: str
    seed: int
    parameters: int
    milliseconds: float  # of a core, for the median epoch
    losses: list[float]  # the mean of each epoch
    accuracies: list[float]


def place(images: Array, down: int = 0, right: int = 0) -> Array:
    """Put digits into the middle of blank images, or so many pixels off it: `(N, 1, 14, 14)`."""
    placed = np.zeros((len(images), 1, SIDE, SIDE), images.dtype)
    top, left = MARGIN + down, MARGIN + right
    placed[:, 0, top : top + 8, left : left + 8] = images
    return placed


def shifts(distance: int) -> list[tuple[int, int]]:
    """List the shifts by so many pixels along an axis or a diagonal: eight of them, or one that does nothing."""
    steps = sorted({-distance, 0, distance})
    return [(down, right) for down, right in product(steps, repeat=2) if distance in (abs(down), abs(right))]


def split(seed: int) -> tuple[Digits, Digits]:
    """Deal the digits into those to train on and those to test on; a seed deals alike for every variant."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    # In units of their standard deviation, but not centred: blank stays 0.
    images = (images.reshape(-1, 8, 8)[order] / images.std()).astype(np.float32)
    labels = labels[order]
    return Digits(images[TESTED:], labels[TESTED:]), Digits(images[:TESTED], labels[:TESTED])


def train(downsampling: str, head: str, seed: int, epochs: int) -> Run:
    """Train a variant on centred digits and test it on others, shifted by each of `SHIFTS`."""
    training, testing = split(seed)
    rng = np.random.default_rng(seed)
    net = network(downsampling, head, rng)
    adam = Adam(net.params)
    images, labels = place(training.images), training.labels
    losses, seconds = [], []
    for epoch in range(epochs):
        start = time.thread_time()
        order = rng.permutation(len(images))
        batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
        total = 0.0
        for batch in batches:
            total += learn(net, images[batch], labels[batch]) * len(batch)
            adam.step(net.grads, RATE * (1 - epoch / epochs))
        losses.append(total / len(order))
        seconds.append(time.thread_time() - start)

    net.eval()
    accuracies = [
        mean(accuracy(net, place(testing.images, *shift), testing.labels) for shift in shifts(distance))
        for distance in SHIFTS
    ]
    parameters = sum(param.size for param in net.params.values())
    return Run(downsampling, head, seed, parameters, 1e3 * median(seconds), losses, accuracies)


def study(seeds: int, epochs: int = EPOCHS) -> Iterator[Run]:
    """Train every downsampling with every head, once for each seed: several at a time, each on one thread."""

    def run(seed: int, head: str, downsampling: str) -> Run:
        with ndpool.threads(1):
            return train(downsampling, head, seed, epochs)

    with ThreadPoolExecutor(ndpool.get_num_threads()) as pool:
        yield from pool.map(run, *zip(*product(range(seeds), HEADS, DOWNSAMPLINGS), strict=True))


# --- What the runs say ------------------------------------------------------------------------------------------------

# Of Okabe and Ito, which stay apart for every kind of colour vision.
COLOURS = dict(zip(DOWNSAMPLINGS, ("#000000", "#D55E00", "#0072B2", "#CC79A7", "#56B4E9", "#009E73"), strict=True))
MARKS = dict(zip(HEADS, "so^", strict=True))


def variants(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    """Bring the runs of each head and downsampling together, in the order they came."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.head, run.downsampling), []).append(run)
    return found


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation of a sample; the latter of a single value is not known."""
    return mean(values), stdev(values) if len(values) > 1 else float("nan")


def percentages(runs: Sequence[Run], shift: int) -> tuple[float, float]:
    """Return the mean and the standard deviation of the accuracy under a shift, in per cent."""
    return spread([100 * run.accuracies[SHIFTS.index(shift)] for run in runs])


def written(middle: float, deviation: float) -> str:
    """Write a mean with its standard deviation, if that is known."""
    return f"{middle:.1f}" + ("" if isnan(deviation) else f" \N{PLUS-MINUS SIGN} {deviation:.1f}")


def table(runs: Sequence[Run]) -> str:
    """Write a table in Markdown: means and standard deviations over the seeds; of one seed the figures alone."""
    heading = ["head", "downsampling", "parameters", "ms an epoch", "accuracy, %", "shifted by 1", "shifted by 2"]
    lines = [heading, ["---", "---", *["---:"] * 5]]
    for (head, downsampling), of in variants(runs).items():
        measured = [spread([run.milliseconds for run in of]), *(percentages(of, shift) for shift in SHIFTS)]
        lines.append([head, downsampling, f"{of[0].parameters:,}", *(written(*figures) for figures in measured)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def names(runs: Sequence[Run]) -> list[Line2D]:
    """Make the entries of a legend: the colour of each downsampling that was run."""
    found = dict.fromkeys(run.downsampling for run in runs)
    return [Line2D([], [], color=COLOURS[name], linewidth=4, label=name) for name in found]


def draw_shifts(runs: Sequence[Run]) -> Figure:
    """Draw the accuracy over the shift: a panel for each head, a line for each downsampling."""
    heads = list(dict.fromkeys(run.head for run in runs))
    figure = Figure(figsize=(3.6 * len(heads), 4.2), dpi=110, layout="constrained")
    panels = dict(zip(heads, figure.subplots(1, len(heads), sharey=True, squeeze=False)[0], strict=True))
    for (head, downsampling), of in variants(runs).items():
        accuracies = np.array([percentages(of, shift) for shift in SHIFTS])
        # Side by side, so that none hides another.
        beside = np.array(SHIFTS) + 0.05 * (list(DOWNSAMPLINGS).index(downsampling) - len(DOWNSAMPLINGS) // 2)
        colour = COLOURS[downsampling]
        panels[head].errorbar(beside, *accuracies.T, color=colour, marker="o", markersize=4, capsize=2, linewidth=1)
    for head, panel in panels.items():
        panel.set(title=head, xticks=SHIFTS, xlabel="shift, pixels", ylim=(0, 102))
        panel.grid(axis="y", alpha=0.3)
    panels[heads[0]].set_ylabel("accuracy, %")
    figure.legend(handles=names(runs), loc="outside lower center", ncols=len(DOWNSAMPLINGS), frameon=False)
    return figure


def draw_cost(runs: Sequence[Run], shift: int = 1) -> Figure:
    """Draw the accuracy under a shift over the time of an epoch; colours are downsamplings, marks are heads."""
    figure = Figure(figsize=(7.2, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    for (head, downsampling), of in variants(runs).items():
        milliseconds, jitter = spread([run.milliseconds for run in of])
        accuracy, deviation = percentages(of, shift)
        colour, mark = COLOURS[downsampling], MARKS[head]
        axes.errorbar(milliseconds, accuracy, deviation, jitter, color=colour, marker=mark, capsize=2)
    marks = [Line2D([], [], color="grey", linestyle="", marker=mark, label=name) for name, mark in MARKS.items()]
    axes.set(xlabel="time of an epoch, ms", ylabel=f"accuracy, shifted by {shift}, %", ylim=(0, 102))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    figure.legend(handles=names(runs) + marks, loc="outside right upper", frameon=False)
    return figure


def write(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write the table, the figures of every run and the pictures; return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("table.md", "runs.csv", "shifts.png", "cost.png")]
    paths[0].write_text(table(runs), encoding="utf-8")
    with paths[1].open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Run._fields[:5], "last_loss", *(f"accuracy_shifted_by_{shift}" for shift in SHIFTS)])
        writer.writerows([*run[:5], run.losses[-1], *run.accuracies] for run in runs)
    draw_shifts(runs).savefig(paths[2])
    draw_cost(runs).savefig(paths[3])
    return paths


def main(
    out: Annotated[Path, typer.Option(help="Where the table and the pictures go; made when it is missing.")] = Path(
        "digits"
    ),
    seeds: Annotated[
        int, typer.Option(min=1, help="How often each variant is trained, each time from other weights.")
    ] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="How often each digit is learned from.")] = EPOCHS,
) -> None:
    """Train a small classifier of digits with every downsampling and every head, and compare."""
    console = Console()
    total = seeds * len(HEADS) * len(DOWNSAMPLINGS)
    runs = list(track(study(seeds, epochs), "Training", total, console=console, transient=True))
    console.print(Markdown(table(runs)))
    for path in write(runs, out):
        console.print(f"wrote {path}")


if __name__ == "__main__":
    typer.run(main)
