"""Where a run comes from: how to repeat it, its settings, its estimator and how far off that was, its accelerator."""

from collections.abc import Iterator
from typing import Any

from eenn_rl.config import RunConfig
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.report.gathered import RunReport
from eenn_rl.report.html import Markup, join, table, tag
from eenn_rl.report.words import points
from eenn_rl.serialization import to_json


def provenance(run: RunReport, prefix: str) -> Markup:
    """The section on where all of it comes from."""
    accelerator = run.accelerator
    return tag(
        "section", tag("h2", "Where this comes from"),
        _made_by(run),
        tag("p", _settings(run)),
        tag("p", "Every logged episode again, bit by bit: ", tag("code", f"eenn-rl replay {run.log}")),
        _images(run),
        _estimator(run),
        tag("h3", f"Accelerator: {accelerator.name}"),
        tag("p", accelerator.description.rstrip("."), ". Source: ", accelerator.source or "not stated"),
        table(("core", "kind", "array", "bits", "clock", "source"), _cores(accelerator)),
        tag("details", tag("summary", "Configuration"), table(("setting", "value"), list(_flat(run.config)))),
        tag("details", tag("summary", "Versions"), table(("part", "version"), _versions(run))),
        id=f"{prefix}-provenance",
    )  # fmt: skip


def _made_by(run: RunReport) -> Markup:
    """The command that made it; a log alone has the configuration, but not its file."""
    if run.log == run.path:
        return Markup("")
    return tag("p", "Made as by: ", tag("code", f"eenn-rl train --config {run.path}/config.json"))


def _settings(run: RunReport) -> str:
    """The settings that differ from the defaults, and the seeds."""
    defaults = dict(_flat(to_json(RunConfig())))
    changed = [f"{name} {value}" for name, value in _flat(run.config) if defaults.get(name) != value]
    seeds = ", ".join(f"{name} {value}" for name, value in run.seeds.items())
    return f"Settings other than the defaults: {', '.join(changed) or 'none'}. Seeds: {seeds or 'none logged'}."


def _images(run: RunReport) -> Markup:
    """The user's own images; nothing for data sets that have a name."""
    told = run.images.told() if run.images else ""
    return tag("p", told) if told else Markup("")


def _cores(accelerator: AcceleratorSpec) -> list[tuple[str, ...]]:
    """A row for each kind of core, cores that differ in nothing but their names together."""
    named: dict[tuple[str, ...], list[str]] = {}
    for core in accelerator.cores:
        told = (
            core.kind, " x ".join(str(d.size) for d in core.array), ", ".join(map(str, core.supported_bits)),
            f"{core.clock_hz / 1e6:g} MHz", core.source or accelerator.source,
        )  # fmt: skip
        named.setdefault(told, []).append(core.name)
    return [(", ".join(names), *told) for told, names in named.items()]


def _versions(run: RunReport) -> list[tuple[str, str]]:
    return [*run.versions.items(), *((f"backend {key}", value) for key, value in run.backend.items())]


def _estimator(run: RunReport) -> Markup:
    """What the estimator is, and how far off it was where that was measured."""
    tables = run.tables
    samples, notes = tables.get("independent_samples"), str(tables.get("notes") or "not said where from")
    data, rule = tables.get("dataset", "unknown data"), tables.get("confidence_rule", "unknown")
    # Whatever measures says on how many images; guesses and made-up tables say what they are in their notes.
    origin = f"measured on {samples:,} independent validation images of {data}" if samples else f"for {data}, {notes}"
    told = [f"Estimator: accuracy tables {origin}; confidence rule {rule}, fingerprint {run.fingerprint[:16]}."]
    if samples and tables.get("notes"):
        told.append(str(tables["notes"]))
    if run.cards:
        offsets = [c.verified.measured.accuracy - c.verified.predicted.accuracy for c in run.cards]
        pairs = [
            pair for c in run.cards
            for pair in zip(c.verified.predicted.exit_rates, c.verified.measured.exit_rates, strict=True)
        ]  # fmt: skip
        rates = sum(abs(a - b) for a, b in pairs) / len(pairs)
        told.append(
            f"Measured error (networks trained in full: {len(offsets)}): accuracy "
            f"{', '.join(map(points, offsets))} points (measured on test less predicted), exit rates off by "
            f"{100 * rates:.1f} points on average."
        )
    return join(tag("p", sentence) for sentence in told)


def _flat(data: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as ``a.b`` and text."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, ", ".join(map(str, data)) if isinstance(data, list) else "none" if data is None else str(data)
