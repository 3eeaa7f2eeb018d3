"""Families of tasks with learners that are real, and what makes a report of their runs."""
