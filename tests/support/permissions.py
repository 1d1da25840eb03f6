"""Programs for whom a file's mode counts, also when root runs the tests."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def python_bound_by_modes(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` as this user, without root's right to pass over permissions."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=_CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_drop_rights if os.geteuid() == 0 else None,
    )


def _drop_rights() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
