"""What `reset(options=...)` asks for, of one episode or of many: fields of `Objective`."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from eenn_rl.errors import InvalidValueError, unknown_name
from eenn_rl.objective import Objective

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator


def with_preference(evaluators: Sequence["Evaluator"], options: Any) -> tuple["Evaluator", ...]:
    """`evaluators` by the objectives that `options` ask for; the same ones where they ask for nothing.

    Raises `InvalidValueError` for what is no mapping, for names that `Objective` lacks and for values that it refuses.
    """
    if options is not None:
        _check_names(options)
    if not options:
        return tuple(evaluators)
    return tuple(each.with_objective(replace(each.objective, **options)) for each in evaluators)


def _check_names(options: Any) -> None:
    if not isinstance(options, Mapping):
        raise InvalidValueError(
            f"reset options: expected a mapping, as {{'accuracy_tolerance': 0.02}}, found {options!r:.80}: give fields "
            "of Objective by name"
        )
    known = [field.name for field in fields(Objective)]
    for name in options:
        if name not in known:
            raise unknown_name("reset option", name, known)
