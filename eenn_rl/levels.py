"""Confidence levels: the grid on which per-sample confidences are stored and thresholds are chosen.

A confidence is a number in [0, 1], the larger the surer: the largest softmax output, its margin to the second largest,
or 1 minus the entropy over its maximum. Level l holds the confidences in ``[LEVEL_EDGES[l], LEVEL_EDGES[l + 1])``. The
edges are evenly spaced in -ln(1 - confidence), fine where networks that are sure of themselves crowd.
"""

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check

LEVELS = 64
OFF = LEVELS
"""The threshold level that no sample reaches: the exit is off."""

_STEP = np.log(1e4) / (LEVELS - 1)
LEVEL_EDGES: npt.NDArray[np.float64] = -np.expm1(-_STEP * np.arange(LEVELS))
"""Lower edge of each level, float64 [LEVELS]: 0, 0.136, 0.254, ... 0.99988, 0.9999."""
LEVEL_EDGES.setflags(write=False)


def confidence_levels(confidence: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """The level of each confidence, uint8 of the same shape. Raises where one is outside [0, 1] or no number."""
    values = np.asarray(confidence, np.float64)
    inside = bool(((values >= 0) & (values <= 1 + 1e-6)).all())
    check(inside, "confidence", "numbers outside it", "within [0, 1]")
    return (np.searchsorted(LEVEL_EDGES, values, side="right") - 1).astype(np.uint8)


def threshold_of(level: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """The confidence at which a threshold level begins; 2 (never reached) where the exit is off."""
    return np.where(level >= OFF, 2.0, LEVEL_EDGES[np.minimum(level, LEVELS - 1)])
