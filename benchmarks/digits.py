"""The embedded default, whole, for several seeds: what was promised, what was measured, which constraints hold.

    python benchmarks/digits.py [--seeds 0,1,2] [--runs DIR] [--name digits]

Each seed is one `eenn-rl train --backend multicore` in DIR/<seed>; runs that were begun are continued, finished ones
are read. Results: results/NAME.json. A seed gives one result on one kind of processor; another kind rounds sums
otherwise, and the search goes another way.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from provenance import write


def finished_run(folder: Path, seed: int) -> dict[str, Any]:
    """What `eenn-rl show --json` says of the run of `seed`."""
    words = ["train", "--backend", "multicore", "--seed", str(seed), "--run", str(folder)]
    command = [sys.executable, "-m", "eenn_rl.cli"]
    if not (folder / "verification.json").exists():
        subprocess.run([*command, *words, *(["--resume"] if folder.exists() else [])], check=True)
    shown = subprocess.run([*command, "show", str(folder), "--json"], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def row(seed: int, found: dict[str, Any]) -> dict[str, Any]:
    """The figures of one run; the first verified architecture is the one that validation chose."""
    best = found["verified"][0]
    return {
        "seed": seed,
        "static": found["static"],
        "static_best_bits": found["static_best_bits"],
        "chosen_holds_all_constraints": best["feasible"],
        "elp_reduction": best["elp_reduction"],
        "elp_reduction_best_bits": best["elp_reduction_best_bits"],
        "accuracy_lost": found["static"]["accuracy"] - best["measured"]["accuracy"],
        "verified": found["verified"],
    }


def show(rows: list[dict[str, Any]]) -> None:
    """A table."""
    print("seed  ELP against 8 bits  against best static  accuracy lost  all constraints hold")
    for item in rows:
        print(
            f"{item['seed']:4}  {100 * item['elp_reduction']:17.1f}%  {100 * item['elp_reduction_best_bits']:18.1f}%  "
            f"{100 * item['accuracy_lost']:12.2f}  {item['chosen_holds_all_constraints']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, default=Path("runs/digits"))
    parser.add_argument("--name", default="digits", help="of the result file")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    rows = [row(seed, finished_run(options.runs / str(seed), seed)) for seed in seeds]
    show(rows)
    about = {
        "mean_elp_reduction": mean(item["elp_reduction"] for item in rows),
        "mean_elp_reduction_best_bits": mean(item["elp_reduction_best_bits"] for item in rows),
    }
    write(options.name, {**about, "rows": rows}, seeds)


if __name__ == "__main__":
    main()
