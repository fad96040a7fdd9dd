"""Pure computations on tensors and snapshots."""
