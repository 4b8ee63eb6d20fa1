"""The conformance kit: what a backend promises, checked in the plugin author's own tests.

Three lines in a test module, run by pytest::

    from eenn_rl.testing import BackendConformance

    class TestMyChip(BackendConformance):
        backend_name = "mychip"

Every check is also a function of a `Subject` for use elsewhere; `check_all` runs them all. A broken promise is a
`BrokenPromise` whose message says which promise, on which workload, and how.
"""

from eenn_rl.testing.conformance import BackendConformance
from eenn_rl.testing.plausible import Plausible
from eenn_rl.testing.promises import PROMISES, check_all
from eenn_rl.testing.speed import SpeedReport, measure_speed
from eenn_rl.testing.subject import BrokenPromise, Subject, subject_for
from eenn_rl.testing.workloads import describe, oversized_workload, sample_workloads

__all__ = [
    "PROMISES",
    "BackendConformance",
    "BrokenPromise",
    "Plausible",
    "SpeedReport",
    "Subject",
    "check_all",
    "describe",
    "measure_speed",
    "oversized_workload",
    "sample_workloads",
    "subject_for",
]
