"""Countries by any name: what means the same, and what is never taken for it."""

from __future__ import annotations

import pytest

from acculturate.survey.countries import same_country


@pytest.mark.parametrize(
    "names",
    [
        ("SAU", "Saudi Arabia", "Saudi_Arabia", "saudi arabia", "KSA", "SA", "682"),
        ("CHN", "China", "Mainland China", "PRC"),
        ("USA", "US", "United States", "united_states_of_america", "U.S."),
        ("GBR", "UK", "United Kingdom", "Great Britain", "Britain"),
        ("KOR", "South_Korea", "S. Korea", "South Korea"),
        ("TUR", "Turkey", "türkiye"),
        ("ZAF", "S. Africa", "South Africa"),
        ("PSE", "Palest. ter.", "palestinian_territories"),
        ("TLS", "timor-leste"),
        ("TWN", "Taiwan ROC", "Taiwan"),
        ("Northern_Nigeria", "Northern Nigeria"),
    ],
)
def test_names_of_one_country_meet(names: tuple[str, ...]) -> None:
    for one in names:
        for other in names:
            assert same_country(one, other), (one, other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("Nigeria", "Northern_Nigeria"),
        ("North_Korea", "South_Korea"),
        ("Indonesia", "West_Java"),
        ("Congo", "COD"),  # two countries have this name
        ("India (Non-national sample)", "IND"),
        ("China", "Taiwan"),
        ("Sudan", "south_sudan"),
        ("Nowhere", "Elsewhere"),
    ],
)
def test_other_names_do_not_meet(one: str, other: str) -> None:
    assert not same_country(one, other)
    assert not same_country(other, one)
    assert same_country(one, one)
