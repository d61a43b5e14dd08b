"""What is asked, and what answers are worth in points: instruments, formats, scores, targets. NumPy only."""
