"""Sets BrainViewer up on a fresh machine and starts it: `python3 -m installer run` and `python3 -m installer test`.

Only the standard library is used here, because nothing else is installed yet when it runs.
"""
