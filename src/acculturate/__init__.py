"""Acculturate: align a language model with a culture's survey values by searching for a soft prompt."""

__version__ = "0.1.0"
