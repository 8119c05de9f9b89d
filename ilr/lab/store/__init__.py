"""Recordings on disk: under which key, in which form, written whole, verified when read, trained by one at a time."""

from ilr.lab.store.keys import Key, deciding_files, training_code_sha256
from ilr.lab.store.recording_file import Facts
from ilr.lab.store.store import Lookup, Store
from ilr.lab.store.writing import StoreError

__all__ = ["Facts", "Key", "Lookup", "Store", "StoreError", "deciding_files", "training_code_sha256"]
