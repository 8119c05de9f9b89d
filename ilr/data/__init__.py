"""Data sets: their shapes, their files, and the examples that a step sees."""
