"""What decides a search, by which the checkpoint of another one is known."""

from collections.abc import Iterator
from math import isclose
from typing import Any

from eenn_agents.ledger import Ledger
from eenn_rl.search import AgentSettings
from eenn_rl.serialization import to_json
from eenn_rl.unchanged import SAME, costed

FORMAT = 2
"""Of checkpoints: those of an earlier agent hold another state."""


def identity_of(agent: str, settings: AgentSettings, ledger: Ledger) -> dict[str, Any]:
    """Of the search by `agent` of the ledger's problem: names, settings, and under ``problem`` what stands behind."""
    evaluator = ledger.evaluator
    space, estimator, baseline = evaluator.space, evaluator.estimator, evaluator.baseline
    return {
        "format": FORMAT,
        "agent": agent,
        "seed": ledger.seed,
        "settings": {key: value for key, value in to_json(settings).items() if key != "tensorboard"},
        "backbone": space.backbone.name,
        "accelerator": space.accelerator.name,
        "objective": to_json(evaluator.objective),
        "problem": {
            "tables": estimator.tables.fingerprint,
            "thresholds": estimator.mode,
            "branches": list(space.branches),
            "bits": list(space.bits),
            "max_exits": space.max_exits,
            "accelerator": to_json(costed(space.accelerator)),
            "energy_j of static": baseline.energy_j,
            "latency_s of static": baseline.latency_s,
        },
    }


def differing(stored: Any, here: dict[str, Any]) -> Iterator[str]:
    """The names of what is another in a `stored` identity; earlier ones hold no ``problem``, which tells nothing."""
    if not isinstance(stored, dict) or {*stored, "problem"} != set(here):
        yield "no search's, or of another version"
        return
    for name, value in here.items():
        before = stored.get(name, value)
        if name == "problem" and isinstance(before, dict):
            yield from (what for what, now in value.items() if not _same(before.get(what, now), now))
        elif before != value:
            yield name


def _same(before: Any, now: Any) -> bool:
    """Whether two values are the same, but for the arithmetic of another processor."""
    both = isinstance(before, float) and isinstance(now, float)
    return isclose(before, now, rel_tol=SAME) if both else before == now
