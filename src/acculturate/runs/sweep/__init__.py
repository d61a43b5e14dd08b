"""Sweeps: many runs from one file, gone through in one process, in several, or as jobs of a cluster."""
