"""The same architectures costed by several backends: how far one is off from another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eenn_rl.architecture import Architecture
from eenn_rl.backbone import Backbone
from eenn_rl.cost import ExitCost
from eenn_rl.errors import check
from eenn_rl.guard import ask_backend
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.plugins import make_backend
from eenn_rl.workload import workload_of


@dataclass(frozen=True)
class Recosted:
    """One architecture's path to each exit, by backend, and its expected cost where exit rates are given.

    `exits[b]` are the costs by backend b; `expected[b]` is (energy J, latency s, ELP J s), empty without rates.
    """

    exits: tuple[tuple[ExitCost, ...], ...]
    expected: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class RecostTable:
    """Rows are architectures, columns backends; the last backend is the one that the others are measured against."""

    backends: tuple[str, ...]
    rows: tuple[Recosted, ...]

    def error(self, backend: int, row: int, exit_: int) -> tuple[float, float]:
        """Relative error of `backend` in energy and latency at one exit, against the last backend."""
        mine, reference = self.rows[row].exits[backend][exit_], self.rows[row].exits[-1][exit_]
        return _relative(mine.energy_j, reference.energy_j), _relative(mine.latency_s, reference.latency_s)

    def worst(self, backend: int) -> tuple[float, float]:
        """The largest absolute relative errors of `backend` in energy and latency, over all rows and exits."""
        errors = [
            self.error(backend, row, k) for row, found in enumerate(self.rows) for k in range(len(found.exits[backend]))
        ]
        return max(abs(energy) for energy, _ in errors), max(abs(latency) for _, latency in errors)

    def worst_elp(self, backend: int) -> float | None:
        """The largest absolute relative error of `backend` in the expected ELP; None without exit rates."""
        pairs = [(row.expected[backend][2], row.expected[-1][2]) for row in self.rows if row.expected]
        return max((abs(_relative(*pair)) for pair in pairs), default=None)

    def text(self) -> str:
        """The table for a person: energy and latency at every exit by each backend, and how far they are apart."""
        lines = []
        for number, row in enumerate(self.rows, start=1):
            lines.append(f"architecture {number}")
            for k in range(len(row.exits[0])):
                costs = [
                    f"{name} {costs[k].energy_j * 1e6:.4g} uJ {costs[k].latency_s * 1e6:.4g} us"
                    for name, costs in zip(self.backends, row.exits, strict=True)
                ]
                lines.append(f"  exit {k}: " + ", ".join(costs) + self._errors(number - 1, k))
            for name, (energy, latency, elp) in zip(self.backends, row.expected, strict=False):
                lines.append(f"  expected by {name}: {energy * 1e6:.4g} uJ, {latency * 1e6:.4g} us, {elp:.4g} J s")
        for backend, name in enumerate(self.backends[:-1]):
            energy, latency = self.worst(backend)
            product = self.worst_elp(backend)
            expected = "" if product is None else f", {product:.2%} in expected ELP"
            lines.append(
                f"{name} is off {self.backends[-1]} by at most {energy:.2%} in energy and {latency:.2%} in latency "
                f"at any exit{expected}"
            )
        return "\n".join(lines)

    def _errors(self, row: int, exit_: int) -> str:
        found = [self.error(backend, row, exit_) for backend in range(len(self.backends) - 1)]
        return "".join(f" ({energy:+.2%} energy, {latency:+.2%} latency)" for energy, latency in found)


def recost(
    architectures: Sequence[Architecture],
    accelerator: AcceleratorSpec,
    backbone: Backbone,
    backends: Sequence[str],
    exit_rates: Sequence[Sequence[float]] | None = None,
) -> RecostTable:
    """Cost `architectures` by every one of `backends` (names); the last one is the reference.

    `exit_rates` [architecture][exit], where given, add the expected costs.

    Raises:
        BackendError: a backend cannot be made, or fails on an architecture; the message is the reason.
    """
    check(len(architectures) >= 1, "architectures", len(architectures), "at least one")
    check(len(backends) >= 1, "backends", backends, "at least one")
    made = [make_backend(name, accelerator, backbone) for name in backends]
    rows = []
    for number, architecture in enumerate(architectures):
        workload = workload_of(architecture)
        exits = tuple(ask_backend(name, one, workload).exits for name, one in zip(backends, made, strict=True))
        rates = exit_rates[number] if exit_rates is not None else None
        rows.append(Recosted(exits, tuple(_expected(costs, rates) for costs in exits) if rates is not None else ()))
    return RecostTable(tuple(backends), tuple(rows))


def _relative(found: float, reference: float) -> float:
    """Relative error; infinite where the reference costs nothing and what was found does."""
    if reference == 0:
        return 0.0 if found == 0 else math.inf
    return found / reference - 1


def _expected(costs: Sequence[ExitCost], rates: Sequence[float]) -> tuple[float, float, float]:
    """Expected energy, latency and energy-latency product, sum of r_k E_k L_k."""
    pairs = list(zip(rates, costs, strict=True))
    return (
        sum(r * c.energy_j for r, c in pairs),
        sum(r * c.latency_s for r, c in pairs),
        sum(r * c.energy_j * c.latency_s for r, c in pairs),
    )
