"""Layers one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ndpool.nn._base import Array, FunctionLayer, Layer
from ndpool.nn._checks import lengths

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Options that ask for a further result, so that the whole is a tuple.
MORE_RESULTS = ("return_indices", "return_phase", "return_weights")


class Sequential(Layer):
    """Layers one after the other, as one layer.

    Parameters
    ----------
    *layers : Layer
        Each is given the result of the one before it. Only the last may give a tuple, as with `return_indices`.

    Attributes
    ----------
    layers : tuple of Layer
        As they were given; `len`, indexing and iteration work too.
    params, grads : dict of str to ndarray
        Those of all layers, with the number of the layer before the name: `"0.weight"`. The arrays are the layers' own.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> net = nn.Sequential(nn.MaxPool1d(2), nn.GlobalPool("gem", p=2.0))
    >>> net
    Sequential(
      (0): MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
      (1): GlobalPool(mode='gem', p=2.0)
    )
    >>> net(np.array([[[1.0, 3.0, 2.0, 4.0]]])).round(3)
    array([[3.536]])
    >>> net.backward(np.array([[1.0]])).round(3)
    array([[[0.   , 0.424, 0.   , 0.566]]])
    >>> net.params
    {'1.p': array(2.)}
    >>> net.output_shape((8, 3, 100))
    (8, 3)
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers: {layer!r} must be a Layer")
        _expect_arrays(layers[:-1])
        self.layers = layers
        self.training = True

    @property
    def params(self) -> dict[str, Array]:  # type: ignore[override]
        """What is learned, by number of the layer and name."""
        return {f"{i}.{name}": value for i, layer in enumerate(self.layers) for name, value in layer.params.items()}

    @property
    def grads(self) -> dict[str, Array]:  # type: ignore[override]
        """The gradient of each, by number of the layer and name."""
        return {f"{i}.{name}": value for i, layer in enumerate(self.layers) for name, value in layer.grads.items()}

    def forward(self, x: Any) -> Any:
        """Return the result of the last layer."""
        for number, layer in enumerate(self.layers):
            if isinstance(x, tuple) and number > 0:
                raise ValueError(_tuple_of(number - 1, self.layers[number - 1]))
            x = layer(x)
        return x

    def backward(self, dy: Any) -> Any:
        """Return the gradient with respect to the input of the last forward pass, and add those of `params` up.

        Parameters
        ----------
        dy : array_like
            Gradient with respect to the result.

        Returns
        -------
        array or None
            What the first layer returns; None, also if a layer further on was given integers: before them there is no
            gradient.
        """
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
            if dy is None:
                break
        return dy

    def output_shape(self, shape: Any) -> tuple[int, ...]:
        """Return the shape of the last layer's result for an input of the given shape."""
        result = lengths(shape)
        _expect_arrays(self.layers[:-1])
        for layer in self.layers:
            result = layer.output_shape(result)
        return result

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers; return this one."""
        for layer in self.layers:
            layer.train(mode)
        return super().train(mode)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, number: int) -> Layer:
        return self.layers[number]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        lines = [f"({i}): {layer!r}".replace("\n", "\n  ") for i, layer in enumerate(self.layers)]
        return "Sequential(" + "".join(f"\n  {line}" for line in lines) + ("\n)" if lines else ")")

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or set(state) != {"layers", "training"}:
            raise ValueError("state: must be a dict of layers, training")
        if not isinstance(state["layers"], tuple):
            raise TypeError("state: layers must be a tuple")
        if not isinstance(state["training"], bool):
            raise TypeError(f"state: training is {state['training']!r} and must be a bool")
        Sequential.__init__(self, *state["layers"])
        self.training = state["training"]


def _expect_arrays(layers: tuple[Layer, ...]) -> None:
    """Refuse layers that give a tuple, which the next one would take for an array."""
    for number, layer in enumerate(layers):
        if _gives_tuple(layer):
            raise ValueError(_tuple_of(number, layer))


def _gives_tuple(layer: Layer) -> bool:
    """Whether the options of a layer ask for several results."""
    if isinstance(layer, Sequential):
        return bool(layer.layers) and _gives_tuple(layer.layers[-1])
    if not isinstance(layer, FunctionLayer):
        return False
    return isinstance(getattr(layer, "mode", None), list) or any(getattr(layer, name, False) for name in MORE_RESULTS)


def _tuple_of(number: int, layer: Layer) -> str:
    return f"layers: number {number}, {type(layer).__name__}, gives a tuple, which only the last one may"
