"""Prospects: what each exit could do if it was the only early one, from the tables; what a policy sees of a data set.

Accuracies and confidences differ from data set to data set, and with them the places where exits pay. Of an exit after
block l with a given branch, at one bit-width all along, two numbers say most of it:

- *coverage*: the greatest share of the inputs that can leave there while the network as a whole, the others going
  on to the last exit, still has the accuracy that the objective demands (0 where no threshold reaches that);
- *margin*: how far the accuracy of the exit on all inputs lies above the one demanded, over 0.2, within -1..1.

After the last block the classifier stands in for every branch: its coverage is 1 where it has the accuracy, else 0.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eenn_rl.estimator import Estimator
from eenn_rl.levels import LEVELS
from eenn_rl.tuning import Demands

MARGIN = 0.2
"""The difference of accuracies that is told as 1."""


def prospects(
    estimator: Estimator, branches: Sequence[str], bits: Sequence[int], demands: Demands
) -> npt.NDArray[np.float64]:
    """Coverage and margin of every exit, float64 [blocks, branches, bits, 2]; `branches` are those of a search space.

    Bits that the tables do not hold stand on the nearest that they hold.
    """
    tables = estimator.tables
    blocks = len(tables.backbone.blocks)
    found = np.zeros((blocks, len(branches), len(bits), 2))
    for column, width in enumerate(bits):
        last = tables.correct[estimator.uniform_row(width, blocks - 1, None)]
        found[-1, :, column] = float(last.sum() >= demands.right), _margin(last, demands)
        for location in range(blocks - 1):
            for row, branch in enumerate(branches):
                at = estimator.uniform_row(width, location, branch)
                right = tables.correct[at]
                covered = _coverage(tables.confidence[at], right, last, demands)
                found[location, row, column] = covered, _margin(right, demands)
    return found


def _margin(right: npt.NDArray[np.bool_], demands: Demands) -> float:
    return float(np.clip((int(right.sum()) - demands.right) / len(right) / MARGIN, -1, 1))


def _coverage(
    levels: npt.NDArray[np.uint8], right: npt.NDArray[np.bool_], last: npt.NDArray[np.bool_], demands: Demands
) -> float:
    """The greatest share that can leave by `levels`, being `right` or not, while the others are right as `last`."""
    change = np.bincount(levels, right.astype(np.float64) - last, minlength=LEVELS)
    total = int(last.sum()) + np.cumsum(change[::-1])
    holding = np.flatnonzero(total >= demands.right)
    leaving = np.cumsum(np.bincount(levels, minlength=LEVELS)[::-1])
    return float(leaving[holding[-1]] / len(levels)) if len(holding) else 0.0
