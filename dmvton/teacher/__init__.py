"""The teacher network."""
