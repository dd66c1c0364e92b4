"""Looks at this machine and says what BrainViewer can do on it, and how to mend what it cannot.

Whatever may crash (drivers, codecs) is tried in a child process, so that a crash is a finding.
"""

from brainviewer.doctor.checks import Check, examine

__all__ = ["Check", "examine"]
