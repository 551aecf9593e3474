"""What an operator does to a whole store: load, export, backup, restore, check, reindex; a module each.

A function takes what it works on, a callback for its progress, and returns what came of it as data. Nothing here prints
or reads a command line. ``docs/commands.md`` says how each is used.
"""
