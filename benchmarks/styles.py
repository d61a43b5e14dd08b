"""What finished prompts had learnt: a way of answering, or something of every item beside the others on its scale.

For the trained and the held-out formats of each run the script prints what is left of the untuned distance: after the
whole shift, after the mean shift of every scale alone, and after the rest alone.

    python benchmarks/styles.py runs/usa runs/china
"""

from __future__ import annotations

import argparse
from pathlib import Path

from acculturate.files.record import or_nan
from acculturate.judge.records import Result, RowId
from acculturate.judge.response_style import style_of
from acculturate.runs.finished import RESULT, read_record
from acculturate.search.problem import survey_of
from acculturate.survey.formats import Role, parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.targets import find_target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    print("| run | formats | untuned | left | by scales alone | beside each other alone |")
    print("|---|---|---|---|---|---|")
    for folder in parser.parse_args().runs:
        result = read_record(folder / RESULT, Result)
        instrument = load_instrument(result.instrument.id)
        target = find_target(result.target.code, result.target.target_set)
        scoring = survey_of(questionnaire(instrument, [parse_format("letters/options-first/0/en")]), target).scoring
        by_id = {row.id: row for row in result.rows}
        untuned, tuned = by_id[RowId.UNTUNED], by_id[RowId.TUNED]
        for role in (Role.TRAIN, Role.HELDOUT):
            found, figures = style_of(instrument, scoring, untuned, tuned, role), untuned.on(role)
            if found is not None and figures is not None:
                before = or_nan(figures.loss)
                left = (f"{1 - gain / before:.0%}" for gain in (found.gain, found.shared, found.within))
                print("| " + " | ".join([folder.name, role.words, f"{before:.0f}", *left]) + " |")


if __name__ == "__main__":
    main()
