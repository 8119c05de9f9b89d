"""The version of ilr, in one place."""

__version__ = "0.1.0"
