"""The plain loop: train, record, validate, and be ready to go on where it ended."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from cnnviz.data import load
from cnnviz.errors import RecordingWarning, RunError
from cnnviz.models import MODELS
from cnnviz.recording.bare import state_tensors
from cnnviz.recording.checkpoint import read_checkpoint, write_checkpoint
from cnnviz.recording.layout import Layout, is_run
from cnnviz.recording.recorder import Recorder
from cnnviz.recording.run import open_run
from cnnviz.recording.schedule import Schedule, bind, every, within
from cnnviz.recording.schedule_text import parse_schedule
from cnnviz.training.device import pick_device
from cnnviz.training.evaluate import evaluate
from cnnviz.training.interrupt import Interrupt
from cnnviz.training.network import describe, make_model
from cnnviz.training.optimizers import make_optimizer, optimizer_tensors, restore_optimizer
from cnnviz.training.progress import Progress, ProgressCallback
from cnnviz.training.statistics import LayerStatistics
from cnnviz.training.tally import Diverged, Tally

if TYPE_CHECKING:
    from os import PathLike

    from torch import Tensor, nn

    from cnnviz.data.split import Data
    from cnnviz.recording.run import Run
    from cnnviz.training.config import TrainConfig

# Often enough that little is repeated after a kill, seldom enough that it costs nothing.
_CHECKPOINT_SECONDS = 10.0
_PROGRESS_SECONDS = 0.1
# What each training example did is kept for sets up to this size: some megabytes in memory a pass.
_MOST_EXAMPLES = 1_000_000


def fit(
    config: TrainConfig,
    path: str | PathLike[str],
    *,
    resume: bool = False,
    progress: ProgressCallback | None = None,
) -> Run:
    """Train as `config` says and record it at `path`; Ctrl-C ends it cleanly between two updates.

    The same config gives the same snapshots bit for bit on the CPU, also when the training was stopped and
    resumed on the way.

    Args:
        config: What to do.
        path: The run's folder.
        resume: Go on with the run at `path` from its last checkpoint; one that was interrupted before its first
            begins again, and keeps what was recorded.
        progress: Is told, about ten times a second and after each record, where the training stands; without it
            nothing is printed, either.

    Returns:
        The run; its `status` says how the training ended.

    Raises:
        CnnvizError: If the data, the model or the run can't be used.
    """
    checkpoint = read_checkpoint(path) if resume and not _begins_again(path) else None
    device = pick_device(config.device)
    MODELS.get(config.model)  # an unknown name is told before anything is downloaded
    told = progress is not None
    data = load(config.data, root=config.data_root, image_size=config.image_size, progress=told).to(device)
    torch.manual_seed(config.seed)
    model = make_model(config, data).to(device)
    training = _Training(config, model, data, device)
    if checkpoint is not None:
        training.restore(*checkpoint)
    records = every(config.every, per_epoch=training.steps_per_epoch)
    snapshots = _snapshots(config, records, training.steps_per_epoch)
    # Ctrl-C is caught before the run is begun, so that none is ever left half made.
    with Interrupt() as interrupt:
        recorder = Recorder(
            path,
            model,
            snapshots=snapshots,
            samples=data.validation.head(config.samples),
            description=describe(config, data),
            resume=resume,
        )
        with recorder:
            training.go(_Session(recorder, records, snapshots, interrupt, progress or (lambda _: None)))
    return open_run(path)


def _snapshots(config: TrainConfig, records: Schedule, steps_per_epoch: int) -> Schedule:
    """Return the schedule by which weights are kept."""
    said = records if config.snapshots is None else bind(parse_schedule(config.snapshots), steps_per_epoch)
    return said if config.within is None else within(config.within, said)


def _begins_again(path: str | PathLike[str]) -> bool:
    """Say whether the training at `path` ended too early for a checkpoint, so that going on is to begin again."""
    if Layout(path).checkpoint.exists() or not is_run(Path(path)):
        return False
    return open_run(path).status in ("interrupted", "failed", "stopped")


@dataclass(frozen=True)
class _Session:
    """What a training talks to while it runs."""

    recorder: Recorder
    records: Schedule
    snapshots: Schedule
    interrupt: Interrupt
    tell: ProgressCallback


class _Training:
    """One training: its network, optimizer and counters."""

    def __init__(self, config: TrainConfig, model: nn.Module, data: Data, device: torch.device) -> None:
        self._config = config
        self._model = model
        self._data = data
        self._device = device
        self._optimizer = make_optimizer(model, config)
        self._statistics = LayerStatistics(model)
        self._tally = Tally(device)
        self.steps_per_epoch = -(-len(data.train) // config.batch_size)
        self.step = 0
        self._validation_error: float | None = None
        self._seconds_before = 0.0
        self._first_step = 0
        self._started = self._last_told = self._last_checkpoint = time.perf_counter()

    def go(self, session: _Session) -> None:
        """Train to the end, or until interrupted, and close the recorder accordingly."""
        recorder = session.recorder
        self._started = self._last_told = self._last_checkpoint = time.perf_counter()
        self._first_step = self.step
        if self.step == 0:
            recorder.record(0, snapshot=True)  # the untrained network: what everything later is compared to
        try:
            while self.step < self._config.epochs * self.steps_per_epoch:
                self._epoch(session)
                if session.interrupt.requested:
                    self._checkpoint(recorder)
                    recorder.close("stopped", f"at step {self.step:,} by the user")
                    return
        except Diverged as outcome:
            recorder.record(max(self.step, 0), snapshot=True)
            recorder.close("diverged", f"at step {outcome.step:,}: {outcome}; try a lower learning rate")
            return
        metrics = {}
        if self._data.test is not None:
            score = evaluate(
                self._model, self._data.test, batch_size=self._config.batch_size, device=self._device
            )
            metrics = {"test/loss": score.loss, "test/error": score.error}
        recorder.record(self.step, metrics, snapshot=True)
        self._checkpoint(recorder)
        recorder.close()

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Go back to a checkpoint.

        Raises:
            RunError: If it is of another network or optimizer, or damaged.
        """
        try:
            self._restore(tensors, facts)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise RunError(
                f"the checkpoint is damaged, or of a training with other options: {error}"
            ) from error

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        if facts["optimizer"] != self._config.optimizer:
            raise ValueError(f"it was made by {facts['optimizer']}, not by {self._config.optimizer}")
        weights = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
        self._model.load_state_dict(weights)
        restore_optimizer(self._optimizer, tensors)
        torch.set_rng_state(tensors["random/cpu"])
        if self._device.type == "cuda" and "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"], self._device)
        self._tally.restore(facts["tally"])
        self.step = int(facts["step"])
        self._seconds_before = float(facts["seconds"])
        self._validation_error = facts["validation_error"]

    def _epoch(self, session: _Session) -> None:
        """Train to the end of the epoch that `step` lies in."""
        config = self._config
        epoch, done = divmod(self.step, self.steps_per_epoch)
        # A seed of its own for each epoch, so that a resumed training finds the order without replaying others.
        seed = (config.seed * 1_000_003 + epoch) % 2**63
        order = torch.randperm(len(self._data.train), generator=torch.Generator().manual_seed(seed))
        self._model.train()
        if done == 0:
            self._tally = Tally(self._device)
        batches = self._data.train.batches(order, config.batch_size, self._device, skip=done, seed=seed)
        numbers = order.split(config.batch_size)[done:]
        for (images, labels), indices in zip(batches, numbers, strict=False):
            due = session.records(self.step + 1)
            if due:
                self._statistics.before()
            right, losses = self._update(images, labels)
            if len(order) <= _MOST_EXAMPLES:
                session.recorder.record_examples(self.step, indices, right, losses)
            if due:
                self._record(session.recorder)
            elif session.snapshots(self.step):
                session.recorder.record(self.step)
            now = time.perf_counter()
            if due or now - self._last_told > _PROGRESS_SECONDS:
                self._last_told = now
                session.tell(self._progress(epoch, recorded=due))
            if session.interrupt.requested:
                return

    def _update(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Make one step, and return for each image whether the answer was right, and its loss."""
        self._optimizer.zero_grad(set_to_none=True)
        logits = self._model(images)
        losses = functional.cross_entropy(logits, labels, reduction="none")
        loss = losses.mean()
        right = logits.detach().argmax(1) == labels
        self._tally.add(self.step + 1, loss.detach(), right)
        loss.backward()
        self._optimizer.step()
        self.step += 1
        return right, losses.detach()

    def _record(self, recorder: Recorder) -> None:
        score = evaluate(
            self._model, self._data.validation, batch_size=self._config.batch_size, device=self._device
        )
        self._validation_error = score.error
        loss, error = self._tally.means()
        metrics = {
            "train/loss": loss,
            "train/error": error,
            "validation/loss": score.loss,
            "validation/error": score.error,
            "learning_rate": float(self._optimizer.param_groups[0]["lr"]),
            "seconds": self._seconds(),
        }
        recorder.record(self.step, metrics | self._statistics.after())
        if time.perf_counter() - self._last_checkpoint > _CHECKPOINT_SECONDS:
            self._checkpoint(recorder)

    def _checkpoint(self, recorder: Recorder) -> None:
        tensors = {f"model/{name}": tensor for name, tensor in state_tensors(self._model).items()}
        tensors |= optimizer_tensors(self._optimizer)
        tensors["random/cpu"] = torch.get_rng_state()
        if self._device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self._device)
        facts = {
            "step": self.step,
            "tally": self._tally.to_json(),
            "seconds": self._seconds(),
            "validation_error": self._validation_error,
            "optimizer": self._config.optimizer,
        }
        self._last_checkpoint = time.perf_counter()
        try:
            write_checkpoint(recorder.path, tensors, facts)
        except OSError as error:
            warnings.warn(
                f"{recorder.path} takes no checkpoint: {error}. The training goes on; until there is room again it can "
                "only be resumed from an earlier step",
                RecordingWarning,
                stacklevel=2,
            )

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def _progress(self, epoch: int, *, recorded: bool) -> Progress:
        loss, error = self._tally.means()
        seconds = time.perf_counter() - self._started
        done, steps = self.step - self._first_step, self._config.epochs * self.steps_per_epoch
        return Progress(
            epoch=epoch + 1,
            epochs=self._config.epochs,
            step=self.step,
            steps=steps,
            loss=loss,
            train_error=error,
            validation_error=self._validation_error,
            images_per_second=done * self._config.batch_size / max(seconds, 1e-9),
            seconds=seconds,
            seconds_left=seconds * (steps - self.step) / max(done, 1),
            recorded=recorded,
        )
