"""Training: the notebook's plain loop, recorded as it goes."""
