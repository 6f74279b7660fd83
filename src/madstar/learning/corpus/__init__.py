"""Entries: the graphs that datasets are made of, with where they came from, families and labels."""
