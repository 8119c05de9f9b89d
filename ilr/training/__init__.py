"""The training loop: steps, what is measured on the way, what is kept."""
