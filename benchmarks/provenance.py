"""What every result file of the benchmarks says of its own making, and where it is written."""

import json
import os
import platform
import resource
import shlex
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

PACKAGES = ("eenn-rl", "numpy", "torch", "gymnasium", "stable-baselines3", "h5py")
"""Distributions whose versions every result names, where they are installed."""


def provenance(seeds: Iterable[int], *packages: str) -> dict[str, Any]:
    """Command line, versions, seeds, machine and CPU time: how to repeat this process's result.

    `packages` are distributions to name beside PACKAGES. `cpu_s` are the CPU seconds of this process and its finished
    children, `load` the average load of the last minute: on a busy machine wall time says less than CPU time.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "command": "python benchmarks/" + shlex.join(Path(part).name for part in sys.argv),
        "versions": {"python": platform.python_version()}
        | {name: version for name in (*PACKAGES, *packages) if (version := _version(name))},
        "seeds": list(seeds),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "load": round(os.getloadavg()[0], 1),
        },
        "cpu_s": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
    }


def write(name: str, data: dict[str, Any], seeds: Iterable[int], *packages: str) -> Path:
    """Write results/`name`.json: `provenance` first, then `data`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**provenance(seeds, *packages), **data}, indent=1) + "\n", encoding="utf-8")
    return path


def _version(name: str) -> str | None:
    """The installed version without its local part, or None."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name as Linux tells it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
