"""What all layers are: `Layer`, and `FunctionLayer` for those that are made from a function."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

import ndpool
from ndpool.nn._checks import CHECKS, index, is_float, lengths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ndpool import Pullback
    from ndpool._types import Rng
    from ndpool.nn._checks import Check

Array = np.ndarray[Any, Any]

#: Float64 numbers in the largest array that NumPy makes.
MOST_NUMBERS = 2**60 - 1


class Layer(ABC):
    """What all layers have in common; derive from it to put a layer of one's own into a `Sequential`.

    A layer remembers its last forward pass while it is in training mode, as it is when made. A pass that cannot be
    differentiated (integers, a mode without a gradient) is computed all the same, and `backward` then says why not. A
    layer of weights that was given integers returns None from `backward`, and adds the gradients of `params` up.

    Attributes
    ----------
    params : dict of str to ndarray
        What is learned, empty for most layers. Write into these arrays to train: `layer.params["weight"] -= step`.
    grads : dict of str to ndarray
        The gradient of each, summed over calls of `backward` since the last `zero_grad`.
    training : bool
        Whether a forward pass is remembered; set by `train` and `eval`.

    Examples
    --------
    >>> import numpy as np
    >>> from ndpool import nn
    >>> class ReLU(nn.Layer):
    ...     def forward(self, x):
    ...         self.positive = x > 0
    ...         return np.maximum(x, 0)
    ...     def backward(self, dy):
    ...         return dy * self.positive
    ...     def output_shape(self, shape):
    ...         return tuple(shape)
    >>> net = nn.Sequential(ReLU(), nn.MaxPool1d(2))
    >>> net(np.array([[1.0, -2.0, -3.0, -4.0]]))
    array([[1., 0.]])
    >>> net.backward(np.array([[1.0, 1.0]]))
    array([[1., 0., 0., 0.]])
    """

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.training = True

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Run `forward`."""
        return self.forward(*inputs, **named)

    @abstractmethod
    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return the layer's result."""

    @abstractmethod
    def backward(self, dy: Any) -> Any:
        """Return the gradient with respect to the input of the last forward pass, and add those of `params` up."""

    @abstractmethod
    def output_shape(self, shape: Any) -> tuple[int, ...]:
        """Return the shape of the result for an input of the given shape."""

    def zero_grad(self) -> None:
        """Set all of `grads` to 0."""
        for slope in self.grads.values():
            slope.fill(0)

    def train(self, mode: bool = True) -> Self:
        """Remember forward passes from now on, or with `mode=False` no longer; return the layer."""
        self.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Remember no forward pass from now on; return the layer."""
        return self.train(False)


class FunctionLayer(Layer):
    """A layer that calls one function of the package, with its options and parameters as arguments.

    The options are what `__init__` takes; each is an attribute of the same name. They and `params` are all that is
    pickled and copied: a copy has gradients of 0 and has to run forward before it can run backward.
    """

    #: The function, a name in `ndpool`, looked up at each call.
    function: ClassVar[str]
    #: The number of spatial axes, after batch and channels; None if the function takes any.
    rank: ClassVar[int | None] = None
    #: Arguments of `__init__` that are used once and not kept.
    _transient: ClassVar[tuple[str, ...]] = ()
    #: Options that `repr` shows without their names, and shows even if they have their default.
    _unnamed: ClassVar[tuple[str, ...]] = ()
    _shown: ClassVar[tuple[str, ...]] = ()
    #: How options are checked that mean something else in this layer than in others.
    _checks: ClassVar[Mapping[str, Check]] = {}
    #: Options that are kept as one number for each axis, as PyTorch's layer does.
    _per_axis: ClassVar[tuple[str, ...]] = ()

    def __init__(self, rng: Rng = None, /, **options: Any) -> None:
        super().__init__()
        self._last: Pullback | str | None = None
        self._set_options(options)
        self._try_options()
        self._expect_room()
        self._set_params(self._drawn(np.random.default_rng(_seed(rng))))

    def backward(self, dy: Any) -> Any:
        """Return the gradient with respect to what the last forward pass was given.

        Parameters
        ----------
        dy : array_like
            Gradient with respect to the result; of the values alone where indices or weights were returned too, a tuple
            where there were several modes.

        Returns
        -------
        array, tuple of arrays or None
            The gradient of `x`, or None if it was of integers; a tuple if further inputs of the pass were
            differentiable. Those of parameters are added to `grads`.

        Raises
        ------
        RuntimeError
            If there was no forward pass in training mode.
        TypeError
            If the last one cannot be differentiated.
        """
        if self._last is None:
            raise RuntimeError(f"{type(self).__name__}: backward needs a forward pass in training mode before it")
        pullback = self._last
        if isinstance(pullback, str):
            raise TypeError(pullback)
        slopes = pullback(dy)
        slopes = dict(zip(pullback.arguments, slopes if isinstance(slopes, tuple) else (slopes,), strict=True))
        for name in self.params:
            grad, slope = self.grads[name], np.asarray(slopes.pop(name))
            np.add(grad, slope, out=grad)
        found = (slopes.pop("x", None), *slopes.values())
        return found if len(found) > 1 else found[0]

    def output_shape(self, shape: Any) -> tuple[int, ...]:
        """Return the shape of the result's values for an input of the given shape, without computing them.

        Parameters
        ----------
        shape : sequence of int
            With or without a batch axis, as in `forward`.

        Returns
        -------
        tuple of int
            The shape that `forward` gives.

        Raises
        ------
        TypeError
            If the shape is no sequence of ints.
        ValueError
            If `forward` would refuse an array of this shape.
        """
        return self._batched_shape(lengths(shape))

    def train(self, mode: bool = True) -> Self:
        """Remember forward passes from now on, or with `mode=False` no longer and forget the last; return the layer."""
        super().train(mode)
        if not self.training:
            self._last = None
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._repr_parts())})"

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self._options(), "params": dict(self.params), "training": self.training}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or set(state) != {"options", "params", "training"}:
            raise ValueError("state: must be a dict of options, params, training")
        options, params, training = state["options"], state["params"], state["training"]
        names = _options_of(type(self))
        if not isinstance(options, dict) or set(options) != set(names):
            raise ValueError(f"state: options must be a dict of {', '.join(names)}")
        if not isinstance(params, dict):
            raise TypeError(f"state: params are a {type(params).__name__} and must be a dict")
        if not isinstance(training, bool):
            raise TypeError(f"state: training is {training!r} and must be a bool")
        Layer.__init__(self)
        self._last = None
        self.training = training
        self._set_options(options)
        self._try_options()
        self._set_params(params)

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return the names of the options with their defaults, checked."""
        return {
            name: value if value is inspect.Parameter.empty else cls._checked(name, value)
            for name, value in _options_of(cls).items()
        }

    @classmethod
    def _checked(cls, name: str, value: Any) -> Any:
        value = (cls._checks.get(name) or CHECKS[name])(name, value, cls.rank)
        if name in cls._per_axis and cls.rank is not None and isinstance(value, int):
            return (value,) * cls.rank
        return value

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _options_of(type(self))}

    def _set_options(self, options: Mapping[str, Any]) -> None:
        for name, value in options.items():
            setattr(self, name, self._checked(name, value))

    def _try_options(self) -> None:
        """Run the function on next to nothing, where it has rules for options that are not checked here."""

    def _try(self, *shape: int, **arguments: Any) -> None:
        getattr(ndpool, self.function)(np.broadcast_to(np.float32(0), shape), **arguments)

    def _repr_parts(self) -> list[str]:
        """Return what `repr` shows, as arguments that make such a layer."""
        options, defaults = self._options(), self._defaults()
        if options.get("stride", ...) is None and "kernel_size" in options:
            options["stride"] = options["kernel_size"]  # which is what None means
        return [
            _shown(value) if name in self._unnamed else f"{name}={_shown(value)}"
            for name, value in options.items()
            if name in self._unnamed or name in self._shown or repr(value) != repr(defaults[name])
        ]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters."""
        return {}

    def _expect_room(self) -> None:
        """Refuse parameters that are larger than any array; others may still be too large for the memory."""
        for name, shape in self._shapes().items():
            if math.prod(shape) > MOST_NUMBERS:
                raise ValueError(f"{name}: shape {shape} must be that of at most 2**60 - 1 numbers")

    def _drawn(self, _rng: np.random.Generator) -> dict[str, Array]:
        """Return the parameters of a new layer."""
        return {}

    def _set_params(self, params: Mapping[str, Any]) -> None:
        shapes = self._shapes()
        if set(params) != set(shapes):
            raise ValueError(f"params: {', '.join(map(str, params)) or 'none'} must be {', '.join(shapes) or 'none'}")
        for name, shape in shapes.items():
            array = params[name]
            if type(array) is not np.ndarray or not is_float(array.dtype):
                raise TypeError(f"{name}: must be an array of floats")
            if array.shape != shape:
                raise ValueError(f"{name}: an array of shape {array.shape} must have shape {shape}")
        self.params = {name: params[name] for name in shapes}
        self.grads = {name: np.zeros_like(array) for name, array in self.params.items()}

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of the function that are not inputs of a pass."""
        return self._options() | self.params

    def _call(self, x: Any, **inputs: Any) -> Any:
        """Run the function on the inputs of a pass, None where one is not given, and remember its gradient."""
        function = getattr(ndpool, self.function)
        given = {name: value for name, value in inputs.items() if value is not None}
        arguments = self._arguments() | given
        if not self.training:
            return function(x, **arguments)
        pullback: Pullback | str
        try:
            y, pullback = ndpool.vjp(function, x, **arguments)
        except TypeError as error:
            # Either the pass has no gradient, or the call is wrong and fails again.
            y, pullback = function(x, **arguments), str(error)
        self._last = pullback
        return y

    def _batched_shape(self, shape: tuple[int, ...], **inputs: Any) -> tuple[int, ...]:
        """Return the shape of a result, where the batch axis comes first and, if `rank` is known, may be missing."""
        if self.rank is not None:
            if len(shape) == self.rank + 1:
                return self._shape_without_batch((0, *shape), **inputs)
            if len(shape) != self.rank + 2:
                raise ValueError(f"shape: {shape} must have {self.rank + 1} or {self.rank + 2} axes")
        return shape[:1] + self._shape_without_batch((0, *shape[1:]), **inputs)

    def _shape_without_batch(self, shape: tuple[int, ...], **inputs: Any) -> tuple[int, ...]:
        try:
            return self._empty_result(shape, **inputs)[1:]
        except ValueError as error:
            if "array is too big" not in str(error):
                raise
            # NumPy bounds the axes of arrays without cells too.
            raise ValueError(f"shape: {shape[1:]} or its result is larger than any array can be") from None

    def _empty_result(self, shape: tuple[int, ...], **inputs: Any) -> tuple[int, ...]:
        """Run the function on an array without cells: it checks everything, computes nothing and has a shape."""
        arguments = self._arguments() | inputs
        arguments.pop("rng", None)  # a generator would go on
        arguments.pop("dtype", None)  # one of integers is for integers only
        y = getattr(ndpool, self.function)(np.broadcast_to(np.float32(0), shape), **arguments)
        while isinstance(y, tuple):
            y = y[0]
        return tuple(y.shape)


class PlainLayer(FunctionLayer):
    """A layer whose function takes one array and options."""

    def forward(self, x: Any) -> Any:
        """Return what the function returns.

        Parameters
        ----------
        x : array_like
            The input.

        Returns
        -------
        array or tuple of arrays
            What the function returns with the layer's options.
        """
        return self._call(x)


@cache
def _options_of(cls: type[FunctionLayer]) -> dict[str, Any]:
    """Return the names of the options with their defaults, as `__init__` has them; further ones by name are a dict."""
    return {
        name: {} if parameter.kind is parameter.VAR_KEYWORD else parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in cls._transient
    }


def _shown(value: Any) -> str:
    """Write an option as it is written in a call."""
    return repr(value.name if isinstance(value, np.dtype) else value)


def _seed(rng: Any) -> Any:
    """Check what a layer's parameters are drawn from."""
    return rng if rng is None or isinstance(rng, np.random.Generator) else index("rng", rng)
