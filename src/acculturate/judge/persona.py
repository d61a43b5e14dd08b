"""Personas: system messages that ask a model to answer as someone from a country."""

from __future__ import annotations

from acculturate.model.respondent import Context

# Ten ways to name a respondent, as in Tao et al. 2024 (doi:10.1093/pnasnexus/pgae346), in words of our own.
DESCRIPTORS = (
    "an average person",
    "a typical person",
    "an ordinary person",
    "an average citizen",
    "a typical citizen",
    "an ordinary citizen",
    "an average adult",
    "a typical adult",
    "an ordinary adult",
    "someone who grew up and lives",
)


def persona(country: str, descriptor: str = DESCRIPTORS[0]) -> Context:
    """Build the context with the system message of one persona.

    Parameters
    ----------
    country
        English name of the country.
    descriptor
        How the person is described; one of ``DESCRIPTORS``.
    """
    place = "in" if descriptor.endswith("lives") else "from"
    return Context(system=f"Act like {descriptor} {place} {country}, and answer survey questions as that person would.")
