"""Output that no terminal is too narrow for."""

import io
import sys


def replace_unprintable() -> None:
    """Makes standard output write "?" for what its encoding lacks, such as λ in ASCII, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
