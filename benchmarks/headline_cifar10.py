"""The headline: verified reduction of the energy-latency product on CIFAR-10, quad-core Edge TPU, `multicore` backend.

    python benchmarks/headline_cifar10.py --data DIR --backbone resnet8 --study STUDY [--device cuda]

For every bound on accuracy and choice of bits: search on the tables of the shared weights (local search, a budget of
distinct evaluations), train the best candidates in full, tune thresholds on validation, measure once on test. Every
network trained whose bits a question allows is a candidate of it, and the one quoted is the best by *validation*;
`limits` says what keeps it from saving more (headline_limits.py). Everything is kept in STUDY and continued when
started again. With --inherit nothing is trained but the shared weights and the static baselines: the networks are
those that the tables speak of. Results: results/headline_cifar10.json, by backbone.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar10_study import (
    arguments,
    load_images,
    make_tables,
    numbers,
    read_architectures,
    supernet_settings,
    train,
    training_settings,
    write_architectures,
)
from headline_limits import limits
from provenance import RESULTS, provenance, write

from eenn_agents.search import search
from eenn_rl.architecture import Architecture
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.findings import best_networks
from eenn_rl.hardware import load_accelerator
from eenn_rl.judgement import best_static, in_validation_order, judge, static_result
from eenn_rl.networks.inherit import inherited
from eenn_rl.networks.supernet import Supernet, load_supernet
from eenn_rl.networks.verification import MeasuredNetwork, measure_network, static_architecture
from eenn_rl.objective import Objective
from eenn_rl.plugins import make_backend
from eenn_rl.search import AgentSettings
from eenn_rl.serialization import to_json
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables


@dataclass(frozen=True)
class Question:
    """A bound on accuracy, the bits that early-exit networks may use, and how many candidates are trained."""

    tolerance: float
    bits: tuple[int, ...]
    candidates: int

    @property
    def name(self) -> str:
        """As in the results."""
        return f"{100 * self.tolerance:g} points, {'8 bits only' if self.bits == (8,) else 'bits free'}"


def make_evaluator(tables: AccuracyTables, tolerance: float, bits: tuple[int, ...]) -> Evaluator:
    """On the accelerator of arXiv 2512.04705."""
    accelerator = load_accelerator("quad_edge_tpu")
    space = SearchSpace(tables.backbone, accelerator, tables.branches, bits)
    backend = make_backend("multicore", accelerator, tables.backbone)
    return Evaluator(space, backend, Estimator(tables), Objective(accuracy_tolerance=tolerance))


def choose(tables: AccuracyTables, question: Question, budget: int, seed: int) -> list[Architecture]:
    """The best candidates of one question, by the estimator."""
    evaluator = make_evaluator(tables, question.tolerance, question.bits)
    found = search("local", evaluator, AgentSettings(agent="local", budget=budget), seed)
    genomes = best_networks(found.history)[: question.candidates]
    chosen = [evaluator.space.decode(genome) for genome in genomes]
    for architecture in chosen:
        evaluation = evaluator.evaluate(architecture)
        exits = [(e.location, e.branch, e.bits) for e in architecture.exits]
        print(question.name, exits, f"predicted: {evaluation.elp_reduction:.3f}, {evaluation.estimate.accuracy:.4f}")
    return chosen


def candidates(
    options: argparse.Namespace, tables: AccuracyTables, questions: list[Question]
) -> list[list[Architecture]]:
    """Those of each question; chosen once, kept in the study."""
    files = [options.study / f"{options.backbone}_chosen_{number}.json" for number in range(len(questions))]
    for file, question in zip(files, questions, strict=True):
        if not file.exists():
            write_architectures(file, choose(tables, question, options.budget, options.seed))
    return [read_architectures(file) for file in files]


def answer(
    question: Question, tables: AccuracyTables, trained: dict[Architecture, MeasuredNetwork],
    statics: dict[int, MeasuredNetwork], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """What full training says of all networks, whatever question they were trained for, whose bits are allowed."""
    chosen = [item for item in trained if {exit_.bits for exit_ in item.exits} <= set(question.bits)]
    networks = [trained[item] for item in chosen]
    evaluator = make_evaluator(tables, question.tolerance, tables.bits)
    measured = [static_result(evaluator, bits, network, statics[8]) for bits, network in statics.items()]
    judged = [
        judge(evaluator, evaluator.evaluate(architecture), network, statics[8], measured, seed)
        for architecture, network in zip(chosen, networks, strict=True)
    ]
    verified = in_validation_order(judged)
    best = verified[0]
    at = judged.index(best)
    print(
        f"{question.name}: {100 * best.elp_reduction:.1f}% against 8 bits, {100 * best.elp_reduction_best_bits:.1f}% "
        f"against the best static; accuracy {100 * best.measured.accuracy:.2f} "
        f"({100 * best.measured.accuracy_difference:+.2f}, 95% {best.measured.accuracy_difference_interval}); "
        f"{'holds' if best.feasible else 'misses: ' + '; '.join(str(item) for item in best.violations)}",
        flush=True,
    )
    return {
        "question": question.name,
        "best_static_bits": best_static(evaluator, measured).bits,
        "static": [to_json(item) for item in measured],
        "verified": [to_json(item) for item in verified],
        "limits": limits(evaluator, best, chosen[at], networks[at], list(statics.values()), tuple(statics), seed),
    }


def shared_weights(options: argparse.Namespace, tables: AccuracyTables) -> Supernet:
    """Those that the tables were measured with."""
    return load_supernet(
        weights_file(options), tables.backbone, "cifar10", supernet_settings(options), options.seed,
        branches=tables.branches, bits=tables.bits,
    )  # fmt: skip


def weights_file(options: argparse.Namespace) -> Path:
    """Where the shared weights lie."""
    file: Path = options.study / f"{options.backbone}_supernet.pt"
    return file


def inherit(options: argparse.Namespace, supernet: Supernet, wanted: list[Architecture]) -> list[MeasuredNetwork]:
    """Architectures with the shared weights, measured on validation and test."""
    dataset = load_images(options.data).to(options.device)
    supernet.network.to(options.device)
    return [measure_network(inherited(supernet, item, dataset), dataset, weights_file(options)) for item in wanted]


def right_on_validation(network: MeasuredNetwork) -> float:
    """Share of the validation images that the last exit gets right."""
    return float(network.validation.correct[-1].mean())


def kind_of_weights(network: MeasuredNetwork) -> str:
    """Where a network's weights come from."""
    shared = network.weights.name.endswith("_supernet.pt")
    return "shared weights, calibrated to each architecture" if shared else "trained in full"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything for one backbone."""
    file = make_tables(
        options.data, options.backbone, options.study, options.device, supernet_settings(options), options.seed,
        options.branches.split(","), numbers(options.bits), options.changes,
    )  # fmt: skip
    tables = AccuracyTables.load(file)
    if set(tables.bits) != set(numbers(options.bits)):
        raise SystemExit(f"{file}: expected tables of bits {options.bits}, found {tables.bits}: use another --study")
    choices = dict.fromkeys([(8,), tables.bits])
    questions = [Question(tolerance, bits, options.candidates) for tolerance in (0.01, 0.005) for bits in choices]
    chosen = candidates(options, tables, questions)
    if options.only_choose:
        raise SystemExit
    settings = training_settings(options)
    chosen = [group[: options.candidates] for group in chosen]
    wanted = list(dict.fromkeys(architecture for group in chosen for architecture in group))
    trained = [static_architecture(tables.backbone, 8)] if options.inherit else wanted
    supernet = shared_weights(options, tables) if options.inherit or settings.begin == "shared" else None
    widths = numbers(options.static_bits)
    measured = train(
        options.data, trained, options.study, options.device, options.workers, settings, options.seed, widths, supernet
    )
    statics, networks = dict(zip(widths, measured, strict=False)), measured[len(widths) :]
    if options.inherit and supernet is not None:
        others = inherit(options, supernet, [static_architecture(tables.backbone, bits) for bits in widths])
        pairs = zip(statics.values(), others, strict=True)
        statics = dict(zip(widths, (max(pair, key=right_on_validation) for pair in pairs), strict=True))
        networks = inherit(options, supernet, wanted)
    answers = [
        answer(question, tables, dict(zip(wanted, networks, strict=True)), statics, options.seed)
        for question in questions
    ]
    return {
        "backbone": options.backbone,
        "data": "CIFAR-10, JPEG q75, 10,000 test images",
        "accelerator": "quad_edge_tpu, multicore backend",
        "weights": kind_of_weights(networks[0]),
        "static_weights": {bits: kind_of_weights(network) for bits, network in statics.items()},
        "tables": {
            "fingerprint": tables.fingerprint,
            "notes": tables.notes,
            "static_accuracy": {bits: Estimator(tables).static_accuracy(bits) for bits in widths},
        },
        "training": vars(settings),
        "seed": options.seed,
        "answers": answers,
    }


def main() -> None:
    parser = arguments(
        argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    )
    parser.add_argument("--backbone", default="resnet8")
    parser.add_argument("--budget", type=int, default=4000, help="distinct evaluations of each search")
    parser.add_argument("--candidates", type=int, default=1, help="trained in full for each question")
    parser.add_argument("--static-bits", help="of the static baselines, 8 first (default: those of --bits)")
    parser.add_argument("--begin", default="shared", help="full training, of static networks too: shared or plain")
    parser.add_argument(
        "--inherit",
        action="store_true",
        help="measure the candidates with the shared weights, not trained on their own, against the better static "
        "networks of both kinds",
    )
    parser.add_argument("--only-choose", action="store_true", help="stop once the candidates are chosen")
    parser.add_argument("--machine", help="what the trainings ran on, where they were done elsewhere")
    options = parser.parse_args()
    known_bits = sorted(numbers(options.bits), reverse=True)
    options.static_bits = options.static_bits or ",".join(map(str, known_bits))
    if known_bits[0] != 8 or not set(numbers(options.static_bits)) <= set(known_bits):
        parser.error(f"expected --static-bits among --bits, and 8 among those, found {options.static_bits}")
    load_images(options.data)
    found = run(options)
    file = RESULTS / "headline_cifar10.json"
    known = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.exists() else {}
    known[options.backbone + (", not trained on their own" if options.inherit else "")] = {
        **found,
        "command": provenance(())["command"],
        "trained_on": options.machine or options.device,
    }
    write("headline_cifar10", {"runs": known}, [options.seed])


if __name__ == "__main__":
    main()
