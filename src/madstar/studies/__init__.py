"""What is concluded from what was tried: validation, comparison, motifs, lineage, scale."""
