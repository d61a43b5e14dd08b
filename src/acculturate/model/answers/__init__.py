"""Ways to read an answer besides option probabilities: generated text and option likelihoods."""
