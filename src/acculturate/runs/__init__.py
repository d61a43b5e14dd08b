"""One run from settings to a directory: align, multitask, pareto, steer, oracle, score."""
