"""A process that ends with the one that started it, and leaves signals to that one.

Signals that a terminal or a supervisor sends to everybody are for the node, which ends its hosts itself. On Linux the
kernel ends this process with the thread that started it; a parent that was killed before that was agreed has left this
process to somebody else.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def bind_to_parent(parent: int) -> None:
    """`parent`: its process id; 0: nobody is waited for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:
        os._exit(1)
