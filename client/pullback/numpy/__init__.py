"""The Array API namespace of Pullback, for traced and plain arrays: `import pullback.numpy as np`.

Names are the Python Array API's, and NumPy's besides. On a traced array a function adds to the
graph. On plain arrays alone it runs at once, by the rules of the NumPy executor, and gives NumPy
arrays and scalars: the same numbers that the traced function would give.

Promotion is NumPy 2's: Python's numbers take the dtype of the array beside them, float64 stays
float64, integers become floating where a function's values are. Dtypes are bool, the integers,
float32, float64, complex64 and complex128. Functions whose result's shape depends on the data
(`nonzero`, `unique`) have no place here.
"""

from math import e, inf, nan, pi
from typing import TYPE_CHECKING

from numpy import euler_gamma, newaxis

from pullback.numpy import absent, fft, linalg
from pullback.numpy.complex_numbers import (
    angle,
    conj,
    imag,
    iscomplex,
    iscomplexobj,
    isreal,
    isrealobj,
    real,
    sign,
)
from pullback.numpy.composed import (
    allclose,
    array_equal,
    clip,
    copysign,
    deg2rad,
    divmod,
    exp2,
    fabs,
    fmax,
    fmin,
    heaviside,
    isclose,
    log_sigmoid,
    logaddexp2,
    logit,
    nan_to_num,
    rad2deg,
    relu,
    round,
    select,
    signbit,
    sinc,
    where,
    xlogy,
)
from pullback.numpy.creation import (
    arange,
    asarray,
    copy,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    identity,
    linspace,
    meshgrid,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from pullback.numpy.dtypes import (
    astype,
    bool_,
    can_cast,
    complex64,
    complex128,
    finfo,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    ndim,
    result_type,
    shape,
    size,
    uint8,
    uint16,
    uint32,
    uint64,
)
from pullback.numpy.einsum_notation import (
    einsum,
)
from pullback.numpy.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_or,
    bitwise_xor,
    ceil,
    cos,
    cosh,
    digamma,
    divide,
    equal,
    erf,
    erfc,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    pow,
    reciprocal,
    remainder,
    rint,
    sigmoid,
    sin,
    sinh,
    softplus,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)
from pullback.numpy.joining import (
    append,
    array_split,
    column_stack,
    concat,
    concatenate,
    diff,
    dstack,
    hsplit,
    hstack,
    pad,
    repeat,
    split,
    stack,
    tile,
    unstack,
    vsplit,
    vstack,
)
from pullback.numpy.linear import (
    cross,
    dot,
    inner,
    kron,
    matmul,
    outer,
    polyval,
    tensordot,
    trace,
    trapezoid,
    vdot,
    vecdot,
)
from pullback.numpy.manipulation import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    diag,
    diagonal,
    expand_dims,
    flip,
    fliplr,
    flipud,
    matrix_transpose,
    moveaxis,
    permute_dims,
    ravel,
    reshape,
    roll,
    rot90,
    squeeze,
    swapaxes,
    transpose,
    tril,
    triu,
)
from pullback.numpy.reductions import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumprod,
    cumsum,
    cumulative_prod,
    cumulative_sum,
    logsumexp,
    max,
    min,
    prod,
    ptp,
    sum,
)
from pullback.numpy.selection import (
    argsort,
    dynamic_slice,
    dynamic_update_slice,
    one_hot,
    scatter_add,
    sort,
    take,
    take_along_axis,
)
from pullback.numpy.statistics import (
    average,
    log_softmax,
    mean,
    median,
    nanmax,
    nanmean,
    nanmin,
    nansum,
    percentile,
    quantile,
    softmax,
    std,
    var,
)
from pullback.tracing.update import at

# --- NumPy's names --------------------------------------------------------------------------------

absolute = abs
amax = max
amin = min
arccos = acos
arccosh = acosh
arcsin = asin
arcsinh = asinh
arctan = atan
arctan2 = atan2
arctanh = atanh
around = round
array = asarray
asanyarray = asarray
ascontiguousarray = asarray
bitwise_not = bitwise_invert
conjugate = conj
degrees = rad2deg
fix = trunc
invert = bitwise_invert
mod = remainder
power = pow
radians = deg2rad
true_divide = divide
bool = bool_

# A name a line would take half the file.
# fmt: off
__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "all", "allclose", "amax", "amin", "angle", "any",
    "append", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "argmax", "argmin", "argsort", "around", "array", "array_equal", "array_split", "asanyarray",
    "asarray", "ascontiguousarray", "asin", "asinh", "astype", "at", "atan", "atan2", "atanh",
    "atleast_1d", "atleast_2d", "atleast_3d", "average", "bitwise_and", "bitwise_invert",
    "bitwise_not", "bitwise_or", "bitwise_xor", "bool", "bool_", "broadcast_arrays",
    "broadcast_shapes", "broadcast_to", "can_cast", "ceil", "clip", "column_stack", "complex64",
    "complex128", "concat", "concatenate", "conj", "conjugate", "copy", "copysign", "cos", "cosh",
    "count_nonzero", "cross", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "deg2rad",
    "degrees", "diag", "diagonal", "diff", "digamma", "divide", "divmod", "dot", "dstack",
    "dynamic_slice", "dynamic_update_slice", "e", "einsum", "empty", "empty_like", "equal", "erf",
    "erfc", "euler_gamma", "exp", "exp2", "expand_dims", "expm1", "eye", "fabs", "fft", "finfo",
    "fix", "flip", "fliplr", "flipud", "float32", "float64", "floor", "floor_divide", "fmax",
    "fmin", "full", "full_like", "greater", "greater_equal", "heaviside", "hsplit", "hstack",
    "hypot", "identity", "iinfo", "imag", "inf", "inner", "int8", "int16", "int32", "int64",
    "invert", "isclose", "iscomplex", "iscomplexobj", "isdtype", "isfinite", "isinf", "isnan",
    "isreal", "isrealobj", "kron", "less", "less_equal", "lgamma", "linalg", "linspace", "log",
    "log1p", "log2", "log10", "log_sigmoid", "log_softmax", "logaddexp", "logaddexp2",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logsumexp", "matmul",
    "matrix_transpose", "max", "maximum", "mean", "median", "meshgrid", "min", "minimum", "mod",
    "moveaxis", "multiply", "nan", "nan_to_num", "nanmax", "nanmean", "nanmin", "nansum", "ndim",
    "negative", "newaxis", "not_equal", "one_hot", "ones", "ones_like", "outer", "pad",
    "percentile", "permute_dims", "pi", "polyval", "positive", "pow", "power", "prod", "ptp",
    "quantile", "rad2deg", "radians", "ravel", "real", "reciprocal", "relu", "remainder", "repeat",
    "reshape", "result_type", "rint", "roll", "rot90", "round", "scatter_add", "select", "shape",
    "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "size", "softmax", "softplus", "sort",
    "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum", "swapaxes", "take",
    "take_along_axis", "tan", "tanh", "tensordot", "tile", "trace", "transpose", "trapezoid",
    "tril", "triu", "true_divide", "trunc", "uint8", "uint16", "uint32", "uint64", "unstack", "var",
    "vdot", "vecdot", "vsplit", "vstack", "where", "xlogy", "zeros", "zeros_like",
]
# fmt: on

if not TYPE_CHECKING:  # a checker knows the names, and is to report the others itself

    def __getattr__(name: str) -> None:
        """Say of a name that is missing where that which it stands for may be."""
        raise absent.missing(name, __all__)
