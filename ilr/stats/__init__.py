"""Predictions, the rules that decide them, and the closed forms they are compared with. No torch here."""
