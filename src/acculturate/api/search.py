"""A search in memory, to be iterated and stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack

import numpy as np

from acculturate.api.model import Model
from acculturate.api.settings import lent, run_values
from acculturate.errors import SettingError, setting
from acculturate.keywords import Keywords
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.runs import align as align_run
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import make_spec
from acculturate.search.history import Generation
from acculturate.search.loop import Progress
from acculturate.survey.targets import Target


class PromptSearch:
    """Search for a soft prompt in memory, generation by generation: iterate over it, and leave when you like.

    Nothing is written, audited or judged; ``align`` does that. The same settings give the same generations.

    Parameters
    ----------
    model, country, settings
        As in ``align``.
    """

    def __init__(
        self, model: str | Model = "embedded", country: str | Target | None = None, **settings: Unpack[Keywords]
    ) -> None:
        spec = make_spec(run_values(model, country, settings), "the call of PromptSearch")
        if spec.parallel != "none":
            raise SettingError(
                f"PromptSearch searches in this process alone; leave {setting('parallel')} out, or use align."
            )
        prepared = prepare(spec)
        self.problem = prepared.problem
        self._ready = align_run.Ready(prepared, lent(model) or Respondent(spec.choice))
        self._state = self._ready.loop.optimizer.init(self._ready.start, spec.seed)
        self.progress = Progress.before(self._ready.start, spec.seed)

    def __iter__(self) -> Iterator[Generation]:
        """Evaluate generation after generation until the budget is spent; a second loop goes on where one was left."""
        for state, progress, generation in self._ready.loop.steps(self._state, self.progress):
            self._state, self.progress = state, progress
            yield generation

    @property
    def prompt(self) -> SoftPrompt:
        """The best prompt so far.

        Raises
        ------
        UserError
            Before any candidate gave numbers.
        """
        if not np.isfinite(self.progress.winner_judged):
            raise SettingError("No candidate gave numbers yet, so there is no prompt; go on with the search.")
        return self._ready.prompt(self.progress)
