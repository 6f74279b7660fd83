"""What is learned from graphs: datasets, tokens, a graph transformer, a predictor, a generator.

Names are imported from their own rooms; nothing here loads torch until it is used.
"""
