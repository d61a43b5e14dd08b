"""Rows of a result's table: losses, scores and answer mass by the role of each view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.files.record import Interval, or_nan
from acculturate.judge.bootstrap import mean_interval
from acculturate.judge.records import Figures, Row, RowKind, ViewFigures
from acculturate.survey.formats import Role
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response


def item_means_on(row: Row, role: Role) -> Float[np.ndarray, "views items"]:
    """Return a row's item means (option values) in the views of a role, NaN where one is missing."""
    return np.array([[or_nan(one) for one in view.item_means] for view in row.by_view if view.role is role])


@dataclass(frozen=True, eq=False)
class Judge:
    """Score responses to a questionnaire by the role of each view."""

    questionnaire: Questionnaire
    survey: Loss
    roles: Sequence[Role]

    def row(self, ident: str, label: str, kind: RowKind, response: Response, note: str | None = None) -> Row:
        """Make one row of the table: losses, scores and answer mass per role and per view.

        The interval of a role is None where it has one format or an answer is missing. Flat answers have none.
        """
        scores, means = self.survey.scores(response.logprobs), self.survey.means(response.logprobs)
        losses = self.survey.losses(scores)
        mass = np.array([response.mass[list(view)].mean() for view in self.survey.views])
        places = {role: [v for v, r in enumerate(self.roles) if r == role] for role in Role}
        by_role = {
            role: Figures(**self._figures(losses[v].mean(), scores[v].mean(axis=0), mass[v].mean())) if v else None
            for role, v in places.items()
        }
        intervals: dict[Role, Interval] = {}
        if kind is not RowKind.FLAT:
            intervals = {role: mean_interval(losses[v], least=0.0) for role, v in places.items() if v}
        train = by_role[Role.TRAIN]
        if train is None:
            raise ValueError("a row needs figures on the trained formats")
        return Row(
            id=ident,
            label=label,
            kind=kind,
            interval=intervals,
            train=train,
            validation=by_role[Role.VALIDATION],
            heldout=by_role[Role.HELDOUT],
            by_view=tuple(
                ViewFigures(
                    view=name,
                    role=self.roles[v],
                    **self._figures(losses[v], scores[v], mass[v]),
                    item_means=tuple(means[v].tolist()),
                )
                for v, name in enumerate(self.questionnaire.view_names)
            ),
            note=note,
        )

    def _figures(self, loss: float, scores: Float[np.ndarray, " dims"], mass: float) -> Mapping[str, Any]:
        present = int((~np.isnan(self.survey.target)).sum())
        named = dict(zip(self.questionnaire.instrument.dimension_ids, scores.tolist(), strict=True))
        return {"loss": float(loss), "mae": float(loss) / present, "scores": named, "mass": float(mass)}
