"""The page of a run: one self-contained HTML file, made from the evidence alone.

Its modules say what the page says, as plain data and sentences; its templates say where that stands.
"""
