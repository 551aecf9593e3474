"""The French room: national identifiers, the guides of the ANS, and the demonstration data.

It stands on top of a generic engine, which never imports it: only the composition root does.
"""
