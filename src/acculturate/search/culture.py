"""Short texts about a country and about the poles of its dimensions, as material to start a search from."""

from __future__ import annotations

from acculturate.survey.targets import Target

# What people at the low and the high end of each dimension would say of themselves; wording of ours.
POLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pdi": (
        (
            "We question our superiors freely.",
            "Leaders here ask before they decide.",
            "Rank gives nobody special rights.",
        ),
        ("We respect authority and rank.", "The boss decides and we follow.", "Children obey their elders."),
    ),
    "idv": (
        (
            "Family and group come before the self.",
            "Loyalty to my people matters most.",
            "We decide together.",
        ),
        ("Everyone looks after themselves.", "I value independence and privacy.", "My own goals come first."),
    ),
    "mas": (
        (
            "Caring for others counts more than winning.",
            "We work in order to live.",
            "Modesty and good relations matter.",
        ),
        ("Success and achievement matter most.", "We live in order to work.", "Winners deserve admiration."),
    ),
    "uai": (
        (
            "Uncertainty is a normal part of life.",
            "Few rules are enough.",
            "What is different makes us curious.",
        ),
        (
            "We need clear rules and order.",
            "What is unknown feels dangerous.",
            "Experts should have precise answers.",
        ),
    ),
    "lto": (
        ("Tradition and honour guide us.", "Quick results matter.", "Serving friends and guests is a duty."),
        (
            "Thrift and perseverance pay off later.",
            "We plan for the distant future.",
            "Circumstances decide what is right.",
        ),
    ),
    "ivr": (
        (
            "Desires must be held back by strict norms.",
            "Duty comes before leisure.",
            "Life is hard and serious.",
        ),
        ("Enjoy life and have fun.", "Leisure and friends matter.", "I feel happy and free."),
    ),
    "secular": (
        ("Faith and family authority matter most.", "Obedience is a virtue in children."),
        ("Religion matters little to me.", "Reason decides, not tradition."),
    ),
    "expression": (
        ("Order and a secure income come first.", "Be careful about trusting people."),
        ("Freedom to speak and take part comes first.", "Most people can be trusted."),
    ),
}
COUNTRY = (
    "I am from {country}.",
    "People in {country} think like this.",
    "My values are those of {country}.",
    "Growing up in {country} shaped me.",
    "As is usual in {country},",
    "The culture of {country}.",
)


def culture_texts(target: Target) -> list[str]:
    """List texts about the country and about *both* poles of the dimensions that the target has.

    Both, because differences between members are what Differential Evolution moves along: a pair of poles makes
    a direction along the dimension.
    """
    texts = [text.replace("{country}", target.country) for text in COUNTRY]
    for dimension in target.present:
        for pole in POLES.get(dimension, ()):
            texts.extend(pole)
    return texts
