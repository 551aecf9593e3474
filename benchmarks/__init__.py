"""How fast the server is: one program for each question, on a real server process over loopback HTTP.

``python -m benchmarks.read`` answers one question, ``python -m benchmarks.all`` all of them, small. Results are in
``docs/performance.md``.
"""
