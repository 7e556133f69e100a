"""One harness over runtimes: the whole student, and its own layer shapes by category."""
