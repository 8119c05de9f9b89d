"""Plain data: what to train, how random numbers are keyed, what may be observed, what a training run left behind."""
