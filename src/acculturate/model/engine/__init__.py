"""Answers to a questionnaire in packed forward passes, and the plain passes they are checked against."""
