"""Pages of finished runs."""
