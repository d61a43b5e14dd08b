"""Whether an alignment is real: audits, baselines, random prompts, held-out formats, the verdict."""
