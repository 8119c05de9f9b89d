"""What takes too long for CI: `tox -e soak`."""
