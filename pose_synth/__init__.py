"""Data engine: persons, garments and try-on samples with exact correspondence."""
