"""PyTorch-Ignite: records while an `Engine` runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from cnnviz.integrations.extras import extra
from cnnviz.integrations.scalars import Newest
from cnnviz.integrations.session import Options, Session

with extra("ignite", "ignite"):
    from ignite.engine import Events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from ignite.engine import Engine
    from torch import nn


class RecorderHandler:
    """Records the run of a trainer: its metrics and those of its evaluators, and snapshots.

    A handler of exceptions would change what the engine does with them, so it sets none. Around the training, as in
    `with handler: trainer.run(...)`, it ends the run as stopped or failed after one; else such a run counts as
    running until the process ends, and as interrupted after that.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        model: nn.Module,
        *,
        module: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Prepare to record `model` at `path`; the run begins when the trainer does.

        Args:
            path: The run's folder; it is made, and must not hold a run yet.
            model: The network that is trained.
            module: The attribute of the model to record; None records it as a whole.
            options: See `cnnviz.integrations.session.Options`.

        Raises:
            TypeError: If there is no such option.
        """
        self._session = Session(path, module, options)
        self._model = model
        self._newest = Newest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._session.end(error)

    def attach(
        self,
        trainer: Engine,
        *,
        output: Callable[[Any], Mapping[str, Any]] | None = None,
        evaluators: Mapping[str, Engine] | None = None,
    ) -> Self:
        """Record `trainer`, at its iterations as steps; attach it after the trainer's metrics.

        Args:
            trainer: The engine that updates the network once an iteration.
            output: Makes metrics by name of what the trainer's function returns.
            evaluators: Names to engines; the metric "accuracy" of "validation" is recorded as "validation/accuracy".

        Returns:
            Itself.
        """
        trainer.add_event_handler(Events.STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._step, output)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._step, None)
        trainer.add_event_handler(Events.COMPLETED, self._end)
        for name, evaluator in (evaluators or {}).items():
            evaluator.add_event_handler(
                Events.COMPLETED, partial(self._evaluated, trainer=trainer, name=name)
            )
        return self

    def _begin(self, trainer: Engine) -> None:
        state = trainer.state
        self._session.begin(self._model, state.iteration, steps_per_epoch=state.epoch_length)

    def _step(self, trainer: Engine, output: Callable[[Any], Mapping[str, Any]] | None) -> None:
        state = trainer.state
        own = output(state.output) if output is not None else {}
        self._session.record(state.iteration, {**self._newest.of(state.metrics), **own})

    def _evaluated(self, evaluator: Engine, *, trainer: Engine, name: str) -> None:
        values = {f"{name}/{metric}": value for metric, value in evaluator.state.metrics.items()}
        self._session.record(trainer.state.iteration, values)

    def _end(self, _: Engine) -> None:
        self._session.end()
