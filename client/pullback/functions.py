"""Derivatives of functions in this process, without naming a service: `pb.grad(f)(x)`.

Each is the method of that name of `pb.local()`; inside a traced function it goes into the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pullback.call import Wrt
from pullback.local_service import local

Function: TypeAlias = Callable[..., Any]


def value_and_grad(function: Function, wrt: Wrt = None, *, has_aux: bool = False) -> Function:
    """A function that gives `(value, gradient)`; `((value, aux), gradient)` with `has_aux`.

    Args:
        wrt: argument names or positions, one or several; the first argument where None.

    Raises (the function made):
        NotDifferentiable: the result is no floating scalar, or an argument is not floating.
    """
    return local().value_and_grad(function, wrt, has_aux=has_aux)


def grad(function: Function, wrt: Wrt = None, *, has_aux: bool = False) -> Function:
    """A function that gives the gradient; `(gradient, aux)` with `has_aux`. As `value_and_grad`."""
    return local().grad(function, wrt, has_aux=has_aux)


def jacobian(function: Function, wrt: Wrt = None, *, sparse: bool = False) -> Function:
    """A function that gives, per array of the result, its Jacobian by the arguments.

    Shape: result.shape + argument.shape; with `sparse`, a `scipy.sparse.csr_array` of result.size
    rows and argument.size columns.
    """
    made: Function = local().jacobian(function, wrt, sparse=sparse)
    return made


def hessian(function: Function, wrt: Wrt = None, *, sparse: bool = False) -> Function:
    """A function that gives, per pair of arguments, the second derivative of a scalar result.

    Shape: first.shape + second.shape; with `sparse`, a `scipy.sparse.csr_array` of first.size rows
    and second.size columns.
    """
    made: Function = local().hessian(function, wrt, sparse=sparse)
    return made


def vjp(function: Function, wrt: Wrt = None) -> Function:
    """A function that takes `cotangent=` too and gives `(result, cotangents of the arguments)`."""
    made: Function = local().vjp(function, wrt)
    return made


def jvp(function: Function, wrt: Wrt = None) -> Function:
    """A function that takes `tangent=` too and gives `(result, tangents of the result)`."""
    made: Function = local().jvp(function, wrt)
    return made


def hvp(function: Function, wrt: Wrt = None) -> Function:
    """A function that takes `tangent=` too and gives the Hessian times it."""
    made: Function = local().hvp(function, wrt)
    return made
