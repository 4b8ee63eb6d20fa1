"""Verification: the best architectures and the static networks trained in full, measured once on test, compared."""

from pathlib import Path
from typing import TYPE_CHECKING

from eenn_rl.architecture_file import architecture_from_json
from eenn_rl.broken import nothing_found_in
from eenn_rl.config import RunConfig
from eenn_rl.display import Display
from eenn_rl.errors import InvalidValueError
from eenn_rl.evaluator import Evaluator
from eenn_rl.judgement import best_static, in_validation_order, judge, static_result
from eenn_rl.logged_run import records_of
from eenn_rl.problem import dataset_of, form_text, make_evaluator
from eenn_rl.progress import Progress
from eenn_rl.results import Found, Results
from eenn_rl.run_folder import RunFolder, locked, open_run, write_json
from eenn_rl.serialization import from_json, to_json
from eenn_rl.stored_run import read_found, read_results
from eenn_rl.tables import AccuracyTables
from eenn_rl.unchanged import check_images, check_problem
from eenn_rl.zoo import make_backbone

if TYPE_CHECKING:
    from eenn_rl.networks.data import Dataset
    from eenn_rl.networks.supernet import Supernet


def verify_best(
    folder: RunFolder,
    settings: RunConfig,
    evaluator: Evaluator,
    dataset: "Dataset",
    found: Found,
    top: int,
    progress: Progress,
) -> Results:
    """Train the best `top` distinct networks and the static ones in full, measure them once on test, and compare."""
    from eenn_rl.networks.verification import train_and_measure

    _check_data(evaluator.estimator.tables, dataset, folder)
    check_images(folder, settings.dataset)
    space = evaluator.space
    evaluations = [evaluator.evaluate(space.decode(genome)) for genome in found.arrays()[:top]]
    check_problem(folder, evaluator, found.candidates[:top], evaluations)
    wanted = [evaluation.architecture for evaluation in evaluations]
    bits = sorted(space.usable_bits, reverse=True)
    networks = train_and_measure(
        wanted, dataset, settings.training, settings.seed, progress,
        checkpoint_dir=folder.weights, static_bits=bits, workers=settings.workers,
        rule=evaluator.estimator.tables.confidence_rule, calibrated=settings.calibrated, device=settings.device,
        shared=_shared_weights(folder, settings, dataset),
    )  # fmt: skip
    reference = networks[bits.index(evaluator.static_bits)]
    statics = [static_result(evaluator, width, net, reference) for width, net in zip(bits, networks, strict=False)]
    verified = [
        judge(evaluator, evaluation, network, reference, statics, settings.seed)
        for evaluation, network in zip(evaluations, networks[len(bits) :], strict=False)
    ]
    results = Results(
        static=next(item for item in statics if item.bits == evaluator.static_bits),
        static_best_bits=best_static(evaluator, statics),
        verified=in_validation_order(verified),
        objective=to_json(settings.objective),
        space_size=space.size,
        distinct_evaluations=found.distinct,
        mean=tuple(dataset.mean.tolist()),
        std=tuple(dataset.std.tolist()),
    )
    _log_verifications(folder, evaluator, results)
    write_json(folder.results, to_json(results))
    return results


def _check_data(tables: AccuracyTables, dataset: "Dataset", folder: RunFolder) -> None:
    """Refuse other images than those that the search's accuracies are of, before any network is trained."""
    backbone = tables.backbone
    expected = f"{tables.dataset!r}, {form_text(backbone.input_shape, backbone.num_classes)}"
    found = f"{dataset.name!r}, {form_text(dataset.input_shape, dataset.num_classes)}"
    if expected != found:
        raise InvalidValueError(
            f"{folder.path}: its accuracy tables are of data set {expected}, found {found}, to train on: start a new "
            f"run, with the --dataset of its --tables"
        )


def _shared_weights(folder: RunFolder, settings: RunConfig, dataset: "Dataset") -> "Supernet | None":
    """Those that the run's tables were measured with; none where it was given tables, or is not to begin with them."""
    from eenn_rl.networks.supernet import load_supernet

    if settings.training.begin != "shared" or settings.tables is not None:
        return None
    return load_supernet(
        folder.shared_weights, make_backbone(settings.backbone, dataset.input_shape, dataset.num_classes), dataset.name,
        settings.supernet, settings.seed, branches=settings.branches, bits=settings.bits,
    )  # fmt: skip


def _log_verifications(folder: RunFolder, evaluator: Evaluator, results: Results) -> None:
    from eenn_rl.trajectory import TrajectoryWriter

    with TrajectoryWriter.resume(folder.trajectories) as log:
        for verified, record in zip(results.verified, records_of(results), strict=True):
            architecture = architecture_from_json(verified.architecture, "verification")
            log.add_verification(record, evaluator.space.encode(architecture))
        log.close(finished=True)


def _search_of(folder: RunFolder) -> Found:
    """What the search of a run left; refused where it is not finished."""
    found = read_found(folder)
    if found is None:
        raise InvalidValueError(
            f"{folder.path}: its search is not finished: continue it with eenn-rl train --run {folder.path} --resume"
        )
    return found


def verify_run(path: Path, top: int | None) -> bool:
    """Verify the best `top` architectures of the run in `path`; whether every one holds its constraints on test.

    What was trained before is not trained again; where the search found nothing feasible, nothing is trained.
    """
    folder, stored = open_run(path)
    settings = from_json(RunConfig, stored, str(folder.config))
    found = _search_of(folder)
    with locked(folder), Display(folder.log) as display:
        if not found.candidates:
            display.note(nothing_found_in(folder.trajectories))
            return False
        evaluator = make_evaluator(settings, AccuracyTables.load(folder.tables), folder)
        dataset = dataset_of(settings, path, device=settings.device)
        results = verify_best(folder, settings, evaluator, dataset, found, top or settings.verify or 3, display)
    return all(item.feasible for item in results.verified)


def recost_run(path: Path, backend: str, top: int | None) -> str:
    """The verified architectures of a run as `backend` costs them, and how far the run's own backend was off."""
    from eenn_rl.recost import recost

    folder, stored = open_run(path)
    settings = from_json(RunConfig, stored, str(folder.config))
    results = read_results(folder)
    if results is None:
        raise InvalidValueError(f"{path}: nothing was verified yet: eenn-rl verify {path} first")
    verified = results.verified[:top]
    evaluator = make_evaluator(settings, AccuracyTables.load(folder.tables), folder)
    check_problem(folder, evaluator)
    space = evaluator.space
    architectures = [architecture_from_json(item.architecture, str(folder.results)) for item in verified]
    rates = [item.measured.exit_rates for item in verified]
    return recost(architectures, space.accelerator, space.backbone, (settings.backend, backend), rates).text()
