"""The only threads and processes of the viewer: heavy work runs in warm child processes.

    host.WorkerHost.submit("Reading", "brainviewer.reading:load", series) -> job.Job

A Job tells progress, partial arrays, its result or its trouble by Qt signals on the GUI thread. A child that
crashes, hangs or is killed costs its job a message; the next job gets a new child. Arrays travel in shared memory.
The children import this package too, so it imports nothing itself: they do without Qt.
"""
