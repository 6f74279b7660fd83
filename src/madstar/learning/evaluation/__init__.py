"""How well learners answer: measures of each task, rows that keep them, the table of all together."""
