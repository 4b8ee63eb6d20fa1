"""From a finished run to a running early-exit network: exports it, and runs the test images through."""

import argparse
import tempfile
import time
from pathlib import Path

from eenn_rl.deploy import EarlyExitSession
from eenn_rl.errors import EennError
from eenn_rl.export_onnx import export_run
from eenn_rl.networks.data import load_dataset
from eenn_rl.run_folder import open_run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("run", type=Path, help="folder of a run with verified networks")
parser.add_argument("folder", type=Path, nargs="?", help="new folder for the network (default: a temporary one)")
given = parser.parse_args()
try:
    dataset = load_dataset(open_run(given.run)[1]["dataset"])  # only to have some images; a session needs no torch
    folder = given.folder or Path(tempfile.mkdtemp(prefix="deployed-"))
    export_run(given.run, folder)  # the same as: eenn-rl export RUN --to onnx FOLDER
    session = EarlyExitSession(folder)
except EennError as error:
    parser.exit(2, f"classify.py: error: {error}\n")

begun = time.perf_counter()
found = session.run(dataset.test_x.numpy())
seconds = time.perf_counter() - begun

print(f"{folder}: {len(found)} images in {seconds:.2f} s")
print(f"accuracy {(found.labels == dataset.test_y.numpy()).mean():.2%}")
for k, (rate, stage) in enumerate(zip(found.rates(session.exits), session.manifest.stages, strict=True), start=1):
    print(f"exit {k}: {rate:.1%} leave after {stage.branch_kind} at {stage.bits} bits on {stage.branch_core_name}")
