"""A worker: a model of its own that answers orders of another process. It audits nothing and writes nothing."""

from __future__ import annotations

import gc
import traceback
import warnings

from acculturate.errors import ModelError, UserError, first_line
from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.loading import release
from acculturate.model.pool.protocol import Order, Recipe, Reply
from acculturate.model.respondent import Respondent


class Worker:
    """Answer orders with a model that is loaded when the first one comes, and again for another precision."""

    def __init__(self) -> None:
        self._respondent: Respondent | None = None
        self._recipes: dict[str, Recipe] = {}
        self._interviews: dict[str, ways.Interviews] = {}

    def answer(self, order: Order) -> Reply:
        """Answer one order.

        Raises
        ------
        UserError
            Where the model cannot be loaded or asked, or is not the one that the order means.
        RuntimeError
            For a mistake of this program, with its traceback in the message.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the process that asks says the same
                return self._answer(order)
        except UserError:
            raise
        except Exception as error:
            raise RuntimeError(f"In a worker process: {traceback.format_exc()}") from error

    def reply(self, order: Order) -> Reply | Exception:
        """Answer one order, or return what went wrong, in a shape that can be sent."""
        try:
            return self.answer(order)
        except Exception as error:
            error.__cause__ = error.__context__ = None  # they hold what no other process can read
            return error

    def _answer(self, order: Order) -> Reply:
        if order.recipe is not None:
            self._recipes[order.key] = order.recipe
        put = self._interview(order.key)
        return Reply(put(order.prompts), put.rows)

    def _interview(self, key: str) -> ways.Interviews:
        recipe = self._recipes[key]
        respondent = self._held(recipe)
        if key not in self._interviews:
            name = key.split(maxsplit=1)[0]
            # The same interview in a way that has been given up, with more candidates per pass or packed.
            self._interviews = {k: put for k, put in self._interviews.items() if k.split()[0] != name}
            respondent.packs, respondent.batch = recipe.packs, recipe.batch
            respondent.packed_sizes.update(recipe.packed_sizes)
            self._interviews[key] = ways.interview(
                recipe.answers,
                respondent,
                recipe.questionnaire,
                slot=recipe.slot,
                n_tokens=recipe.n_tokens,
                rows=recipe.rows,
            )
        return self._interviews[key]

    def _held(self, recipe: Recipe) -> Respondent:
        """Return the model of a recipe; the one before makes room for it."""
        if self._respondent is None or self._respondent.choice != recipe.choice:
            if self._respondent is not None:
                self._interviews.clear()
                release(self._respondent.model)
                self._respondent = None
                gc.collect()
            self._respondent = _loaded(recipe.choice)
        if self._respondent.weights_sum != recipe.weights:
            raise ModelError(
                f"Model '{recipe.choice.name}' has other weights in a worker process than in the run; give the path "
                "of one and the same model on all machines, and let nobody change its files meanwhile."
            )
        return self._respondent


def _loaded(choice: ModelChoice) -> Respondent:
    try:
        return Respondent(choice)
    except MemoryError as error:
        raise ModelError(
            f"There is no room for one more copy of model '{choice.name}': {first_line(error)}."
        ) from error
