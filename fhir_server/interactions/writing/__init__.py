"""From what a client intends to a plan for the head of the log: the way that all writes share."""
