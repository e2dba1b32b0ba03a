"""Watch a download: log its progress, and end it when nothing arrives."""

from __future__ import annotations

import time
from typing import Iterable, Iterator

from webhook.download.program.process import Failed, Options, walk
from webhook.download.program.progress import Progress


def arrived(paths: Iterable[str]) -> tuple[int, int]:
    """What the disk holds of all files, and their sizes: some downloaders reserve the size at the start."""
    found = [status for path in paths for _, status in walk(path)]
    return sum(min(each.st_size, 512 * each.st_blocks) for each in found), sum(each.st_size for each in found)


def supervise(options: Options, paths: Iterable[str]) -> Iterator[None]:
    """Log progress each time it goes on. Raises Failed when no byte arrived for `stall-timeout` seconds."""
    progress = Progress(f"downloading {options['source']}")
    seen, changed, due = arrived(paths), time.monotonic(), 0.0
    while True:
        yield
        now = time.monotonic()
        if now < due:
            continue
        last, seen = seen, arrived(paths)
        due = now + 2  # large trees take long
        progress.report(seen[0])
        if seen != last:
            changed = now
        elif now - changed > options["stall-timeout"] > 0:
            raise Failed(f"stalled: no byte arrived for {now - changed:.0f} s")
