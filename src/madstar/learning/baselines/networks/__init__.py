"""Networks with the graph transformer's features, heads, tasks and training, and another encoder."""
