"""A tuned model to talk to: on the terminal, and over HTTP as the API of OpenAI speaks."""
