"""Training and measuring on another device than the processor."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration


def test_nothing_mixes_devices() -> None:
    """On a pretended device shared weights, tables and full trainings come out as on the processor, resumed ones, too.

    In a process of its own: torch knows one such device, and for good. What needs a real GPU (captured steps, fused
    optimisers) is not in it.
    """
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("needs torch 2.9, where devices can be written in Python")
    script = Path(__file__).with_name("pretended_device.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["9 of 9 the same", "mixed devices are refused"]
