"""The call of zigzag-dse: one layer on one core. Nothing else in the package imports it.

Worked around here, all met in zigzag-dse 3.9.1:

- it imports `six`, which its package does not declare: the extra `zigzag` installs it;
- its public API crashes printing the mapping of a layer without temporal loops (a small linear layer), and writes
  files: its stages are called directly;
- which of several dataflows with equal utilisation it picks depends on the hash seed of the process: all of them are
  evaluated, in a fixed order, and the fastest taken, then the one of least energy;
- it takes the temporal mapping of least latency, and of several the one of least energy (its own rule, kept).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_TIES = 6
"""Dataflows of equal, highest utilisation that are evaluated for one layer."""

SETTINGS: Mapping[str, Any] = {
    "loma_lpf_limit": 6,
    "loma_show_progress_bar": False,
    "enable_mix_spatial_mapping_generation": False,
    "access_same_data_considered_as_no_access": True,
}
"""As zigzag-dse's own API sets them by default."""

ROUGH_SETTINGS: Mapping[str, Any] = {**SETTINGS, "loma_lpf_limit": 3}
"""For layers that have no room: fewer orders of loops are tried, as no network that needs the answer is feasible."""


@dataclass(frozen=True)
class ToolAnswer:
    """What ZigZag says: cycles, energy of the MACs in pJ, energy by memory in pJ, accesses by memory and operand.

    Memories are called `m0`, `m1`, ... in the core's order, operands W, I and O; an access is one of the port's whole
    width.
    """

    cycles: float
    compute_cycles: float
    mac_pj: float
    memory_pj: Mapping[str, float]
    accesses: Mapping[str, Mapping[str, float]]
    fits: bool = True
    """Whether the core has room for the layer; where not, this is its cost in larger outermost memories."""


class NoRoomError(Exception):
    """ZigZag finds no order of loops for which the core's memories have room."""


def run_zigzag(
    core: dict[str, Any], layer: dict[str, Any], mapping: dict[str, Any], settings: Mapping[str, Any] = SETTINGS
) -> ToolAnswer:
    """Cost one layer on one core, all as plain data (see `tool_input`).

    Raises:
        NoRoomError: the layer does not fit the core's memories.
    """
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return _run(core, layer, mapping, settings)
    except Exception as error:
        # By name: the class stands in a module of the tool that is imported only while it runs.
        if type(error).__name__ == "NoValidLoopOrderingFoundException":
            raise NoRoomError from error
        raise
    finally:
        logging.disable(previous)


def _run(
    core: dict[str, Any], layer: dict[str, Any], mapping: dict[str, Any], settings: Mapping[str, Any]
) -> ToolAnswer:
    from zigzag.parser.accelerator_factory import AcceleratorFactory
    from zigzag.parser.accelerator_validator import AcceleratorValidator
    from zigzag.parser.mapping_validator import MappingValidator
    from zigzag.parser.workload_factory import LayerNodeFactory
    from zigzag.parser.workload_validator import WorkloadValidator

    accelerator = AcceleratorFactory(AcceleratorValidator(core).data).create()
    nodes = WorkloadValidator([layer]).normalized_data
    mappings = MappingValidator([mapping]).normalized_data

    answers = []
    for spatial in _dataflows(accelerator, LayerNodeFactory(nodes[0], mappings).create()):
        node = LayerNodeFactory(nodes[0], mappings).create()
        node.spatial_mapping = spatial
        answers.append(_evaluate(accelerator, node, settings))
    if not answers:
        raise NoRoomError
    return min(answers, key=lambda answer: (answer.cycles, sum(answer.memory_pj.values())))


def _dataflows(accelerator: Any, node: Any) -> list[Any]:
    """The unrolling that the mapping gives, or those of highest utilisation, in a fixed order."""
    from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
    from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage

    generator = SpatialMappingGeneratorStage(
        [CostModelStage], accelerator=accelerator, layer=node, nb_mappings_generated=1000, **SETTINGS
    )
    found = list(generator.generate_spatial_mappings())
    if len(found) <= 1:
        return found
    best = max(candidate.get_performance_indicator() for candidate in found)
    ties = {str(c): c for c in found if c.get_performance_indicator() >= best * (1 - 1e-12)}
    return [ties[text] for text in sorted(ties)][:MOST_TIES]


def _evaluate(accelerator: Any, node: Any, settings: Mapping[str, Any]) -> ToolAnswer:
    from zigzag.mapping.temporal_mapping import TemporalMappingType
    from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
    from zigzag.stages.mapping.spatial_mapping_conversion import SpatialMappingConversionStage
    from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
    from zigzag.stages.results.reduce_stages import MinimalLatencyStage

    stage = MinimalLatencyStage(
        [SpatialMappingConversionStage, TemporalMappingGeneratorStage, CostModelStage],
        accelerator=accelerator,
        layer=node,
        temporal_mapping_type=TemporalMappingType.UNEVEN,
        **settings,
    )
    ((evaluation, _),) = stage.run()
    return _answer(evaluation)


def _answer(evaluation: Any) -> ToolAnswer:
    memory_pj: dict[str, float] = {}
    accesses: dict[str, dict[str, float]] = {}
    for operand, energies in evaluation.mem_energy_breakdown.items():
        link = evaluation.layer.memory_operand_links.layer_to_mem_op(operand)
        memories = evaluation.accelerator.memory_hierarchy.get_memory_levels(link)
        for memory, energy, count in zip(memories, energies, evaluation.memory_word_access[operand], strict=True):
            memory_pj[memory.name] = memory_pj.get(memory.name, 0.0) + float(energy)
            accesses.setdefault(memory.name, {})[operand.name] = float(sum(count.data.values()))
    return ToolAnswer(
        float(evaluation.latency_total2),
        float(evaluation.ideal_temporal_cycle),
        float(evaluation.mac_energy),
        memory_pj,
        accesses,
    )
