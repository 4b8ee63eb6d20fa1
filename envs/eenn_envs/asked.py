"""The problems that an environment is asked for: evaluators, or settings of a problem by name."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eenn_rl.errors import InvalidValueError, check, unknown_name

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

_OF_EVALUATORS = ("space", "objective", "baseline", "with_objective", "evaluate_batch")
"""What an environment uses of an evaluator."""


def asked_evaluators(given: Any, settings: Mapping[str, Any], arguments: Sequence[str]) -> "tuple[Evaluator, ...]":
    """One evaluator or several as `given`, or that of `settings`; without either the default problem's.

    `arguments` are what the environment takes besides the settings of a problem, `given` first.
    """
    if settings:
        _check_settings(given, settings, arguments)
    if given is None:
        from eenn_envs.default import evaluator_of

        return (evaluator_of(settings),)
    evaluators = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    check(len(evaluators) >= 1, arguments[0], given, "one evaluator, or several")
    for evaluator in evaluators:
        _check_evaluator(evaluator, arguments[0])
    return evaluators


def _check_settings(given: Any, settings: Mapping[str, Any], arguments: Sequence[str]) -> None:
    from eenn_rl.config import PROBLEM_FIELDS

    for name in settings:
        if name not in PROBLEM_FIELDS:
            raise unknown_name("setting of the environment", name, (*PROBLEM_FIELDS, *arguments))
    if given is not None:
        raise InvalidValueError(
            f"{', '.join(settings)}: expected either settings of a problem or {arguments[0]}, found both: an evaluator "
            "has its own settings (make_evaluator takes them)"
        )


def _check_evaluator(evaluator: Any, argument: str) -> None:
    if isinstance(evaluator, type) or not all(hasattr(evaluator, name) for name in _OF_EVALUATORS):
        raise InvalidValueError(
            f"{argument}: expected an evaluator, as eenn_rl.problem.make_evaluator makes one, found {evaluator!r:.80}: "
            "a problem's settings go by their names, as accelerator='hetero_quad'"
        )
