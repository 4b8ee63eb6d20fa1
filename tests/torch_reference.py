"""What a run's trained torch network says of the test split: the exit where each input leaves, and its class."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eenn_rl.export_onnx import load_network
from eenn_rl.networks.confidence import confidence
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.training import TrainedNetwork
from eenn_rl.results import Verified
from eenn_rl.stored_run import StoredRun


def exits_and_labels(run: StoredRun, verified: Verified, dataset: Dataset) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Exits int64 [N] and labels int64 [N] of the N test images, with the thresholds that `verify` found."""
    architecture = run.architecture(verified)
    network = TrainedNetwork(architecture, load_network(architecture, run.weights(verified)))
    logits = network.logits(dataset, dataset.test_x)
    sure = np.stack(
        [
            confidence(torch.from_numpy(rows), run.confidence_rule, temperature).numpy()
            for rows, temperature in zip(logits, verified.temperatures, strict=True)
        ]
    )
    exits = (sure.astype(np.float64) >= np.array(verified.thresholds)[:, np.newaxis]).argmax(0)
    return exits, np.take_along_axis(logits.argmax(2), exits[np.newaxis], 0)[0]
