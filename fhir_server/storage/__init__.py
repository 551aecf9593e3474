"""One ordered log, and what is read from it: the protocol, and a room for each engine."""
