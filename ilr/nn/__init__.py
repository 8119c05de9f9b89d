"""Fused nets: R networks of one architecture as one batch of tensors."""
