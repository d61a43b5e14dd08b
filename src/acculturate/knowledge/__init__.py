"""Questions with a right answer. NumPy only."""
