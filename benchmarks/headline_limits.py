"""What keeps a verified network from saving more: its saving again, with one limit at a time taken away.

All savings are of the energy-latency product against the static 8-bit network, on test images; see `limits`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture import Architecture
from eenn_rl.evaluator import Evaluator
from eenn_rl.judgement import judge, static_result
from eenn_rl.networks.verification import MeasuredNetwork, Outcome
from eenn_rl.objective import Objective
from eenn_rl.results import Verified
from eenn_rl.workload import Workload, workload_of

Floats = npt.NDArray[np.float64]


def with_objective(evaluator: Evaluator, objective: Objective) -> Evaluator:
    """The same question under another objective."""
    return Evaluator(evaluator.space, evaluator.backend, evaluator.estimator, objective)


def tuned_on_test(network: MeasuredNetwork) -> MeasuredNetwork:
    """As if its validation images were the test images."""
    return replace(network, validation=network.test)


def exit_costs(evaluator: Evaluator, workload: Workload) -> Floats:
    """Energy times latency (J s) of an input that leaves at each exit, [exits]."""
    report = evaluator.backend.evaluate(workload)
    return np.array([exit_.energy_j * exit_.latency_s for exit_ in report.exits])


def without_branches(workload: Workload) -> Workload:
    """Early exits that cost nothing."""
    early = tuple(replace(stage, branch_layers=()) for stage in workload.stages[:-1])
    return Workload((*early, workload.stages[-1]))


def shares_of_macs(workload: Workload, static_macs: int) -> Floats:
    """Multiply-accumulates of an input that leaves at each exit, as a share of the static network's, [exits]."""
    macs = [sum(layer.macs for layer in (*stage.layers, *stage.branch_layers)) for stage in workload.stages]
    return np.cumsum(macs) / static_macs


def perfect_confidence(outcome: Outcome) -> Floats:
    """Exit rates where every input leaves at the first exit that is no less right than the last one, [exits]."""
    right = outcome.correct
    leaves = (right | ~right[-1]).argmax(axis=0)
    return np.bincount(leaves, minlength=len(right)) / right.shape[1]


def limits(
    evaluator: Evaluator, verified: Verified, architecture: Architecture, network: MeasuredNetwork,
    statics: Sequence[MeasuredNetwork], bits: Sequence[int], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The saving of `verified`, a share, and what it would be with one limit taken away.

    Without headroom; with thresholds of the test images; with a confidence that knows when an exit is right; with
    branches that cost nothing; with every input at the first exit, whatever its accuracy; and with energy and latency
    that follow multiply-accumulates alone, whatever the bits.
    """
    workload = workload_of(architecture)
    costs, trunk = exit_costs(evaluator, workload), exit_costs(evaluator, without_branches(workload))
    rates = np.array(verified.measured.exit_rates)
    static_elp = verified.measured.elp / (1 - verified.elp_reduction)

    def saving(shares: Floats, of: Floats) -> float:
        return round(1 - float(shares @ of) / static_elp, 4)

    def judged(objective: Objective, own: MeasuredNetwork, others: Sequence[MeasuredNetwork]) -> dict[str, float]:
        asked = with_objective(evaluator, objective)
        results = [static_result(asked, b, net, others[0]) for b, net in zip(bits, others, strict=True)]
        found = judge(asked, asked.evaluate(architecture), own, others[0], results, seed)
        return {
            "saving": round(found.elp_reduction, 4),
            "accuracy_difference": round(found.measured.accuracy_difference, 4),
        }

    no_headroom = replace(evaluator.objective, headroom=0.0)
    return {
        "as verified": round(verified.elp_reduction, 4),
        "no headroom": judged(no_headroom, network, statics),
        "thresholds of the test images": judged(
            no_headroom, tuned_on_test(network), [tuned_on_test(static) for static in statics]
        ),
        "perfect confidence": saving(perfect_confidence(network.test), costs),
        "branches for nothing": saving(rates, trunk),
        "all at the first exit": saving(np.eye(len(rates))[0], costs),
        "costs as multiply-accumulates": round(
            1 - float(rates @ shares_of_macs(workload, architecture.backbone.macs) ** 2), 4
        ),
    }
