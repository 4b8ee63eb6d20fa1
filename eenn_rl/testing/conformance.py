"""`BackendConformance`: the promises as one test class, in the manner of dm_env's test_utils."""

from typing import ClassVar

from eenn_rl.backbone import Backbone
from eenn_rl.guard import EVALUATION_LIMIT_S
from eenn_rl.hardware import DEFAULT_ACCELERATOR, AcceleratorSpec, load_accelerator
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.plugins import default_accelerator, make_backend
from eenn_rl.testing import batches, promises, side_effects, units
from eenn_rl.testing.plausible import Plausible
from eenn_rl.testing.speed import measure_speed
from eenn_rl.testing.subject import BrokenPromise, Subject
from eenn_rl.testing.workloads import sample_workloads
from eenn_rl.zoo import make_backbone


class BackendConformance:
    """Subclass it as a ``Test...`` class and set `backend_name`; pytest collects one test per promise.

    `accelerator` and `backbone` replace the plugin's default accelerator and resnet8. `architectures` is how many
    random ones are tried. `slowest_s`: the longest that one evaluation may take (median); the default is a search's own
    patience with a backend. `plausible`: between what its costs lie, for a chip beyond the usual.
    """

    backend_name: ClassVar[str] = ""
    accelerator: ClassVar[AcceleratorSpec | None] = None
    backbone: ClassVar[Backbone | None] = None
    architectures: ClassVar[int] = 8
    slowest_s: ClassVar[float] = EVALUATION_LIMIT_S
    plausible: ClassVar[Plausible] = Plausible()

    def make_backend(self, accelerator: AcceleratorSpec, backbone: Backbone) -> HardwareBackend:
        """The backend under test; override it to test one that is not installed."""
        return make_backend(self.backend_name, accelerator, backbone)

    def subject(self) -> Subject:
        """What the promises are checked on."""
        name = self.backend_name
        spec = self.accelerator or (default_accelerator(name) if name else load_accelerator(DEFAULT_ACCELERATOR))
        network = self.backbone or make_backbone("resnet8", (1, 16, 16), 10)
        workloads = sample_workloads(spec, network, self.architectures)
        return Subject(lambda: self.make_backend(spec, network), spec, network, workloads, self.plausible)

    def test_protocol(self) -> None:
        """It has `evaluate`, and an api_version that this eenn-rl serves."""
        promises.check_protocol(self.subject())

    def test_deterministic(self) -> None:
        """A workload costs the same again, in a fresh backend, and whatever was evaluated before it."""
        promises.check_deterministic(self.subject())

    def test_free_of_side_effects(self) -> None:
        """Evaluating changes neither its arguments nor the process, and writes nothing to stdout."""
        side_effects.check_free_of_side_effects(self.subject())

    def test_units_and_ranges(self) -> None:
        """One cost per stage, finite, positive, and plausible for joules and seconds; no NaN anywhere in a report."""
        units.check_units_and_ranges(self.subject())

    def test_exits_never_get_cheaper(self) -> None:
        """Along the path, a later exit costs at least as much energy and latency as an earlier one."""
        promises.check_exits_never_get_cheaper(self.subject())

    def test_violations_instead_of_exceptions(self) -> None:
        """What does not fit comes back as violations, each a demand above its bound, not as an exception."""
        promises.check_violations_instead_of_exceptions(self.subject())

    def test_batch_equals_single(self) -> None:
        """`evaluate_batch`, where there is one, equals `evaluate` to the last bit, batch after batch; padding is 0."""
        batches.check_batch_equals_single(self.subject())

    def test_pickles_to_worker_processes(self) -> None:
        """A backend sent to another process, started afresh, costs a workload as it does here."""
        promises.check_pickles_to_worker_processes(self.subject())

    def test_speed(self) -> None:
        """One evaluation takes at most `slowest_s`; the report is printed (``pytest -rP`` shows it)."""
        subject = self.subject()
        report = measure_speed(subject.make, subject.workloads)
        print(f"speed of {self.backend_name or type(self).__name__}: {report}")  # noqa: T201  the report
        if report.evaluate_s > self.slowest_s:
            raise BrokenPromise(f"promise broken: speed: at most {self.slowest_s} s an evaluation, found {report}")
