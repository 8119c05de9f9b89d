"""Distances between distributions of functions: how differently two groups classify the same test points."""

from ilr.stats.function_space.distances import agreement, l1_distance, squared_distance
from ilr.stats.function_space.pairs import noise_of
from ilr.stats.function_space.relative import nearer_than
from ilr.stats.function_space.rules import closer_than, further_than

__all__ = ["agreement", "closer_than", "further_than", "l1_distance", "nearer_than", "noise_of", "squared_distance"]
