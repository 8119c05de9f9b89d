"""Loads ilr's pytest plugin; a folder of claims elsewhere has the same line in a conftest.py of its own."""

pytest_plugins = ["ilr.plugin"]
