"""Norms and nets that somebody brought, each as a function of one network: tried before training, computed for R."""
