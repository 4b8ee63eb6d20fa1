"""From a finished run to a running early-exit network: python classify.py RUN [FOLDER]."""

import sys
import time
from pathlib import Path

from eenn_rl.deploy import EarlyExitSession
from eenn_rl.export_onnx import export_run
from eenn_rl.networks.data import load_dataset

run, folder = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "deployed")
if not folder.exists():
    export_run(run, folder)  # the same as: eenn-rl export RUN --to onnx FOLDER
session = EarlyExitSession(folder)

dataset = load_dataset(session.manifest.dataset)  # only to have some images; the session itself needs no torch
begun = time.perf_counter()
found = session.run(dataset.test_x.numpy())
seconds = time.perf_counter() - begun

print(f"{len(found)} images in {seconds:.2f} s, accuracy {(found.labels == dataset.test_y.numpy()).mean():.2%}")
for k, (rate, stage) in enumerate(zip(found.rates(session.exits), session.manifest.stages, strict=True), start=1):
    print(f"exit {k}: {rate:.1%} leave after {stage.branch_kind} at {stage.bits} bits on {stage.branch_core_name}")
