"""What full training showed: thresholds tuned on validation, everything measured once on test, promises compared.

Constraints are met on validation with headroom; on test they are judged as they stand, without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture_file import architecture_to_json
from eenn_rl.evaluation import Evaluation, explain
from eenn_rl.evaluator import Evaluator
from eenn_rl.findings import predicted
from eenn_rl.inference import infer, tuned
from eenn_rl.levels import threshold_of
from eenn_rl.networks.intervals import difference_error, difference_interval, mean_interval
from eenn_rl.objective import Baseline, Costs, least_count, score
from eenn_rl.results import Measured, StaticResult, Verified
from eenn_rl.tuning import Demands

if TYPE_CHECKING:
    from eenn_rl.networks.verification import MeasuredNetwork, Outcome

Floats = npt.NDArray[np.float64]


def static_result(
    evaluator: Evaluator, bits: int, network: "MeasuredNetwork", reference: "MeasuredNetwork"
) -> StaticResult:
    """The network without exits at `bits`, trained in full, on its best allocation; `reference` the baseline."""
    genome, energy, latency = evaluator.static_costs(bits)
    return StaticResult(
        bits=bits,
        accuracy=_accuracy(network.test),
        energy_j=energy,
        latency_s=latency,
        elp=energy * latency,
        validation_accuracy=_accuracy(network.validation),
        validation_error=_error(network.validation.correct[-1], reference),
        accuracy_floor=_accuracy(reference.test) - evaluator.objective.accuracy_tolerance,
        violations=evaluator.static_violations(genome),
    )


def best_static(evaluator: Evaluator, statics: Sequence[StaticResult]) -> StaticResult:
    """The best static network of any bit-width, chosen on validation by the rule that networks with exits must keep.

    One that breaks another bound counts only where all do; one that is late is quoted on cores where it is not.
    """
    objective, reference = evaluator.objective, _of_bits(statics, evaluator.static_bits)
    floor = reference.validation_accuracy - objective.accuracy_tolerance
    reaching = [
        item
        for item in statics
        if item is reference or item.validation_accuracy >= floor + objective.reserve(item.validation_error)
    ]
    within = [item for item in (_in_time(evaluator, item) for item in reaching) if not item.violations]
    return min(within or reaching, key=lambda item: _baseline(item, 0.0).quantity(objective.minimise))


def _in_time(evaluator: Evaluator, static: StaticResult) -> StaticResult:
    """`static` as it is, or where it breaks a bound, on the allocation that is best among those in time."""
    if not static.violations:
        return static
    genome, energy, latency = evaluator.static_costs(static.bits, in_time=True)
    return replace(
        static, energy_j=energy, latency_s=latency, elp=energy * latency, violations=evaluator.static_violations(genome)
    )


def judge(
    evaluator: Evaluator,
    evaluation: Evaluation,
    network: "MeasuredNetwork",
    static_network: "MeasuredNetwork",
    statics: Sequence[StaticResult],
    seed: int,
) -> Verified:
    """One architecture: what `evaluation` promised of it, and what `network`, its full training, did."""
    reference, best = _of_bits(statics, evaluator.static_bits), best_static(evaluator, statics)
    costs = evaluator.costs(evaluator.space.encode(evaluation.architecture)[np.newaxis])
    levels, floor = _tuned(evaluator, network, costs, static_network)
    validation_baseline = replace(_baseline(reference, floor), accuracy=reference.validation_accuracy)
    on_validation = _judged(evaluator, network.validation, levels, costs, validation_baseline)
    test_baseline = _baseline(reference, reference.accuracy - evaluator.objective.accuracy_tolerance)
    on_test = _judged(evaluator, network.test, levels, costs, test_baseline)
    measured = _measured(on_test, network.test, static_network.test, seed)
    report = evaluation.cost
    violations = explain(evaluator.objective, test_baseline, measured.accuracy, on_test["rates"], costs, report)
    return Verified(
        architecture=architecture_to_json(evaluation.architecture),
        feasible=not violations,
        predicted=predicted(evaluation),
        measured=measured,
        elp_reduction=1 - measured.elp / reference.elp,
        elp_reduction_best_bits=1 - measured.elp / best.elp,
        violations=violations,
        thresholds=tuple(threshold_of(levels).tolist()),
        temperatures=network.temperatures,
        validation_feasible=bool(on_validation["scores"].feasible[0]),
        validation_accuracy=float(on_validation["accuracy"]),
        validation_elp=float(on_validation["scores"].elp[0]),
        weights=network.weights.name,
        validation_floor=floor,
        validation_reward=float(on_validation["scores"].reward[0]),
    )


def in_validation_order(verified: Sequence[Verified]) -> tuple[Verified, ...]:
    """By reward on validation: first those that hold every constraint there, then the others, the nearest first."""
    return tuple(sorted(verified, key=lambda item: -item.validation_reward))


def _of_bits(statics: Sequence[StaticResult], bits: int) -> StaticResult:
    return next(item for item in statics if item.bits == bits)


def _baseline(static: StaticResult, floor: float) -> Baseline:
    return Baseline(static.accuracy, floor, static.energy_j, static.latency_s)


def _accuracy(outcome: "Outcome") -> float:
    """Of the last exit, which is all there is of a static network."""
    return float(outcome.correct[-1].mean())


def _error(correct: npt.NDArray[np.bool_], static: "MeasuredNetwork") -> float:
    """Standard error of a forecast: how far the accuracy of `correct` [N] less the static network's may move on test.

    That of the difference on validation, on the same images, times ``sqrt(1 + n / m)``: the m test images are as much a
    draw as the n for validation, and the variances add.
    """
    validation, test = (outcome.groups for outcome in (static.validation, static.test))
    error = difference_error(correct, static.validation.correct[-1], validation)
    return error * sqrt(1 + len(np.unique(validation)) / len(np.unique(test)))


def _tuned(
    evaluator: Evaluator, network: "MeasuredNetwork", costs: Costs, static: "MeasuredNetwork"
) -> tuple[npt.NDArray[np.uint8], float]:
    """Threshold levels [exits] that cost least on validation, within the constraints where they can be held.

    And the accuracy demanded. The headroom in it is the standard error of the difference to the static network on test,
    which depends on the thresholds: it is that of the ones chosen without headroom.
    """
    floor = _accuracy(static.validation) - evaluator.objective.accuracy_tolerance
    bare = _cheapest(evaluator, network, costs, floor)
    found = infer(network.validation.levels, network.validation.correct, bare)
    floor += evaluator.objective.reserve(_error(found.correct, static))
    return _cheapest(evaluator, network, costs, floor), floor


def _cheapest(evaluator: Evaluator, network: "MeasuredNetwork", costs: Costs, floor: float) -> npt.NDArray[np.uint8]:
    """Threshold levels [exits] that cost least on validation and reach `floor`, where any do."""
    objective, outcome = evaluator.objective, network.validation
    samples = outcome.correct.shape[1]
    weights = costs.weights(objective.minimise)[0, : len(outcome.levels)]
    # With headroom in the use of exits where that can be had: rare exits are rarer on test as often as not.
    for rate in (objective.exit_rate_floor(evaluator.estimator.tables.images), objective.min_exit_rate):
        demands = Demands(least_count(floor, samples), least_count(rate, samples))
        levels, feasible = tuned(outcome.levels, outcome.correct, weights, demands, evaluator.estimator.mode)
        if feasible:
            break
    return levels


def _judged(
    evaluator: Evaluator, outcome: "Outcome", levels: npt.NDArray[np.uint8], costs: Costs, baseline: Baseline
) -> Mapping[str, Any]:
    """What threshold `levels` do to one split: accuracy, correct [N], rates [1, s], exit accuracies, scores."""
    found = infer(outcome.levels, outcome.correct, levels)
    rates = np.zeros((1, costs.energy_j.shape[1]))
    rates[0, : len(levels)] = found.exit_rates
    return {
        "accuracy": found.accuracy,
        "correct": found.correct,
        "rates": rates,
        "exit_accuracies": found.exit_accuracies,
        "scores": score(evaluator.objective, baseline, np.array([found.accuracy]), rates, costs),
    }


def _measured(found: Mapping[str, Any], test: "Outcome", static: "Outcome", seed: int) -> Measured:
    correct, reference = found["correct"], static.correct[-1]
    scores, exits = found["scores"], len(found["exit_accuracies"])
    return Measured(
        accuracy=found["accuracy"],
        accuracy_interval=mean_interval(correct.astype(np.float64), test.groups, seed),
        accuracy_difference=found["accuracy"] - float(reference.mean()),
        accuracy_difference_interval=difference_interval(correct, reference, test.groups, seed),
        exit_rates=tuple(found["rates"][0, :exits].tolist()),
        exit_accuracies=found["exit_accuracies"],
        energy_j=float(scores.energy_j[0]),
        latency_s=float(scores.latency_s[0]),
        elp=float(scores.elp[0]),
    )
