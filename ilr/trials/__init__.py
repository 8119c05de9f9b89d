"""Claims: how they are written down, and how a claim file is judged."""
