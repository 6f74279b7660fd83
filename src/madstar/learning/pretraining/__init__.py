"""Self-supervised training of the graph transformer on all tasks together."""
