"""`inherited(supernet, architecture, dataset)`: an architecture with the shared weights and no training of its own."""

import torch

from eenn_rl.architecture import Architecture
from eenn_rl.networks.builder import Network, heads_of, path_of
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.recalibration import calibration_images, recalibrate_path
from eenn_rl.networks.supernet import Supernet
from eenn_rl.networks.training import TrainedNetwork, take_shared


def copied(supernet: Supernet, architecture: Architecture) -> Network:
    """A network of `architecture` alone, holding the shared weights of its layers as they are."""
    path = path_of(architecture)
    network = Network(architecture.backbone, heads_of(architecture), sorted(set(path)))
    take_shared(network, supernet)
    device = next(supernet.network.parameters()).device
    network.to(device)
    network.channels_last()
    return network.eval()


def inherited(supernet: Supernet, architecture: Architecture, dataset: Dataset) -> TrainedNetwork:
    """`copied`, with batch norms and activation steps fitted to the architecture's path.

    It does on validation images exactly what the tables say of its exits.
    """
    network = copied(supernet, architecture)
    images = calibration_images(dataset, supernet.settings.calibration_images, supernet.seed)
    with torch.no_grad():
        recalibrate_path(network, path_of(architecture), heads_of(architecture), images)
    return TrainedNetwork(architecture, network)
