"""Trainings and exports: a queue whose rows are the truth, and workers that run them as processes of their own."""
