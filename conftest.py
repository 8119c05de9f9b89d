"""Loads ilr's pytest plugin, also from a checkout that is not installed."""

pytest_plugins = ["ilr.plugin"]
