"""Rows in the layouts of published benchmarks. All texts are ours: none is from a benchmark."""

from __future__ import annotations

import json
from typing import Any

HARD: list[dict[str, Any]] = [
    {
        "data_idx": k,
        "question_idx": 7,
        "prompt_question": "What is drunk at breakfast in Testland?",
        "prompt_option": option,
        "answer": k == 1,
        "country": "Saudi Arabia",
    }
    for k, option in enumerate(("Soup", "NA", "Ink", "None"))
]
EASY: dict[str, Any] = {
    "data_idx": 3,
    "question_idx": "12",
    "prompt_question": "What is drunk at breakfast in Testland?",
    **{f"prompt_option_{place}": text for place, text in zip("abcd", ("Soup", "Tea", "Ink", "Oil"), strict=True)},
    "answer": "B",
    "country": "Peru",
}
CHOICES = {"A": "tea", "B": "milk", "C": "11:00", "D": "soup"}
ASK = " Without any explanation, choose only one from the given alphabet choices(e.g., A, B, C)."
LISTED = "".join(f"{place}. {text}\n" for place, text in CHOICES.items()) + "\nAnswer:"
BLEND: dict[str, Any] = {
    "MCQID": "Xy-01_4",
    "ID": "Xy-01",
    "country": "South_Korea",
    "prompt": f'What is drunk in South Korea?{ASK} Provide as JSON format: {{"answer_choice":""}}\n\n{LISTED}',
    "choices": json.dumps(CHOICES, indent=4),
    "choice_countries": "{}",
    "answer_idx": "D",
}
SAMPLE: dict[str, Any] = {
    "id": "Xy-01",
    "question": f"What is drunk in South Korea?{ASK} {LISTED}",
    "choices": CHOICES,
    "answer": "D",
}
NORMAD: dict[str, Any] = {
    "ID": "4",
    "Country": "south_sudan",
    "Background": "### Basics",
    "Axis": "Etiquette",
    "Subaxis": "eating",
    "Value": "Thanks",
    "Rule-of-Thumb": "One thanks the cook.",
    "Story": "At Kim's home Lee thanked the cook. Is what Lee did acceptable? ###",
    "Explanation": "",
    "Gold Label": "neutral",
}
INCLUDE: dict[str, Any] = {
    "language": "Greek",
    "country": "Greece",
    "domain": "Culture",
    "subject": "History",
    "regional_feature": "region explicit",
    "level": "Academic",
    "question": "Ποιο νησί είναι το πρώτο;",
    **{f"option_{place}": text for place, text in zip("abcd", ("α", "β", "γ", "δ"), strict=True)},
    "answer": 2,
}
OPINIONS: dict[str, Any] = {
    "question": "How good is tea?",
    "selections": "defaultdict(<class 'list'>, {'France': [0.2, 0.3, 0.3], 'India (Current national sample)': "
    "[0.5, 0.5, 0.0], 'India (Old national sample)': [0.0, 0.5, 0.5], 'Nobody': [0, 0, 0]})",
    "options": "['Very {good}', 2, 'DK/[Refused]']",
    "source": "GAS",
}
