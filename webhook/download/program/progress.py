"""Lines about the progress of a long operation."""

from __future__ import annotations

import time

from webhook.download.program.process import log

INTERVAL = 10.0  # seconds between lines


class Progress:
    """Log a number of bytes, its rate and the time, once in each interval."""

    def __init__(self, what: str) -> None:
        self.what, self.start, self.due = what, time.monotonic(), INTERVAL

    def report(self, count: int) -> None:
        seconds = time.monotonic() - self.start
        if seconds >= self.due:
            self.due = seconds + INTERVAL
            log(f"{self.what}: {count >> 20} MiB in {seconds:.0f} s, {count / seconds / 2**20:.1f} MiB/s")
