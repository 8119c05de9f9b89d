"""Distances between distributions of functions: how differently two groups classify the same test points."""

from ilr.stats.function_space.distances import agreement, l1_distance, squared_distance
from ilr.stats.function_space.noise import noise_of
from ilr.stats.function_space.rules import closer_than, further_than

__all__ = ["agreement", "closer_than", "further_than", "l1_distance", "noise_of", "squared_distance"]
