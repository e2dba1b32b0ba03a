"""Runs as the server of a pod: prints, as one JSON document, what it can read and write below the directory `$MODEL`.

With `$WAIT_FOR` it first waits until this path exists, and with `$FILL` it first writes so many bytes to its own disk.
With `$WRITE` it tries to write to every file. With `$STAY` it keeps running.
"""

import errno
import hashlib
import json
import os
import signal
import time


def digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def attempt(path: str, mode: str) -> str:
    """`ok`, or the error's name."""
    try:
        with open(path, mode) as file:
            file.write("x")
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def read(model: str) -> dict[str, object]:
    """What the server sees."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(model, followlinks=True) for name in names]
    paths = sorted(path for path in found if not path.startswith(("/mnt/.", "/proc")))
    files = {os.path.relpath(path, model): digest(path) for path in paths}
    appended = {os.path.relpath(path, model): attempt(path, "a") for path in paths} if os.environ.get("WRITE") else {}
    return {
        "user": [os.getuid(), os.getgid()],
        "files": files,
        "appended": appended,
        "created": attempt(os.path.join(model, "created"), "w") if os.path.isdir(model) else "ENOTDIR",
    }


def main() -> None:
    while (wanted := os.environ.get("WAIT_FOR")) and not os.path.exists(wanted):
        time.sleep(0.05)
    if size := os.environ.get("FILL"):
        with open("/tmp/filled", "wb") as file:
            file.write(b"x" * int(size))
    print(json.dumps(read(os.environ.get("MODEL", "/mnt/models"))), flush=True)
    if os.environ.get("STAY"):
        signal.sigwait([signal.SIGTERM])


main()
