"""What a comparison compares on: `problem.json` in its folder, by which going on with another problem is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eenn_rl.config import WITHOUT_EFFECT, RunConfig, differences
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.paths import located
from eenn_rl.places import check_folder, lock_of
from eenn_rl.progress import Progress
from eenn_rl.run_folder import write_json
from eenn_rl.serialization import from_json, read_json, to_json
from eenn_rl.unchanged import costed, other_number
from eenn_rl.whole import ENDING

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

FILE = "problem.json"
OF_TABLES = ("tables", "dataset", "data_root")
"""Settings that the tables' fingerprint tells."""
SAMPLED = 3
"""Early-exit networks whose costs are kept: a cost model may change for them alone."""


@dataclass(frozen=True)
class Content:
    """What stood behind names and paths of the settings when a comparison began.

    `costs` are the backend's, by what they are of; None where it failed. `policy` is a digest, or the name of what is
    no file; None as long as no agent has begun with any.
    """

    accelerator: AcceleratorSpec
    costs: dict[str, float | None]
    policy: str | None


@dataclass(frozen=True)
class Compared:
    """A comparison's problem: its settings, the fingerprint of its tables, its budget, and the settings' content.

    `content` is None where an earlier eenn-rl began it, which kept none.
    """

    config: RunConfig
    tables: str
    budget: int
    content: Content | None


def content_of(evaluator: "Evaluator", policy: str | None) -> Content:
    """The content of the problem that `evaluator` evaluates; asks its backend for a few costs."""
    return Content(costed(evaluator.space.accelerator), dict(_costs(evaluator)), policy)


def _costs(evaluator: "Evaluator") -> Iterator[tuple[str, float | None]]:
    """Of the static network, and of early-exit networks that are the same ones for the same space."""
    yield "energy_j of static", evaluator.static.energy_j
    yield "latency_s of static", evaluator.static.latency_s
    batch = evaluator.score_batch(evaluator.space.sample(np.random.default_rng(0), SAMPLED))
    for number in range(SAMPLED):
        for name in ("energy_j", "latency_s"):
            value = float(getattr(batch, name)[number])
            yield f"{name} of sample {number + 1}", value if isfinite(value) else None


def holds_comparison(out: Path) -> bool:
    """Whether folder `out` holds a comparison already."""
    return (out / FILE).exists()


def check_place(out: Path) -> None:
    """Make the folder `out`, unless it is there; one with other files than a comparison's is refused, and left alone.

    What a process left that was killed before it claimed the folder is a comparison's.
    """
    if out.is_dir() and not holds_comparison(out):
        own = (lock_of(out).name, f".{FILE}.*{ENDING}")
        if not all(any(item.match(name) for name in own) for item in out.iterdir()):
            raise InvalidValueError(
                f"{out}: expected a new folder or a comparison's, found other files: choose another"
            )
    check_folder(out, "--out")


def claim(out: Path, here: Compared, progress: Progress, *, uses_policy: bool) -> Compared:
    """Write down in folder `out`, which is held, that it compares on `here`; one of another problem is refused.

    What is written comes back: its policy is the one that agents of before began with. Agents and seeds may be added to
    a comparison later; the problem, the budget, and the policy once an agent began with it, may not change.
    """
    problem = _as_used(here, uses_policy)
    if holds_comparison(out):
        problem = _continued(out, _read(out / FILE), here, progress, uses_policy)
    write_json(out / FILE, _written(problem))
    return problem


def _as_used(here: Compared, uses_policy: bool) -> Compared:
    """`here` with its policy only where an agent begins with it."""
    if here.content is None or uses_policy:
        return here
    return replace(here, content=replace(here.content, policy=None))


def _continued(out: Path, stored: Compared, here: Compared, progress: Progress, uses_policy: bool) -> Compared:
    """What `out` says from now on: as it was `stored`, with what nobody knew then; refused where `here` is another."""
    found = list(_contradictions(stored, _as_used(here, uses_policy)))
    if found:
        raise InvalidValueError(
            f"{out}: expected a new folder or this comparison's, found another's ({'; '.join(found)}): put back what "
            "was changed, or choose another"
        )
    if stored.content is None:
        progress.note(
            f"{out}: an earlier eenn-rl began it, which kept no costs, accelerator or policy: whether they changed "
            "since is unknown; from now on they are those of today"
        )
        return here
    if stored.content.policy is not None or not (uses_policy and here.content):
        return stored
    return replace(stored, config=here.config, content=replace(stored.content, policy=here.content.policy))


def check_content(out: Path, accelerator: AcceleratorSpec, policy: str | None) -> None:
    """Refuse an accelerator, or a policy where there is one, that is not what the comparison in `out` began with."""
    stored = _read(out / FILE).content
    if stored is None:
        return
    found = list(_changed_files(stored, Content(costed(accelerator), {}, policy)))
    if found:
        raise InvalidValueError(
            f"{out}: expected its problem to stay as it was, found another while it went on ({'; '.join(found)}): put "
            "back what was changed, and start it again, which continues it"
        )


def _contradictions(stored: Compared, here: Compared) -> Iterator[str]:
    """What of a stored problem is another here."""
    if stored.tables != here.tables:
        yield "other tables"
    if stored.budget != here.budget:
        yield f"budget: {stored.budget} -> {here.budget}"
    by_path = stored.content is None
    before, now = (_decisive(each.config, by_path=by_path) for each in (stored, here))
    yield from differences(before, to_json(now))
    if stored.content is not None and here.content is not None:
        yield from _changed_files(stored.content, here.content)
        yield from islice(_changed_costs(stored.content.costs, here.content.costs), 1)


def _changed_files(before: Content, now: Content) -> Iterator[str]:
    if before.accelerator != now.accelerator:
        yield "another accelerator"
    if before.policy is not None and now.policy is not None and before.policy != now.policy:
        yield "another policy"


def _changed_costs(before: dict[str, float | None], now: dict[str, float | None]) -> Iterator[str]:
    """Costs that are others; one that the backend failed on, then or now, tells nothing."""
    for what, was in before.items():
        is_ = now.get(what)
        if was is not None and is_ is not None:
            yield from other_number(what, was, is_)


def _decisive(config: RunConfig, *, by_path: bool) -> RunConfig:
    """`config` without what changes no result; without the paths whose content is known, unless `by_path`."""
    plain: dict[str, Any] = {name: getattr(RunConfig(), name) for name in (*WITHOUT_EFFECT, *OF_TABLES)}
    if not by_path:
        plain |= {"accelerator": None, "search": replace(config.search, policy=None)}
    return located(replace(config, **plain))


def _written(compared: Compared) -> dict[str, Any]:
    """`compared` as `_read` reads it back."""
    settings = {key: value for key, value in to_json(located(compared.config)).items() if key not in WITHOUT_EFFECT}
    return {**settings, **{key: value for key, value in to_json(compared).items() if key != "config"}}


def _read(path: Path) -> Compared:
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputFileError(f"{path}: expected a comparison's problem, found a {type(data).__name__}: choose another")
    own = {field.name for field in fields(Compared)}
    settings = {key: value for key, value in data.items() if key not in own}
    told = {"content": None, **{key: value for key, value in data.items() if key in own}}
    return from_json(Compared, {**told, "config": settings}, str(path))
