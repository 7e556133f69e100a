"""The network in the formats of phones, browsers and other CPU runtimes."""
