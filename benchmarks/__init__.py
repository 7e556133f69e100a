"""Benchmarks: the timing harness, its contenders and the 2023 student, rebuilt."""
