"""The steps of optimisers, for R replicas at once: SGD's own, and those of records, tried before training."""
