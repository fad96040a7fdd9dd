"""Training frameworks, one a file: each only calls a `Recorder` where the framework says what happens."""
