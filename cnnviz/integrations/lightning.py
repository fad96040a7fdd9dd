"""Lightning: records while `Trainer.fit` trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Unpack

from cnnviz.integrations.extras import extra
from cnnviz.integrations.scalars import Newest
from cnnviz.integrations.session import Options, Session

with extra("lightning", "lightning"):
    from lightning.pytorch import Callback

if TYPE_CHECKING:
    from os import PathLike

    from lightning.pytorch import LightningModule, Trainer


class RecorderCallback(Callback):
    """Records a `Trainer.fit`: the metrics that the module logs, under the names that loggers see, and snapshots.

    Steps are the trainer's `global_step`, so the batches of one accumulated gradient make one step. It ends the run
    as finished, as stopped after Ctrl-C, or as failed after any other exception.
    """

    def __init__(
        self, path: str | PathLike[str], *, module: str | None = None, **options: Unpack[Options]
    ) -> None:
        """Prepare to record at `path`; the run begins when the training does.

        Args:
            path: The run's folder; it is made, and must not hold a run yet.
            module: The attribute of the LightningModule to record, as "model"; None records it as a whole.
            options: See `cnnviz.integrations.session.Options`.

        Raises:
            TypeError: If there is no such option.
        """
        super().__init__()
        self._session = Session(path, module, options)
        self._newest = Newest()

    # No hook asks for the rank: reading metrics may be a matter of all ranks, and the recorder knows which one writes.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the run; a sanity check is over by now, and a checkpoint loaded."""
        self._session.begin(pl_module, trainer.global_step, steps_per_epoch=_steps_per_epoch(trainer))

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Record after each batch that updated the weights."""
        if trainer.global_step > self._session.step:
            self._record(trainer)

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        """Record what the validation measured."""
        self._record(trainer)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Record the means over the epoch before, which are known only after its last hook."""
        self._record(trainer)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """Record the means over the last epoch."""
        self._record(trainer)

    def on_fit_end(self, *_: Any) -> None:
        """End the run."""
        self._session.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the run as stopped or failed."""
        self._session.end(exception)

    def _record(self, trainer: Trainer) -> None:
        self._session.record(trainer.global_step, self._newest.of(trainer.logged_metrics))


def _steps_per_epoch(trainer: Trainer) -> int | None:
    batches = trainer.num_training_batches
    if not math.isfinite(batches):
        return None
    # Each optimizer's step counts, and the last batches of an epoch make a step even if they are too few.
    return -(-int(batches) // trainer.accumulate_grad_batches) * max(len(trainer.optimizers), 1)
