"""Who is asked: a language model, its chat template with a slot, and the soft prompt in it."""
