"""Several processes that hold the same model and share the candidates of an interview."""
