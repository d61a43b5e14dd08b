"""Print the keywords of a run for type checkers: ``python tools/keywords.py > src/acculturate/keywords.py``."""

from __future__ import annotations

import sys
from typing import Literal, get_args, get_origin

from acculturate.runs.spec import RunSpec, kind_and_limits

HEAD = '''"""The settings of a run as keywords, for editors and type checkers; tools/keywords.py writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class Keywords(TypedDict, total=False):
    """Name every setting of a run but its model and country."""

'''
OWN = ("model", "country")


def _annotation(name: str) -> str:
    kind, _ = kind_and_limits(name)
    if get_origin(kind) is Literal:
        plain = f"Literal[{', '.join(chr(34) + one + chr(34) for one in get_args(kind))}]"
    elif get_origin(kind) is tuple:
        plain = "Sequence[str]"
    elif get_origin(kind) is dict:
        plain = "Mapping[str, str | int | float | bool]"
    else:
        plain = kind.__name__
    return f"{plain} | None" if RunSpec.model_fields[name].default is None else plain


def page() -> str:
    """Return the whole module."""
    lines = []
    for name, field in RunSpec.model_fields.items():
        if name not in OWN:
            lines += [f"    {name}: {_annotation(name)}", f'    """{field.description}"""']
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
