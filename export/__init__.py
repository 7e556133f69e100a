"""Exports of the released student to other runtimes."""
