"""Experiment trackers that follow runs: Weights & Biases, MLflow, TensorBoard and trackio."""
