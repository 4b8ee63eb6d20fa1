"""RunMeta: all that a trajectory file says about its run, so that the file alone is enough to execute it again."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.trajectory.packing import Packing
from eenn_rl.trajectory.schema import Dimensions

Tables = Mapping[str, npt.NDArray[Any]]

TEXTS = (
    "config",
    "accelerator",
    "backbone",
    "space",
    "objective",
    "baselines",
    "environment",
    "tables_info",
    "seeds",
    "versions",
    "backend",
)
"""Parts stored as JSON text under /meta."""
ORIGIN = ("config", "seeds", "versions", "backend")
"""Parts that say who made the run and how; the others define what is executed."""


COMPUTING = (
    "eenn_rl", "eenn_rl.hardware", "eenn_rl.schedule", "eenn_rl.replay", "eenn_envs",
    "eenn_multicore", "eenn_diana", "eenn_zigzag",
)  # fmt: skip
"""Packages whose own modules decide what an executed log gives."""


@cache
def code_digest() -> str:
    """SHA-256, hex, its first 16 digits, of the sources of `COMPUTING`: tells code that changed under one version."""
    state = hashlib.sha256()
    for package in COMPUTING:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).glob("*.py")):
                state.update(f"{package}.{path.stem}\n".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def current_versions() -> dict[str, str]:
    """Versions of everything whose change may change a number."""
    from eenn_rl import __version__

    return {
        "eenn_rl": __version__,
        "code": code_digest(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
    }


@dataclass(frozen=True)
class RunMeta:
    """What defines a run; parts typed Any are plain JSON data.

    `config` is the whole configuration; `accelerator`, `backbone`, `objective` are those dataclasses as JSON; `space`
    holds branches, bits and max_exits; `baselines` the static networks as costed by the run; `environment` the names
    of the observation's slices and the actions; `tables` and `tables_info` the estimator's tables, arrays and the
    rest; `fingerprint` theirs; `backend` name, distribution and version; `versions` of everything that computes;
    `constant` the end that all observations share, float32 [dimensions.constant].
    """

    accelerator: Any
    backbone: Any
    space: Any
    objective: Any
    backend: Mapping[str, str]
    fingerprint: str
    dimensions: Dimensions
    violations: tuple[str, ...]
    config: Any = field(default_factory=dict)
    baselines: Any = field(default_factory=dict)
    environment: Any = field(default_factory=dict)
    tables_info: Any = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=current_versions)
    tables: Tables = field(default_factory=dict)
    constant: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        found = (self.constant.dtype, self.constant.shape)
        wanted = (np.dtype(np.float32), (self.dimensions.constant,))
        check(found == wanted, "constant end of an observation", found, f"{wanted}")
        check(
            len(self.violations) == self.dimensions.violations,
            "violations",
            self.violations,
            f"{self.dimensions.violations} names",
        )
        for name in self.tables:
            check(name.isidentifier(), "estimator table", name, "named like a Python identifier")

    @property
    def packing(self) -> Packing | None:
        """How observations are stored; None: as they are."""
        return Packing(self.dimensions.flags, self.constant) if self.dimensions.flags else None

    def texts(self) -> dict[str, str]:
        """The JSON parts as text; equal content gives equal text."""
        named = {name: getattr(self, name) for name in TEXTS}
        named["space"] = {**dict(self.space), "violations": list(self.violations)}
        return {name: json.dumps(value, sort_keys=True, ensure_ascii=False) for name, value in named.items()}

    def part_digests(self) -> dict[str, str]:
        """SHA-256 of each part, hex."""
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.texts().items()}
        tables = hashlib.sha256()
        for name in sorted(self.tables):
            array = np.ascontiguousarray(self.tables[name])
            tables.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            tables.update(array.tobytes())
        digests["tables"] = tables.hexdigest()
        if self.dimensions.flags:
            observations = f"{self.dimensions.flags}\n".encode() + self.constant.tobytes()
            digests["observations"] = hashlib.sha256(observations).hexdigest()
        return digests

    def differences(self, other: "RunMeta") -> tuple[str, ...]:
        """Parts that define what is executed and differ between the two."""
        mine, theirs = self.part_digests(), other.part_digests()
        return tuple(name for name in mine if name not in ORIGIN and mine[name] != theirs[name])
