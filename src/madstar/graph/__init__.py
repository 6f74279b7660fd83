"""Computation graphs as values: types, tracing, folding, checking, statistics, showing, comparing."""
