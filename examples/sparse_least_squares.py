"""A thousand measured distances, and where the sensors stand: least squares by sparse Jacobians.

Each distance depends on two sensors, four numbers of 600: the service finds which, needs few passes
for all of them, and sends the places that count alone.
"""

from __future__ import annotations

from typing import Any

import numpy
from scipy.optimize import least_squares

import pullback as pb
import pullback.numpy as np
from examples.server_process import any_server

SENSORS, DISTANCES = 300, 1000


def main() -> None:
    """Draw sensors, measure distances, start from a poor guess, and find the sensors again."""
    random = numpy.random.default_rng(0)
    truth = random.uniform(size=(SENSORS, 2))
    one = random.integers(SENSORS, size=DISTANCES)
    other = (one + random.integers(1, SENSORS, size=DISTANCES)) % SENSORS
    measured = numpy.linalg.norm(truth[one] - truth[other], axis=1)

    def errors(places: Any) -> Any:
        """What the distances lack, of sensors at `places`: (600,) -> (1000,)."""
        at = np.reshape(places, (SENSORS, 2))
        apart = at[one] - at[other]
        return np.sqrt(np.sum(apart**2, axis=1)) - measured

    start = (truth + random.normal(scale=0.02, size=truth.shape)).reshape(-1)
    with any_server() as address, pb.connect(address) as service:
        jacobian = service.jacobian(errors, sparse=True)
        matrix = jacobian(start)
        rows, columns = matrix.shape
        print(f"Jacobian of {rows} x {columns}: {matrix.nnz} places, {type(matrix).__name__}")
        graph = pb.trace(errors, start)
        print(service.plan(graph, want=pb.Jacobian(("places",), sparse=True)))

        found = least_squares(service.value(errors), start, jac=jacobian, tr_solver="lsmr")
    print(f"sum of squares {2 * found.cost:.1e} after {found.njev} Jacobians")


if __name__ == "__main__":
    main()
