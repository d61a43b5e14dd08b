"""Files of a run and of a user: written whole or not at all, read with the place of every mistake."""
