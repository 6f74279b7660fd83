"""What a graph transformer is held against: learners of every task, behind one interface (`learner.py`).

Lookups, forests, n-grams, heuristics, and networks (`networks/`) with a transformer's features and budget.
`catalogue.learners(task)` lists them. Forests need scikit-learn, the extra "learn"; it is imported when used.
"""
