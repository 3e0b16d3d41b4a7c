"""How long programs really take, by fingerprint: what batches are cut by, never what a plan is."""

from __future__ import annotations

from collections import OrderedDict

WEIGHT = 0.3
"""Share of the newest run in the moving average."""
MOST_PROGRAMS = 4096


class Calibration:
    """A moving average of run times, for the programs seen last."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[str, float] = OrderedDict()

    def estimate_s(self, fingerprint: str, predicted_s: float) -> float:
        """What was measured; where nothing was, the prediction."""
        return self._seconds.get(fingerprint, predicted_s)

    def record(self, fingerprint: str, running_s: float) -> None:
        """Add one run."""
        known_s = self._seconds.get(fingerprint, running_s)
        self._seconds[fingerprint] = known_s + WEIGHT * (running_s - known_s)
        self._seconds.move_to_end(fingerprint)
        if len(self._seconds) > MOST_PROGRAMS:
            self._seconds.popitem(last=False)
