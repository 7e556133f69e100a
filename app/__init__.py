"""Ways to use dmvton: the command line, the web demo, the server."""
