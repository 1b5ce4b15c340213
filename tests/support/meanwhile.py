"""Whether a thread that works for long lets the main thread run, which has to notice Ctrl-C."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise


def lets_others_run(job: Callable[[], object]) -> bool:
    """Whether this thread was never kept from running for a third of the time that `job` took."""
    worker = threading.Thread(target=job)
    ran_at = [time.monotonic()]
    worker.start()
    while worker.is_alive():
        worker.join(0.001)
        ran_at.append(time.monotonic())
    longest_s = max(after - before for before, after in pairwise(ran_at))
    return longest_s < (ran_at[-1] - ran_at[0]) / 3
