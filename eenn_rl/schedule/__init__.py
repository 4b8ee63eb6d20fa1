"""Stages on cores in time, given the cost of a layer on a core.

A hardware backend that models single layers brings a `LayerModel` and gets a whole network's costs from `Scheduler`.
"""

from eenn_rl.schedule.layer_model import CoreLayerCost, LayerModel, LayerRequest, PreparedLayerModel
from eenn_rl.schedule.scheduler import Scheduler
from eenn_rl.schedule.selection import dataflow_for, macs_per_second, precision_for

__all__ = [
    "CoreLayerCost",
    "LayerModel",
    "LayerRequest",
    "PreparedLayerModel",
    "Scheduler",
    "dataflow_for",
    "macs_per_second",
    "precision_for",
]
