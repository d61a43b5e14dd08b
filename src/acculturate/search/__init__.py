"""How a soft prompt is looked for: starts, spaces, objectives, optimizers and the loop."""
