"""What each precision costs: size, error, quality and time, in docs/PRECISION.md."""
