"""Rows of a result's table: losses, scores and answer mass by the role of each view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.judge.bootstrap import mean_interval
from acculturate.survey.formats import ROLES
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.scoring import Response, Survey


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores responses to the whole questionnaire by the role of each view."""

    asked: Questionnaire
    survey: Survey
    roles: Sequence[str]

    def row(self, ident: str, label: str, kind: str, response: Response, note: str | None = None) -> dict[str, Any]:
        """One row of the table: losses, scores and answer mass per role and per view.

        ``interval``: of the mean loss over formats, in points; None where there is one format or an answer is missing.
        """
        survey = self.survey
        scores, means = survey.scores(response.logprobs), survey.means(response.logprobs)
        losses = survey.losses(scores)
        views = []
        for v, name in enumerate(self.asked.view_names):
            mass = float(response.mass[list(survey.views[v])].mean())
            views.append({"view": name, "role": self.roles[v], **self._figures(losses[v], scores[v], mass),
                          "item_means": means[v].tolist()})  # fmt: skip
        row: dict[str, Any] = {"id": ident, "label": label, "kind": kind, "interval": {}}
        for role in ROLES:
            those = [v for v, r in enumerate(self.roles) if r == role]
            if not those:
                row[role] = None
                continue
            mass = float(np.mean([views[v]["mass"] for v in those]))
            row[role] = self._figures(losses[those].mean(), scores[those].mean(axis=0), mass)
            if kind != "flat":
                row["interval"][role] = mean_interval(losses[those], least=0.0)
        return {**row, "by_view": views, "note": note}

    def _figures(self, loss: float, scores: Float[np.ndarray, " dims"], mass: float) -> dict[str, Any]:
        present = int((~np.isnan(self.survey.target)).sum())
        named = dict(zip(self.asked.instrument.dimension_ids, scores.tolist(), strict=True))
        return {"loss": float(loss), "mae": float(loss) / present, "scores": named, "mass": mass}
