"""Exported networks against the torch networks they came from, on the whole test split of finished runs.

    python benchmarks/deployment_agreement.py RUN ...

For every verified network of each run: the share of the test inputs that leave at the same exit, and with the same
class; accuracy and exit rates beside those that `verify` reported; whether `eenn-rl cost FOLDER` gives, exit by exit,
exactly what the run's backend says of the architecture; and how long the session and torch take for the split.
"""

# ruff: noqa: E402  (the torch side is shared with the tests, in their folder)
import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from provenance import write

from eenn_rl.cost_report import run_cost
from eenn_rl.deploy import EarlyExitSession
from eenn_rl.export_onnx import export_run
from eenn_rl.networks.data import load_dataset
from eenn_rl.stored_run import StoredRun, open_stored_run
from torch_reference import exits_and_labels


def compared(run: StoredRun, number: int, folder: Path) -> dict[str, Any]:
    """One network: exported to `folder`, run, and compared."""
    verified, dataset = run.verified(number), load_dataset(run.config.dataset)
    export_run(run.path, folder, number)
    session = EarlyExitSession(folder)
    begun = time.process_time()
    found = session.run(dataset.test_x.numpy())
    session_s = time.process_time() - begun
    begun = time.process_time()
    exits, labels = exits_and_labels(run, verified, dataset)
    torch_s = time.process_time() - begun
    wanted = [(cost.energy_j, cost.latency_s) for cost in run.cost(run.architecture(verified)).exits]
    costs = [(item["energy_j"], item["latency_s"]) for item in json.loads(run_cost(folder, as_json=True))["exits"]]
    return {
        "backbone": run.config.backbone,
        "training_epochs": run.config.training.epochs or "default",
        "bits": [stage.bits for stage in session.manifest.stages],
        "branches": [stage.branch_kind for stage in session.manifest.stages],
        "test_inputs": len(found),
        "same_exit": float((found.exits == exits).mean()),
        "same_class": float((found.labels == labels).mean()),
        "accuracy": float((found.labels == dataset.test_y.numpy()).mean()),
        "accuracy_verified": verified.measured.accuracy,
        "rates": found.rates(session.exits),
        "rates_verified": verified.measured.exit_rates,
        "costs_equal": costs == wanted,
        "folder_bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "session_cpu_s": round(session_s, 2),
        "torch_cpu_s": round(torch_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="finished run folders")
    networks, seeds = [], set()
    with tempfile.TemporaryDirectory() as name:
        for k, path in enumerate(parser.parse_args().runs):
            run = open_stored_run(path)
            seeds.add(run.config.seed)
            for number in range(1, len(run.results.verified if run.results else ()) + 1):
                networks.append(compared(run, number, Path(name) / f"{k}-{number}"))
                print(json.dumps(networks[-1]), flush=True)
    claim = "exported networks leave at the same exit with the same class for at least 99.9% of the test inputs"
    met = sum(min(network["same_exit"], network["same_class"]) >= 0.999 for network in networks)
    result = {"claim": claim, "networks_that_meet_it": met, "networks": networks}
    write("deployment_agreement", result, sorted(seeds), "onnx", "onnxruntime")


if __name__ == "__main__":
    main()
