"""The graph transformer: attention over typed edges, with heads for every task."""
