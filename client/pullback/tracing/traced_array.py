"""The array a traced function sees: dtype and shape, no numbers. Every operation becomes a node.

It has NumPy's operators, attributes and methods; what would need its numbers raises TraceError and
says what to use instead. The arithmetic itself is in `pullback.numpy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pullback_graph.errors import TraceError
from pullback_graph.ref import Ref
from pullback_graph.types import DType, Shape

if TYPE_CHECKING:
    from pullback.tracing.traces import Trace
    from pullback.tracing.update import Updates

_OPERANDS = (np.ndarray, np.generic, bool, int, float, complex, list)
"""What stands beside a traced array in an operator; anything else gets its own say."""


def _binary(name: str) -> Callable[[TracedArray, Any], Any]:
    def operator(self: TracedArray, other: Any) -> Any:
        return self._operate(name, self, other)

    return operator


def _reflected(name: str) -> Callable[[TracedArray, Any], Any]:
    def operator(self: TracedArray, other: Any) -> Any:
        return self._operate(name, other, self)

    return operator


def _unary(name: str) -> Callable[[TracedArray], Any]:
    def operator(self: TracedArray) -> Any:
        return self._operate(name, self)

    return operator


def _method(name: str) -> Callable[..., Any]:
    """NumPy's method of that name: the namespace's function on `self`."""

    def method(self: TracedArray, *args: Any, **keywords: Any) -> Any:
        return getattr(_namespace(), name)(self, *args, **keywords)

    method.__name__ = name
    method.__doc__ = f"`pullback.numpy.{name}` of this array."
    return method


def _needs_numbers(what: str, instead: str) -> Callable[..., NoReturn]:
    """A method that would need the array's numbers."""

    def method(self: TracedArray, *_: Any, **__: Any) -> NoReturn:
        raise TraceError(f"{what} needs the numbers of {self!r}, which tracing has not; {instead}")

    return method


_AS_NUMPY = (
    "call functions of pullback.numpy (or NumPy's own) on it, build arrays with "
    "pullback.numpy.stack, index with pullback.numpy.take(array, indices, axis=0), and write "
    "elements with pullback.numpy.at(array)[index].set(value)"
)
_AS_SCALAR = (
    "keep it an array: use pullback.numpy.exp for math.exp, astype for int and float; for a[i] = x "
    "build the array with pullback.numpy.stack, or with pullback.numpy.at(array)[i].set(x)"
)
_AS_CHOICE = (
    "choose elements with pullback.numpy.where(condition, a, b) or pullback.numpy.maximum and "
    "minimum; join conditions with & | ~ instead of and, or, not"
)
_IN_PLACE = "use y = x.at[index].set(value) or .add(value), which give a new array"


class TracedArray:
    """A value of a trace. Immutable; one operation on it is one or more nodes of the graph.

    Attributes:
        owner: the trace it belongs to.
        ref: its value there.
        weak: whether it stands for a Python float or complex, which takes the dtype of the array
            beside it.
    """

    __slots__ = ("owner", "ref", "weak")

    def __init__(self, owner: Trace, ref: Ref, *, weak: bool = False) -> None:
        self.owner = owner
        self.ref = ref
        self.weak = weak

    # --- attributes -------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Size of each axis."""
        return self.ref.type.shape

    @property
    def dtype(self) -> DType:
        """NumPy dtype of the elements."""
        return self.ref.type.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.ref.type.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.ref.type.size

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.ref.type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.ref.type.size_bytes

    @property
    def T(self) -> Any:  # noqa: N802  (NumPy's name)
        """The array with its axes reversed."""
        return _namespace().transpose(self)

    @property
    def mT(self) -> Any:  # noqa: N802  (the Array API's name)
        """The array with its last two axes exchanged."""
        return _namespace().matrix_transpose(self)

    @property
    def real(self) -> Any:
        """The real parts; of a real array, itself."""
        return self._operate("real", self)

    @property
    def imag(self) -> Any:
        """The imaginary parts; of a real array, zeros."""
        if self.dtype.kind == "c":
            return self._operate("imag", self)
        return 0.0 if self.weak else _namespace().imag(self)

    @property
    def flat(self) -> Any:
        """The elements in row-major order, as one axis."""
        return _namespace().ravel(self)

    @property
    def at(self) -> Updates:
        """`x.at[index].set(y)`, `.add(y)`, ...: a copy of the array changed at an index."""
        updates: Updates = _namespace().at(self)
        return updates

    # --- operators --------------------------------------------------------------------------------

    def _operate(self, name: str, *operands: Any) -> Any:
        """The namespace's function; a result of Python floats alone stays as weak as they are."""
        for operand in operands:
            if type(operand) is not TracedArray and not isinstance(operand, _OPERANDS):
                return NotImplemented
        result = getattr(_namespace(), name)(*operands)
        if self.weak and result.dtype.kind in "fc" and all(_is_weak(x) for x in operands):
            result.weak = True
        return result

    __add__ = _binary("add")
    __radd__ = _reflected("add")
    __sub__ = _binary("subtract")
    __rsub__ = _reflected("subtract")
    __mul__ = _binary("multiply")
    __rmul__ = _reflected("multiply")
    __truediv__ = _binary("divide")
    __rtruediv__ = _reflected("divide")
    __floordiv__ = _binary("floor_divide")
    __rfloordiv__ = _reflected("floor_divide")
    __mod__ = _binary("remainder")
    __rmod__ = _reflected("remainder")
    __divmod__ = _binary("divmod")
    __rdivmod__ = _reflected("divmod")
    __pow__ = _binary("pow")
    __rpow__ = _reflected("pow")
    __matmul__ = _binary("matmul")
    __rmatmul__ = _reflected("matmul")
    __and__ = _binary("bitwise_and")
    __rand__ = _reflected("bitwise_and")
    __or__ = _binary("bitwise_or")
    __ror__ = _reflected("bitwise_or")
    __xor__ = _binary("bitwise_xor")
    __rxor__ = _reflected("bitwise_xor")
    __lt__ = _binary("less")
    __le__ = _binary("less_equal")
    __gt__ = _binary("greater")
    __ge__ = _binary("greater_equal")
    __eq__ = _binary("equal")
    __ne__ = _binary("not_equal")
    __neg__ = _unary("negative")
    __pos__ = _unary("positive")
    __abs__ = _unary("abs")
    __invert__ = _unary("bitwise_invert")
    __hash__ = None  # type: ignore[assignment]  # == is elementwise

    def __round__(self, digits: int = 0) -> Any:
        return _namespace().round(self, digits)

    # --- indexing ---------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        return _late("pullback.tracing.indexing").getitem(self, index)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d traced array")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d traced array")
        return iter([self[position] for position in range(self.shape[0])])

    __setitem__ = _needs_numbers("x[index] = value", _IN_PLACE)
    __delitem__ = _needs_numbers("del x[index]", _IN_PLACE)

    # --- methods ----------------------------------------------------------------------------------

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """The same elements in another shape, given as one tuple or as sizes."""
        return _namespace().reshape(self, _unpacked(shape), order=order)

    def transpose(self, *axes: Any) -> Any:
        """The axes permuted (one tuple, or axes), reversed where none is given."""
        return _namespace().transpose(self, _unpacked(axes) if axes else None)

    def flatten(self, order: str = "C") -> Any:
        """The elements in row-major order, as one axis."""
        return _namespace().ravel(self, order=order)

    def astype(self, dtype: Any, **_: Any) -> Any:
        """The array cast to another dtype."""
        return _namespace().astype(self, dtype)

    def copy(self, order: str = "C") -> TracedArray:
        """The array itself: it cannot change."""
        return self

    def __copy__(self) -> TracedArray:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TracedArray:
        return self

    all = _method("all")
    any = _method("any")
    argmax = _method("argmax")
    argmin = _method("argmin")
    argsort = _method("argsort")
    clip = _method("clip")
    conj = _unary("conj")
    conjugate = _unary("conj")
    cumprod = _method("cumprod")
    cumsum = _method("cumsum")
    diagonal = _method("diagonal")
    dot = _method("dot")
    max = _method("max")
    mean = _method("mean")
    min = _method("min")
    prod = _method("prod")
    ravel = _method("ravel")
    repeat = _method("repeat")
    round = _method("round")
    squeeze = _method("squeeze")
    std = _method("std")
    sum = _method("sum")
    swapaxes = _method("swapaxes")
    take = _method("take")
    trace = _method("trace")
    var = _method("var")

    # --- what needs numbers -----------------------------------------------------------------------

    __array__ = _needs_numbers("making a NumPy array (np.array, np.asarray, a[i] = x)", _AS_NUMPY)
    __bool__ = _needs_numbers(
        "a truth value (if, while, and, or, not, assert, max, min)", _AS_CHOICE
    )
    __float__ = _needs_numbers("float() or a function of math", _AS_SCALAR)
    __int__ = _needs_numbers("int()", _AS_SCALAR)
    __complex__ = _needs_numbers("complex()", _AS_SCALAR)
    __index__ = _needs_numbers("an index, a size or range()", _AS_NUMPY)
    __contains__ = _needs_numbers("`in`", "use pullback.numpy.any(x == value)")
    item = _needs_numbers("item()", _AS_SCALAR)
    tolist = _needs_numbers("tolist()", _AS_NUMPY)
    sort = _needs_numbers("sort() in place", "use pullback.numpy.sort(x), which gives a new array")
    fill = _needs_numbers("fill()", _IN_PLACE)
    nonzero = _needs_numbers("nonzero()", _AS_CHOICE)

    # --- protocols --------------------------------------------------------------------------------

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return _namespace()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        return _late("pullback.tracing.numpy_protocol").call_ufunc(ufunc, method, inputs, keywords)

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        return _late("pullback.tracing.numpy_protocol").call_function(function, args, keywords)

    def __repr__(self) -> str:
        return f"TracedArray({self.ref.type})"


def _is_weak(operand: Any) -> bool:
    if type(operand) is TracedArray:
        return operand.weak
    return isinstance(operand, int | float | complex) and not isinstance(operand, np.generic)


def _unpacked(values: tuple[Any, ...]) -> Any:
    """What `f(1, 2)` and `f((1, 2))` both mean."""
    if len(values) == 1 and isinstance(values[0], tuple | list):
        return tuple(values[0])
    return values


@cache
def _late(module: str) -> Any:
    """A module that is written on this class, so that it can only be imported after it."""
    return import_module(module)


def _namespace() -> Any:
    """`pullback.numpy`: the functions that operators and methods stand for."""
    return _late("pullback.numpy")
