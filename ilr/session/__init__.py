"""One run of the claims under pytest: options, selection, progress, evidence."""
