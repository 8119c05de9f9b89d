"""Other choices than a claim's own: of norm, net, data, momentum; what each is, and the experiments under it."""
