"""Runs: the recorder that writes them, and the run and its snapshots that read them."""
