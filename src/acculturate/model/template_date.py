"""Templates that print today's date, made to print the same date every day."""

from __future__ import annotations

import calendar
import datetime
import json

TEMPLATE_DATE = datetime.date(2025, 1, 1)
"""What templates that print today's date are given: with the real one, scores would depend on the day."""


def dated(template: str, date: datetime.date) -> str:
    """Stop a template's clock: a macro in place of the function that asks for today.

    The library gives a template plain data only, so the macro puts in what each code of a date comes to.
    """
    if "strftime_now" not in template:
        return template
    codes = [f"%{how}{code}" for how in ("-", "") for code in "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyYzZ"]
    values = {code: date.strftime(code) for code in codes} | {"%s": str(calendar.timegm(date.timetuple())), "%%": "%"}
    filled = "".join(f".replace('{code}', {json.dumps(value)})" for code, value in values.items())
    return f"{{% macro strftime_now(format) %}}{{{{ format{filled} }}}}{{% endmacro %}}{{{{ '' }}}}{template}"
