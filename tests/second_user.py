"""A second user of this machine, as whom root can run commands."""

import os
import shutil
import subprocess
import sys

NOBODY = 65534
"""The user who owns nothing."""

SECOND_USER = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    # He may read Python wherever it is installed, though in root's home; write he may not.
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)
"""Before a command: who runs it."""


def no_second_user() -> str:
    """Why nobody can become another user here; empty where that can be."""
    if sys.platform != "linux" or os.geteuid() or shutil.which("setpriv") is None:
        return "no second user: that takes root, and setpriv, which only Linux has"
    if subprocess.run([*SECOND_USER, "true"], capture_output=True).returncode:
        return "no second user: this container does not let root become one"
    return ""
