"""The server on many cores and machines, as an application of Ray Serve."""
