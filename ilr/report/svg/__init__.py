"""Figures in a page: what is let in (`inline`), in how few bytes (`compact`), in which colours (`theme`)."""
