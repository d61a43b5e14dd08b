"""The setting ``parallel``: its words, and who is told about a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from acculturate.errors import SettingError
from acculturate.model.pool.parallel import Parallel, check_parallel
from acculturate.model.pool.protocol import TIMEOUT, worker_timeout
from acculturate.runs.spec import make_spec, to_json
from acculturate.runs.steer import Steer


@pytest.mark.parametrize(
    ("text", "kind", "processes"),
    [
        ("none", "none", 1),
        ("local:1", "local", 1),
        ("local:16", "local", 16),
        ("ray", "ray", None),
        ("ray:2", "ray", 2),
    ],
)
def test_words_are_read(text: str, kind: str, processes: int | None) -> None:
    assert Parallel.parse(text) == Parallel(kind, processes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "2", "local", "local:", "local:0", "local:-1", "local:9999", "ray:0", "Ray", "ray:x"]
)
def test_other_words_are_refused_before_anything_is_loaded(text: str) -> None:
    with pytest.raises(
        SettingError, match=r"^Bad value for 'parallel' in the command line \(given: .*\): expected none"
    ):
        make_spec({"country": "SAU", "parallel": text})
    with pytest.raises(SettingError, match=r"^Bad value for 'parallel' \(given: .*\): expected none"):
        check_parallel(text)
    with pytest.raises(SettingError, match="'parallel'"):
        Steer(Path("nowhere"), {"PDI": 80.0}, free=False, budget=1, parallel=text)


def test_no_record_says_who_computed() -> None:
    one, several = make_spec({"country": "SAU"}), make_spec({"country": "SAU", "parallel": "local:4"})
    assert to_json(one) == to_json(several)


@pytest.mark.parametrize(("text", "seconds"), [(None, 3600.0), ("", 3600.0), ("2.5", 2.5)])
def test_the_timeout_comes_from_the_environment(
    text: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TIMEOUT, raising=False)
    if text is not None:
        monkeypatch.setenv(TIMEOUT, text)
    assert worker_timeout() == seconds


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT, text)
    with pytest.raises(SettingError, match=r"ACCULTURATE_WORKER_TIMEOUT is .*; expected a number of seconds\."):
        worker_timeout()
