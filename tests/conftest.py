"""What all tests share."""

import os

from hypothesis import settings

# The same examples everywhere, every time: a failure is one that anybody can repeat.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# Tests run in one process per core: threads of their own would only wait for each other. Before torch is imported; what
# the tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
