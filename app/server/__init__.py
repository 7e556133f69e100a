"""The HTTP and WebSocket door to the engine."""
