"""Before a run: what it would cost, and whether it would get through."""
