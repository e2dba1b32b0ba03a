"""Download a model once into a directory that many pods share; the other pods wait for it.

Runs in the init container, whose image is not ours: standard library only, Python 3.8 or newer.
It arrives there as text: python3 -I -S -c THIS_FILE OPTION... -- DOWNLOADER ARGUMENT...
The downloader's arguments `{}` and `{}/...` become the directory to download into.

The directory (--dir in the claim that is mounted at --root) holds, for each key:
  <key>/                 a complete model, never less
  .<key>.complete        its record: uri, time, files, bytes, pod as JSON; its mtime is the last use
  .<key>.lock            locked (flock) by the pod that downloads; says which pod
  .<key>.<random>.tmp    a download under way; when nobody has the lock, the rest of one
  .<key>.<random>.trash  being deleted
A rename publishes a model; whoever cleans renames before deleting, so nothing half deleted can be
published. The downloader inherits the lock: it is free only when nobody writes any more.

Exit status: 0 the model is there, 1 it is not, 143 stopped by a signal. --termination-log says why.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

SAY_EVERY = 30.0  # seconds between two words of a waiting pod
STOPS = (signal.SIGTERM, signal.SIGINT)
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = re.compile(r"No space left on device|[Qq]uota exceeded|Errno (28|122)\b")
NOT_SHARED = "a lock taken on one node is not seen on others"
UNFIT = (  # "type source options" of a mount, and what is wrong with it; the first match counts
    (r"nfs\d? .*?[ ,](nolock|local_lock=all|local_lock=flock)\b", rf"NFS is mounted with \1: {NOT_SHARED}"),
    (r"(?:cifs|smb3) .*[ ,](nobrl)\b", rf"SMB is mounted with \1: {NOT_SHARED}"),
    (r"lustre .*[ ,](localflock|noflock)\b", rf"Lustre is mounted with \1: {NOT_SHARED}"),
    (r"fuse\.(?:ceph|glusterfs|juicefs|mfs)\b|fuseblk ", ""),
    (r"(fuse\S*|virtiofs|9p) (\S+)", rf"\2 is mounted by \1, as object stores are: {NOT_SHARED}"),
)


class Failed(Exception):
    """The model is not there; the text tells the pod's author why."""


class Stopped(Exception):
    """One of STOPS came."""


class Options:
    """What the command line says."""

    def __init__(self, words: list[str]) -> None:
        split = words.index("--")  # what follows is the downloader's, whatever it looks like
        given = dict(word[2:].split("=", 1) for word in words[:split])
        self.command = words[split + 1 :]
        self.cache = Cache(Path(given["root"], given["dir"]), given["key"])
        self.root, self.uri = Path(given["root"]), given["uri"]
        self.wait_timeout, self.download_timeout = float(given["wait-timeout"]), float(given["download-timeout"])
        self.trust_locks = given.get("trust-locks") == "true"
        self.termination_log = Path(given.get("termination-log", "/dev/termination-log"))


class Cache:
    """The names that one key has in the cache directory."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory, self.key = directory, key
        self.model, self.record, self.lock = directory / key, self.name("complete"), self.name("lock")

    def name(self, kind: str) -> Path:
        return self.directory / f".{self.key}.{kind}"

    def scratch(self, kind: str) -> Path:
        return self.name(f"{os.urandom(6).hex()}.{kind}")

    def leftovers(self) -> list[Path]:
        return [*self.directory.glob(f".{self.key}.*.tmp"), *self.directory.glob(f".{self.key}.*.trash")]


def say(text: str) -> None:
    print(f"cache: {text}", flush=True)


def size(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"


def duration(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def utc(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def pod() -> str:
    return os.environ.get("POD_NAME") or os.uname().nodename


def try_lock(lock: int) -> bool:
    """Lock the open file, unless somebody else has. Raises Failed where files cannot be locked."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # SMB says EACCES
        return False
    except OSError as error:
        raise Failed(f"the claim's file system cannot lock files: {error.strerror}") from error
    return True


def sign(lock: int) -> None:
    with contextlib.suppress(OSError):  # a full disk must not keep us from cleaning it
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pod": pod(), "since": time.time()}).encode(), 0)


def holder(cache: Cache) -> str:
    """Who has the lock, where that can be read: SMB lets nobody read a locked file."""
    try:
        said = json.loads(cache.lock.read_text("utf-8"))
        since = float(said["since"])
        return f"pod {said['pod']}, since {utc(since)} ({duration(time.time() - since)})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another pod"


def wait(lock: int, cache: Cache, limit: float) -> None:
    """Take the lock. Raises Failed when another pod still has it after `limit` seconds."""
    start, next_word, delay = time.monotonic(), 0.0, 0.02
    while not try_lock(lock):
        waited = time.monotonic() - start
        if waited > limit:
            raise Failed(f"gave up after waiting {duration(waited)} for the download by {holder(cache)}")
        if waited >= next_word:
            say(f"waiting for the download by {holder(cache)}")
            next_word = waited + SAY_EVERY
        time.sleep(delay * (0.5 + os.urandom(1)[0] / 256))  # not all at once
        delay = min(delay * 1.5, 2.0)


def walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from walk(Path(entry.path))


def measure(folder: Path) -> tuple[int, int]:
    """How many files and how many bytes."""
    stats = [e.stat(follow_symlinks=False) for e in walk(folder) if not e.is_dir(follow_symlinks=False)]
    return len(stats), sum(s.st_size for s in stats)


def complete(cache: Cache) -> dict[str, Any] | None:
    """The model's record; None when there is no model or it is not what its record says."""
    try:
        record: dict[str, Any] = json.loads(cache.record.read_text("utf-8"))
        return record if (record["files"], record["bytes"]) == measure(cache.model) else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def discard(cache: Cache, path: Path) -> None:
    """Take a tree away in one step, then delete it; what resists is left to the next cleaner."""
    trash = cache.scratch("trash")
    with contextlib.suppress(FileNotFoundError):
        path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def clean(cache: Cache, leftovers: list[Path]) -> None:
    """With the lock held: remove what a dead writer left, and a model that its record does not match."""
    for path in leftovers:
        say("removing the rest of an interrupted download")
        with contextlib.suppress(OSError):  # another user's, but in nobody's way
            discard(cache, path)
    if cache.model.exists():
        say(f"removing {cache.model}: it has no record, or is not what its record says")
        discard(cache, cache.model)


def unfit(mounts: str, path: Path) -> str:
    """Why the mount that holds `path` cannot hold a cache, or "". `mounts` is /proc/self/mountinfo's text."""
    best, mount = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
        if len(point) >= len(best) and Path(point) in (path, *path.parents):
            best, mount = point, right
    found = ((re.match(pattern, mount), reason) for pattern, reason in UNFIT)
    return next((match.expand(reason) for match, reason in found if match), "")


def demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(f"this claim cannot hold a shared cache: {otherwise}. Use another claim, or no cache")


def moved(source: Path, target: Path) -> bool:
    """Rename a directory; False when one that is not empty is there already."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def prove(work: Path, trust_locks: bool) -> None:
    """Raises Failed unless, in this very place, a lock keeps others out and a rename is one whole step."""
    mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    reason = unfit(mounts, work.resolve())
    demand(trust_locks or not reason, reason)
    try:
        prove_lock(work / "lock")
        prove_rename(work / "from", work / "to")
    except OSError as error:
        demand(error.errno in FULL, str(error))
        raise


def prove_lock(path: Path) -> None:
    with path.open("w") as second:
        with path.open("w") as first:
            demand(try_lock(first.fileno()) and not try_lock(second.fileno()), "its locks keep nobody out")
        demand(try_lock(second.fileno()), "its locks stay when their holder is gone")


def prove_rename(source: Path, target: Path) -> None:
    (source / "inner").mkdir(parents=True)
    source.rename(target)
    demand((target / "inner").is_dir() and not source.exists(), "it renames by halves")
    (source / "inner").mkdir(parents=True)
    demand(not moved(source, target), "it renames over a directory that is not empty")


def birth() -> Callable[[], None]:
    """What the downloader does first: ask the kernel to kill it when this process dies."""
    prctl, parent = None, os.getpid()
    with contextlib.suppress(ImportError, OSError, AttributeError):  # not every image has it
        import ctypes

        prctl = ctypes.CDLL(None).prctl

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        if prctl:
            prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return begin


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is over. Does not reap it: until then nobody else can get its number."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def end(process: subprocess.Popen[bytes]) -> int:
    """End the downloader and all it started; gives its exit status."""
    if not ended(process):
        os.killpg(process.pid, signal.SIGTERM)
        patience = time.monotonic() + 5
        while not ended(process) and time.monotonic() < patience:
            time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def relay(process: subprocess.Popen[bytes], limit: float) -> str:
    """Pass the downloader's output on until it ends; gives the last of it. Raises Failed after `limit` s."""
    tail, deadline = b"", time.monotonic() + limit
    assert process.stdout
    streams = [process.stdout.fileno()]
    while True:
        over = ended(process)  # asked before reading, so that its last words are read
        ready = select.select(streams, [], [], 0 if over else 0.5 if streams else 0.02)[0]
        chunk = os.read(ready[0], 65536) if ready else b""
        if over and not chunk:
            return tail.decode("utf-8", "replace")
        if ready and not chunk:
            streams = []
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        tail = (tail + chunk)[-1500:]
        if time.monotonic() > deadline:
            raise Failed(f"the download was stopped after {duration(limit)}, its time limit")


def run(command: list[str], lock: int, limit: float) -> None:
    """Run the downloader. Raises Failed when it fails, OSError when there was no space for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # until the process is in hand
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
            preexec_fn=birth(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        raise Failed(f"cannot start the downloader: {error}") from error
    with process:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            tail = relay(process, limit)
        finally:
            status = end(process)
    if status and FULL_WORDS.search(tail):
        raise OSError(errno.ENOSPC, "No space left")
    if status == -signal.SIGKILL:
        raise Failed(f"the downloader was killed; out of memory?\n{tail}")
    if status:
        raise Failed(f"the downloader failed with exit status {status}:\n{tail}")


def flush(path: str | Path) -> None:
    """Make a file, or the names in a directory, survive a power cut."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # not to be had here
            raise
    finally:
        os.close(file)


def settle(model: Path) -> None:
    """Make the model durable. Raises Failed for a link that servers could not follow."""
    say("downloaded; flushing it to the claim")
    for entry in walk(model):
        if entry.is_symlink():
            target = os.readlink(entry.path)
            if Path(target).is_absolute() or model.resolve() not in Path(entry.path).resolve().parents:
                raise Failed(f"the downloader left a link out of the model: {entry.name} -> {target}")
        elif entry.is_file() or entry.is_dir():
            flush(entry.path)
    flush(model)


def publish(cache: Cache, work: Path, model: Path, uri: str) -> dict[str, Any]:
    """Give the record and then the model its final name; gives the record."""
    files, count = measure(model)
    if not files:
        raise Failed("the downloader ended well but left no file")
    record = {"uri": uri, "time": utc(time.time()), "files": files, "bytes": count, "pod": pod()}
    draft = work / "record"
    draft.write_text(json.dumps(record), "utf-8")
    flush(draft)
    draft.rename(cache.record)
    if not moved(model, cache.model):
        raise Failed(f"{cache.model} appeared meanwhile: the claim's locks do not hold")
    flush(cache.directory)
    return record


def download(lock: int, options: Options) -> dict[str, Any]:
    """With the lock held: clean, prove, download, publish. Leaves nothing behind when it fails."""
    cache = options.cache
    sign(lock)
    leftovers, work = cache.leftovers(), cache.scratch("tmp")
    model = work / "model"
    try:
        work.mkdir()
        record = complete(cache)  # until this mkdir, NFS may have remembered that there was none
        if record:
            return record
        clean(cache, leftovers)
        prove(work, options.trust_locks)
        model.mkdir()
        say(f"downloading {options.uri}")
        command = [re.sub(r"^\{\}(?=/|\Z)", lambda _: str(model), word) for word in options.command]
        run(command, lock, options.download_timeout)
        settle(model)
        return publish(cache, work, model, options.uri)
    finally:
        discard(cache, work)


def obtain(options: Options) -> str:
    """See to it that the model is there; gives the message for the termination log."""
    start, cache = time.monotonic(), options.cache
    if not options.root.is_dir():
        raise Failed(f"no claim is mounted at {options.root}")
    cache.directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(cache.lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        wait(lock, cache, options.wait_timeout)
        record = complete(cache) or download(lock, options)
        with contextlib.suppress(OSError):  # the file may be another user's
            os.utime(cache.record)
    finally:
        os.close(lock)
    return (
        f"{options.uri} is there after {duration(time.monotonic() - start)}: {record['files']} files, "
        f"{size(record['bytes'])}, downloaded by pod {record.get('pod')} at {record.get('time')}"
    )


def explained(error: OSError, root: Path) -> str:
    """What a failed system call means to the pod's author."""
    if error.errno in FULL:
        disk = shutil.disk_usage(root)
        return (
            f"the cache claim is full: this model does not fit into {size(disk.free)} of {size(disk.total)}. "
            "Its part is removed, other models are untouched. "
            "Enlarge the claim, or make room with `storage-webhook cache prune`"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        groups = sorted({os.getgid(), *os.getgroups()})
        return (
            f"the cache claim refuses user {os.getuid()}, groups {groups}: {error}. "
            "Pods that share a cache need the same fsGroup"
        )
    return f"the cache claim failed: {error}"


def report(path: Path, message: str) -> None:
    say(message)
    with contextlib.suppress(OSError):
        path.write_text(message[:4000], "utf-8")


def stop(_signal: int, _frame: object) -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)  # cleaning goes on undisturbed
    raise Stopped


def main(words: list[str]) -> int:
    options, status = Options(words), 1
    os.umask(0o002)  # pods with the same fsGroup can clean up after each other
    for number in STOPS:
        signal.signal(number, stop)
    try:
        message, status = obtain(options), 0
    except Stopped:
        message, status = "stopped by a signal; nothing half downloaded is left", 143
    except Failed as failure:
        message = str(failure)
    except OSError as error:
        message = explained(error, options.root)
    report(options.termination_log, message)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
