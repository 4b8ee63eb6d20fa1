"""What all tests share."""

from hypothesis import settings

# The same examples everywhere, every time: a failure is one that anybody can repeat.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
