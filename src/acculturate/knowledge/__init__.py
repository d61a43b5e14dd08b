"""Questions beyond the survey: right answers, judgements, opinions, courses of action. Nothing here needs torch."""
