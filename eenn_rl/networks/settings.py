"""How networks are trained or, without training, scored: settings and names. No torch here."""

from dataclasses import dataclass, replace

from eenn_rl.errors import check
from eenn_rl.options import option


@dataclass(frozen=True)
class Effort:
    """How long to train: epochs of the shared weights' two phases and of full training, and images per step."""

    static_epochs: int
    joint_epochs: int
    full_epochs: int
    batch_size: int


EFFORTS = {"digits": Effort(22, 34, 28, 32)}
"""By data set."""
OTHER_EFFORT = Effort(30, 30, 40, 128)
FORMS = {
    "digits": ((1, 16, 16), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "svhn": ((3, 32, 32), 10),
}
"""The data sets that have a name: (channels, height, width) of an image, and the number of classes."""
DATASETS = tuple(FORMS)
PRECISIONS = ("float32", "bfloat16")
BEGINNINGS = ("shared", "plain")
TRAINING_FREE = ("macs", "naswot", "synflow")
"""Names of the scores in `eenn_rl.networks.proxies`."""
PRECISION_HELP = (
    "arithmetic of training steps: float32 or bfloat16 (mixed; faster on many processors; not bit-identical)"
)


@dataclass(frozen=True)
class SupernetSettings:
    """Training of the shared weights: first the plain network at the widest bits, then exits and bit-widths."""

    static_epochs: int = option(0, "epochs of the plain network, before exits and bits; 0: what suits the data set")
    epochs: int = option(0, "epochs with exits and bit-widths drawn at random; 0: what suits the data set")
    batch_size: int = option(0, "images per step; 0: what suits the data set")
    learning_rate: float = option(0.1, "peak of the one-cycle schedule of the plain network")
    fine_batch_size: int = option(0, "images per step with exits and bits; 0: the same")
    fine_learning_rate: float = option(0.1, "peak of the one-cycle schedule with exits and bits")
    weight_decay: float = option(5e-4, "L2 penalty on weights")
    branches_per_step: int = option(0, "branches of each block, drawn at random, that a step trains; 0: all")
    distinct_draws: int = option(
        0, "choose bits and branches of a step from so many random draws (a GPU replays those it knows); 0: draw anew"
    )
    early_exits_weight: float = option(
        1.5,
        "weight of all early exits together in the gradient of the blocks before; of one block at most a third of it",
    )
    distillation: float = option(0.5, "share of an exit's loss that imitates the last exit")
    precision: str = option("float32", PRECISION_HELP)
    calibration_images: int = option(512, "training images that set the batch norm of each path before it is measured")

    def __post_init__(self) -> None:
        _check_common(self)
        check(self.static_epochs >= 0, "static_epochs", self.static_epochs, "at least 0")
        _check_batch_size("fine_batch_size", self.fine_batch_size)
        check(self.branches_per_step >= 0, "branches_per_step", self.branches_per_step, "at least 0")
        check(self.distinct_draws >= 0, "distinct_draws", self.distinct_draws, "at least 0")
        check(self.early_exits_weight >= 0, "early_exits_weight", self.early_exits_weight, "at least 0")
        check(self.calibration_images >= 2, "calibration_images", self.calibration_images, "at least 2")

    def exit_weight_of_a_block(self, blocks: int) -> float:
        """What the exits of one of `blocks` weigh: all over the number of early blocks, but never more than a third."""
        return self.early_exits_weight / max(3, blocks - 1)


@dataclass(frozen=True)
class TrainingSettings:
    """Full training of one architecture, quantisation-aware; the static baselines get the same."""

    epochs: int = option(0, "epochs; 0: what suits the data set")
    batch_size: int = option(0, "images per step; 0: what suits the data set")
    learning_rate: float = option(0.1, "peak of the one-cycle schedule")
    weight_decay: float = option(5e-4, "L2 penalty on weights")
    begin: str = option("shared", "weights to begin with: shared (the run's, where it has trained some) or plain")
    plain_share: float = option(
        0.4, "share of the epochs of the plain network at 8 bits, before exits and bits; left out when beginning shared"
    )
    exit_weight: float = option(0.5, "weight of each early exit in the gradient of the blocks before")
    distillation: float = option(0.5, "share of an early exit's loss that imitates the last exit")
    precision: str = option("float32", PRECISION_HELP)
    patience: int = option(0, "stop after so many checks on validation without gain, and keep the best; 0: never")

    def __post_init__(self) -> None:
        _check_common(self)
        check(self.begin in BEGINNINGS, "begin", self.begin, f"one of {', '.join(BEGINNINGS)}")
        check(self.exit_weight >= 0, "exit_weight", self.exit_weight, "at least 0")
        check(0 <= self.plain_share < 1, "plain_share", self.plain_share, "at least 0 and below 1")
        check(self.patience >= 0, "patience", self.patience, "at least 0")


def _check_common(settings: SupernetSettings | TrainingSettings) -> None:
    check(settings.epochs >= 0, "epochs", settings.epochs, "at least 0")
    _check_batch_size("batch_size", settings.batch_size)
    check(settings.learning_rate > 0, "learning_rate", settings.learning_rate, "above 0")
    check(settings.weight_decay >= 0, "weight_decay", settings.weight_decay, "at least 0")
    check(0 <= settings.distillation <= 1, "distillation", settings.distillation, "between 0 and 1")
    check(settings.precision in PRECISIONS, "precision", settings.precision, f"one of {', '.join(PRECISIONS)}")


def _check_batch_size(name: str, size: int) -> None:
    check(size == 0 or size >= 2, name, size, "0, or at least 2 (batch norm)")


def supernet_settings_for(dataset: str, settings: SupernetSettings) -> SupernetSettings:
    """`settings` with what suits `dataset` where they are 0."""
    effort = EFFORTS.get(dataset, OTHER_EFFORT)
    return replace(
        settings,
        static_epochs=settings.static_epochs or effort.static_epochs,
        epochs=settings.epochs or effort.joint_epochs,
        batch_size=settings.batch_size or effort.batch_size,
    )


def training_settings_for(dataset: str, settings: TrainingSettings) -> TrainingSettings:
    """`settings` with what suits `dataset` where they are 0."""
    effort = EFFORTS.get(dataset, OTHER_EFFORT)
    return replace(
        settings,
        epochs=settings.epochs or effort.full_epochs,
        batch_size=settings.batch_size or effort.batch_size,
    )
