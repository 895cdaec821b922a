"""The worked comparison: the gradient of each whole network, what shifts do to it by theory, and what it writes."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import digits

EVERY_HEAD = pytest.mark.parametrize("head", digits.HEADS)
EVERY_DOWNSAMPLING = pytest.mark.parametrize("downsampling", digits.DOWNSAMPLINGS)
FEW = 6


def network(downsampling, head):
    """Make an untrained network in float64."""
    return digits.network(downsampling, head, np.random.default_rng(0), "float64")


@pytest.fixture(scope="module")
def few():
    """Read a few digits."""
    images, labels = digits.split(0)[0]
    return images[:FEW].astype("float64"), labels[:FEW]


@EVERY_HEAD
@EVERY_DOWNSAMPLING
def test_the_gradient_of_the_loss_is_that_of_finite_differences(downsampling, head, few):
    net = network(downsampling, head)
    images, labels = digits.place(few[0]), few[1]
    digits.learn(net, images, labels)
    gradients = {name: grad.copy() for name, grad in net.grads.items()}
    rng = np.random.default_rng(1)
    step = 1e-6
    for name, param in net.params.items():
        start = param.copy()
        for _ in range(3):
            direction = rng.standard_normal(param.shape)
            losses = []
            for sign in (1, -1):
                param[...] = start + sign * step * direction
                losses.append(digits.learn(net, images, labels))
            param[...] = start
            slope = (losses[0] - losses[1]) / (2 * step)
            scale = np.linalg.norm(gradients[name]) * np.linalg.norm(direction)
            assert scale > 0
            assert slope == pytest.approx((gradients[name] * direction).sum(), rel=1e-6, abs=1e-7 * scale)


@EVERY_HEAD
@EVERY_DOWNSAMPLING
def test_shifts_change_the_scores_where_theory_says_so_and_nowhere_else(downsampling, head, few):
    net = network(downsampling, head)
    still = net(digits.place(few[0]))
    # Which shifts a downsampling by 2 commutes with; a head that forgets places then gives the same.
    kept = {"none": (1, 2), "polyphase": (1, 2)}.get(downsampling, (2,)) if head != "flatten" else ()
    for distance in (1, 2):
        # A single shift may be undone by the phase that polyphase sampling chooses; eight are not.
        change = max(np.abs(net(digits.place(few[0], *shift)) - still).max() for shift in digits.shifts(distance))
        if distance in kept:
            assert change < 1e-12 * np.abs(still).max()
        else:
            assert change > 1e-3 * np.abs(still).max()


def test_shifts_are_eight_and_move_the_digit_whole(few):
    images = few[0]
    still = digits.place(images)
    assert digits.shifts(0) == [(0, 0)]
    for distance in (1, 2):
        shifts = digits.shifts(distance)
        assert len(set(shifts)) == 8
        for down, right in shifts:
            assert max(abs(down), abs(right)) == distance
            moved = digits.place(images, down, right)
            np.testing.assert_array_equal(moved, np.roll(still, (down, right), axis=(2, 3)))
            np.testing.assert_allclose(moved.sum(axis=(1, 2, 3)), images.sum(axis=(1, 2)), rtol=1e-12)


def test_no_digit_is_both_learned_and_tested():
    training, testing = digits.split(3)
    assert (len(training.labels), len(testing.labels)) == (1297, 500)
    assert training.images.shape == (1297, 8, 8)
    # The 1797 digits come back, each once, with their labels.
    images, labels = digits.load_digits(return_X_y=True)
    unit = images.std()
    dealt = np.concatenate(
        [np.c_[(part.images.reshape(-1, 64) * unit).round(), part.labels] for part in (training, testing)]
    )
    whole = np.c_[images, labels]
    np.testing.assert_array_equal(dealt[np.lexsort(dealt.T)], whole[np.lexsort(whole.T)])
    assert not np.array_equal(digits.split(4)[1].labels, testing.labels)


def test_adam_takes_the_steps_of_the_paper():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(5)
    expected, first, second = weight.copy(), np.zeros(5), np.zeros(5)
    adam = digits.Adam({"w": weight})
    for t in range(1, 6):
        gradient = rng.standard_normal(5)
        adam.step({"w": gradient}, 0.1)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        expected -= 0.1 * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(weight, expected, rtol=1e-5)


def test_training_lowers_the_loss_and_classifies():
    run = digits.train("max", "flatten", seed=0, epochs=3)
    assert run.losses == sorted(run.losses, reverse=True)
    assert run.losses[-1] < 0.2 * run.losses[0]
    # 0.98 and 0.46 were measured; a guess is right once in ten times.
    assert run.accuracies[0] > 0.9
    assert run.accuracies[2] < run.accuracies[1] < 0.7
    assert run.milliseconds > 0


def test_a_seed_says_all():
    runs = [digits.train("strided", "attention", seed, 1) for seed in (1, 1, 2)]
    figures = [(run.losses, run.accuracies) for run in runs]
    assert figures[0] == figures[1]
    assert figures[0] != figures[2]


@pytest.mark.parametrize(
    ("downsampling", "head", "parameters"),
    [
        ("max", "global average", 2050),
        ("strided", "global average", 2050 + 8 * 8 * 4),
        ("blur", "attention", 2050 + 24 + 2 * 24 * 24),
        ("average", "flatten", 2050 + 99 * 240),
        ("none", "flatten", 2050 + 323 * 240),
    ],
)
def test_parameters_are_counted(downsampling, head, parameters):
    assert sum(param.size for param in network(downsampling, head).params.values()) == parameters


def pretend(downsampling, head, seed, epochs):
    """Stand in for training: figures that are easy to check."""
    return digits.Run(downsampling, head, seed, 1234, 10.0 + seed, [1.0, 0.25], [0.5 + 0.01 * seed, 0.25, 0.125])


@pytest.fixture
def program(monkeypatch):
    """Make the program, without the training."""
    monkeypatch.setattr(digits, "train", pretend)
    app = Typer()
    app.command()(digits.main)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_the_program_writes_a_table_figures_and_pictures(program, tmp_path):
    folder = tmp_path / "made" / "for it"
    result = program("--seeds", 3, "--epochs", 2, "--out", folder)
    assert result.exit_code == 0, result.output
    variants = len(digits.DOWNSAMPLINGS) * len(digits.HEADS)

    lines = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + variants
    assert "| flatten | max | 1,234 | 11.0 ± 1.0 | 51.0 ± 1.0 | 25.0 ± 0.0 | 12.5 ± 0.0 |" in lines

    with (folder / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * variants
    assert rows[0] == {
        "downsampling": "none",
        "head": "flatten",
        "seed": "0",
        "parameters": "1234",
        "milliseconds": "10.0",
        "last_loss": "0.25",
        "accuracy_shifted_by_0": "0.5",
        "accuracy_shifted_by_1": "0.25",
        "accuracy_shifted_by_2": "0.125",
    }
    for name in ("shifts.png", "cost.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert str(folder / name) in result.output.replace("\n", "")


def test_one_seed_has_no_deviation(program, tmp_path):
    result = program("--seeds", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    assert "| flatten | max | 1,234 | 10.0 | 50.0 | 25.0 | 12.5 |" in lines


@pytest.mark.parametrize("arguments", [("--seeds", 0), ("--epochs", 0), ("--seeds", "many")])
def test_a_wrong_option_is_an_error_of_its_own(program, arguments):
    result = program(*arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.output


def test_the_pictures_say_what_they_show():
    runs = [pretend(downsampling, head, 0, 1) for head in digits.HEADS for downsampling in ("none", "max")]
    shifts, cost = digits.draw_shifts(runs), digits.draw_cost(runs)
    assert [panel.get_title() for panel in shifts.axes] == list(digits.HEADS)
    assert [text.get_text() for text in shifts.legends[0].get_texts()] == ["none", "max"]
    assert [text.get_text() for text in cost.legends[0].get_texts()] == ["none", "max", *digits.HEADS]
    np.testing.assert_allclose(shifts.axes[0].lines[0].get_ydata(), [50, 25, 12.5])
