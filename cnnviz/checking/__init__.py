"""Checking a run's folder against itself, and repairing it so that nothing that was recorded is lost."""
