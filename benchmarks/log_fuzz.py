"""Reads thousands of mutated logs and counts what happens: read, refused in one line, or worse.

    python benchmarks/log_fuzz.py [--files 10000]

The mutations are those of tests/trajectory_mutations.py, over a log of real episodes. Each batch runs in a process of
its own with 2 GiB of address space to spare, so that a crash, a hang and an allocation without bound are seen.
"""

# ruff: noqa: E402  (the problem is shared with the tests, in their folder)
import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import h5py

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

import provenance

from logged_problem import make_evaluator, write_log

BATCH = 500
PATIENCE_S = 600


def read(source: Path, first: int, last: int) -> tuple[Counter[str], float]:
    """Outcomes of mutations first..last-1, and the longest seconds; a crash is counted and the rest goes on."""
    outcomes: Counter[str] = Counter()
    longest = 0.0
    while first < last:
        command = [sys.executable, ROOT / "tests" / "trajectory_mutations.py", source, str(first), str(last)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
            out, ending = done.stdout, f"crashed with {done.returncode}"
        except subprocess.TimeoutExpired as late:
            out, ending = (late.stdout or b"").decode(), "hung"
        lines = [line.split() for line in out.splitlines()]
        whole = [line for line in lines if len(line) == 3]
        outcomes.update(outcome for _, outcome, _ in whole)
        longest = max([longest, *(float(seconds) for *_, seconds in whole)])
        first += len(whole)
        if first < last:
            print(f"mutation {first} {ending}", flush=True)
            outcomes[ending] += 1
            first += 1
    return outcomes, longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    files = parser.parse_args().files
    outcomes: Counter[str] = Counter()
    longest = 0.0
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "log.h5"
        write_log(source, make_evaluator(), 60)
        size = source.stat().st_size
        for first in range(0, files, BATCH):
            found, seconds = read(source, first, min(first + BATCH, files))
            outcomes += found
            longest = max(longest, seconds)
            print(first, dict(outcomes), flush=True)
    result = {
        "claim": "a mutated log is read or refused in one line; the interpreter never crashes",
        "files": files,
        "bytes_of_the_original": size,
        "outcomes": dict(outcomes),
        "longest_s": longest,
        "hdf5": h5py.version.hdf5_version,
    }
    print(provenance.write("log_fuzz", result, [0]).read_text())
    sys.exit(0 if set(outcomes) <= {"read", "refused"} else 1)


if __name__ == "__main__":
    main()
