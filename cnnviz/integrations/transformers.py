"""Hugging Face transformers: records while a `Trainer` trains."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any, Self, Unpack

from cnnviz.integrations.extras import extra
from cnnviz.integrations.session import Options, Session

with extra("transformers", "transformers"):
    from transformers import TrainerCallback

if TYPE_CHECKING:
    from os import PathLike

    from transformers import TrainerControl, TrainerState, TrainingArguments


class RecorderCallback(TrainerCallback):
    """Records a `Trainer.train`: all numbers that the trainer logs, under its names, and snapshots.

    The trainer doesn't tell its callbacks of an exception. Around the training, as in
    `with RecorderCallback(...) as callback`, it ends the run as stopped or failed then; else such a run counts as
    running until the process ends, and as interrupted after that.
    """

    def __init__(
        self, path: str | PathLike[str], *, module: str | None = None, **options: Unpack[Options]
    ) -> None:
        """Prepare to record at `path`; the run begins when the training does.

        Args:
            path: The run's folder; it is made, and must not hold a run yet.
            module: The attribute of the trainer's model to record, as "vit"; None records it as a whole.
            options: See `cnnviz.integrations.session.Options`.

        Raises:
            TypeError: If there is no such option.
        """
        self._session = Session(path, module, options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._session.end(error)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin the run; a checkpoint is loaded by now."""
        batches = _length(kwargs.get("train_dataloader"))
        # The last batches of an epoch make a step even if they are too few to fill one.
        steps = None if batches is None else -(-batches // args.gradient_accumulation_steps)
        self._session.begin(kwargs["model"], state.global_step, steps_per_epoch=steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record after each update; the loss comes with a log, when the trainer has looked at it."""
        self._session.record(state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record what the trainer logs: of the training, and of each evaluation."""
        self._session.record(state.global_step, kwargs["logs"])

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """End the run."""
        self._session.end()


def _length(loader: object) -> int | None:
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # of a stream: a DataLoader knows its length only if its data set does
        return None
