"""The commands of `python -m ilr`, a module for each thing they are about; each loads what it needs when it runs."""
