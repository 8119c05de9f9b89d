"""Experiments in, recordings out: what is kept, what is missing, who trains it."""
