"""Run the downloader, and report how it ended."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

Options = Dict[str, Any]
"""The first argument: a JSON object. The others are the downloader's command."""
Models = Dict[str, str]
"""The SHA-256 of each model by its path; "" where it is not known."""
Found = Tuple[str, os.stat_result]
"""A path and its status."""
Result = Dict[str, Any]
"""What goes to the termination log: `bytes` and `files`. `note` in the options is added."""
Watch = Callable[[Options, Iterable[str]], Iterator[object]]
"""Gets the options and the paths of a download; it goes on again and again while the download runs."""
Verify = Callable[[Options, Models], object]
"""Raises Failed when a model has another digest."""
Deliver = Callable[[Options, List[str], Watch, Verify], Result]
"""Gets the options and the downloader's command; makes the models available."""

SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGALRM
CAUSES = {  # of a failed download, by its output; the last match counts
    "unknown": r"\A",
    "disk": r"no space left|quota exceeded",
    "memory": r"memoryerror|out of memory|cannot allocate",
    "credentials": r"auth\w* failed|access ?denied|credentials|unauthorized|forbidden|\(40[13]\)",
    "not-found": r"not found|not exist|no model found|no such (?!host)|nosuch|\(404\)",
    "network": r"connect|timed? ?out|resol|not known|ssl|network|incomplete|code 5|\(5\d\d\)",
}


class Failed(Exception):
    """The model is not available. The message is for the pod's author, and begins with the class of the failure."""


def log(text: str) -> None:
    print(f"storage: {text}", flush=True)


def limit(seconds: float, what: str) -> None:
    """Raise Failed after this time, in whatever runs then."""

    def expire(_signal: int, _frame: object) -> None:
        raise Failed(f"timeout: {what} took over {seconds:.0f} s")

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01), 60)


def stop(number: int, _frame: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # do not interrupt the cleanup
    sys.exit(128 + number)


def run(command: list[str], watch: Iterator[object], *inherited: int) -> None:
    """Run the downloader, which inherits open files, and print its output. Raises Failed when it fails."""
    mask = signal.pthread_sigmask
    mask(signal.SIG_BLOCK, SIGNALS)  # until `process` is set
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
            start_new_session=True,
            preexec_fn=lambda: mask(signal.SIG_UNBLOCK, SIGNALS),
        )
    except OSError as error:
        raise Failed(f"unknown: cannot start the downloader: {error}") from error
    assert process.stdout
    stream, tail, exited, chunk = process.stdout.fileno(), b"", None, b""
    try:
        mask(signal.SIG_UNBLOCK, SIGNALS)
        while chunk or not exited:
            # Checked before reading, so that no output is lost. It is not reaped, so that its ID is not reused.
            exited = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            ready = select.select([stream], [], [], 0 if exited else 0.5)[0]
            chunk = os.read(stream, 65536) if ready else b""
            if ready and not chunk:
                time.sleep(0.05)  # it closed its output
            os.write(1, chunk)
            tail = (tail + chunk)[-1500:]
            next(watch, None)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # also what it started
        status = process.wait()
    if status:
        text = tail.decode(errors="replace")
        ends = {cause: [0, *(each.end() for each in re.finditer(CAUSES[cause], text, re.I))][-1] for cause in CAUSES}
        cause = "memory" if status in (-9, 137) else max(ends, key=ends.__getitem__)
        raise Failed(f"{cause}: the downloader exited with {status}:\n{text}")


def walk(path: str, status: Callable[[str], os.stat_result] = os.stat, on_error: Any = None) -> Iterator[Found]:
    """What is below a directory, with its status. Links to directories are not followed."""
    for folder, folders, files in os.walk(path, onerror=on_error):
        for name in folders + files:
            with suppress(FileNotFoundError):
                yield f"{folder}/{name}", status(f"{folder}/{name}")


def fail(error: OSError) -> None:
    raise error


def plain(root: str, links: str = "") -> Iterator[Found]:
    """What is in a model. Raises Failed unless it consists of files, directories, and links that stay inside.

    Links may also lead to what is below `links`.
    """
    inside = tuple(os.path.realpath(each) + "/" for each in (root, links or root))
    for path, status in walk(root, os.lstat, fail):
        target = os.path.realpath(path) if stat.S_ISLNK(status.st_mode) and os.path.exists(path) else ""
        if target.startswith(inside) or stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            yield path, status
        else:
            raise Failed(f"unknown: the model contains a special file, or a link out of it: {path}")


def measure(found: Iterable[Found]) -> Result:
    """Count files and bytes."""
    files = size = 0
    for _, status in found:
        if not stat.S_ISDIR(status.st_mode):
            files, size = files + 1, size + status.st_size
    return {"bytes": size, "files": files}


def check_mounts(paths: list[str]) -> None:
    """Raise Failed when something is mounted inside a directory that is about to be emptied: it is not the model's."""
    # Its paths have octal escapes (proc(5)), and `unicode_escape` reads the other bytes as Latin-1.
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = line.split()[4].decode("unicode_escape")
        for path in paths:
            if point.startswith(os.fsencode(os.path.realpath(path)).decode("latin-1") + "/"):
                raise Failed(f"disk: {path} cannot be emptied: a volume is mounted in it")


def in_place(options: Options, command: list[str], watch: Watch, verify: Verify) -> Result:
    """Download the models to their paths. A model with a digest is alone there, and removed when it is not right."""
    models = options["models"]
    checked = [path for path, digest in models.items() if digest]
    check_mounts(checked)
    try:
        for path in checked:
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path, exist_ok=True)
        run(command, watch(options, models))
        verify(options, models)
    except BaseException:
        for path in checked:
            shutil.rmtree(path, ignore_errors=True)
        raise
    size = measure(each for path in models for each in walk(path))
    return {**size, "sha256": options["sha256"]}


def main(
    arguments: list[str], deliver: Deliver, watch: Watch = lambda *_: iter(()), verify: Verify = lambda *_: None
) -> None:
    """Deliver the models, write the result or the reason to the termination log, and exit."""
    start, status, options = time.monotonic(), 1, json.loads(arguments[0])
    for number in SIGNALS[:2]:
        signal.signal(number, stop)
    try:
        limit(options["timeout"], "the download")
        found = deliver(options, arguments[1:], watch, verify)
        result = {name: found[name] for name in ("bytes", "files", "sha256") if found.get(name)}
        seconds = round(time.monotonic() - start, 1)
        message, status = json.dumps({**result, "seconds": seconds, "source": options["source"], **options["note"]}), 0
    except Failed as failure:
        message = str(failure)
    except OSError as error:
        message = f"disk: {error}"
    log(message)
    with suppress(OSError), open(options["termination-log"], "w") as file:
        file.write(message[:4000])
    sys.exit(status)
