"""Download a model once into a directory that pods share; other pods wait for the download.

Runs in the init container with a third-party image: standard library only, Python 3.8 or newer.
It is passed as text: python3 -I -S -c THIS_FILE OPTION... -- DOWNLOADER ARGUMENT...
In the downloader's arguments, `{}` and `{}/...` are replaced with the directory to download into.

The cache directory (--dir in the claim mounted at --root) contains for each key:
  <key>/                 a complete model
  .<key>.complete        its record: uri, time, files, bytes, pod as JSON; its mtime is the last use
  .<key>.lock            locked (flock) by the pod that downloads, and contains its name
  .<key>.<random>.tmp    a download in progress; if the lock is free, an interrupted one
  .<key>.<random>.trash  being deleted
A model is published with a rename. Paths are renamed before they are deleted, so a partly deleted
model is never visible. The downloader inherits the lock, so it is held as long as anything writes.
Whoever can write to the claim is not trusted: links are not followed, and only regular files are read.

Exit status: 0 model available, 1 failed, 143 stopped by a signal. Reason: --termination-log.
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
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

MAX_RECORD = 65536  # bytes
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
UNUSABLE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG)  # not what a pod writes
LOG_INTERVAL = 30.0  # seconds between log lines of a waiting pod
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_FULL_OUTPUT = re.compile(r"No space left on device|[Qq]uota exceeded|Errno (28|122)\b")
NOT_SHARED = "locks are not visible to other nodes"
UNSUITABLE_MOUNTS = (  # "type source options" of a mount, and the reason; the first match applies
    (r"nfs\d? .*?[ ,](nolock|local_lock=all|local_lock=flock)\b", rf"NFS is mounted with \1: {NOT_SHARED}"),
    (r"(?:cifs|smb3) .*[ ,](nobrl)\b", rf"SMB is mounted with \1: {NOT_SHARED}"),
    (r"lustre .*[ ,](localflock|noflock)\b", rf"Lustre is mounted with \1: {NOT_SHARED}"),
    (r"fuse\.(?:ceph|glusterfs|juicefs|mfs)\b|fuseblk ", ""),
    (r"(fuse\S*|virtiofs|9p) (\S+)", rf"\2 is mounted with \1, like an object store: {NOT_SHARED}"),
)


class Failed(Exception):
    """The model is not available; the message is for the pod's author."""


class Stopped(Exception):
    """One of STOP_SIGNALS was received."""


class Options:
    """The parsed command line."""

    def __init__(self, arguments: list[str]) -> None:
        split = arguments.index("--")  # everything after it belongs to the downloader
        given = dict(argument[2:].split("=", 1) for argument in arguments[:split])
        self.command = arguments[split + 1 :]
        self.root, self.directory = Path(given["root"]), given["dir"]
        self.key, self.uri = given["key"], given["uri"]
        self.wait_timeout, self.download_timeout = float(given["wait-timeout"]), float(given["download-timeout"])
        self.trust_locks = given.get("trust-locks") == "true"
        self.termination_log = Path(given.get("termination-log", "/dev/termination-log"))


class Cache:
    """The paths of a key in the cache directory."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory, self.key = directory, key
        self.model, self.record, self.lock = directory / key, self.path("complete"), self.path("lock")

    def path(self, kind: str) -> Path:
        return self.directory / f".{self.key}.{kind}"

    def temporary_path(self, kind: str) -> Path:
        return self.path(f"{os.urandom(6).hex()}.{kind}")

    def leftovers(self) -> list[Path]:
        return [*self.directory.glob(f".{self.key}.*.tmp"), *self.directory.glob(f".{self.key}.*.trash")]


def log(text: str) -> None:
    print(f"cache: {text}", flush=True)


def format_size(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"


def format_duration(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def format_time(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def shown(value: object) -> str:
    """A name or time from a file in the claim, for messages."""
    return re.sub(r"[^\w.:-]", "?", str(value)[:253])


def pod_name() -> str:
    return os.environ.get("POD_NAME") or os.uname().nodename


def open_directory(root: Path, directory: str, create: bool = True) -> int:
    """Open a directory below the root without following links."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for part in Path(directory).parts:
        parent = folder
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=parent)
            folder = os.open(part, os.O_PATH | FOLDER, dir_fd=parent)
        finally:
            os.close(parent)
    return folder


def open_file(path: str | Path, flags: int) -> int:
    """Open a regular file. Raises OSError ELOOP for a link, a FIFO and other files."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode) and status.st_nlink < 2:
        return file
    os.close(file)
    raise OSError(errno.ELOOP, "not a regular file", str(path))


def read_json(path: Path) -> Any:
    """Read a small JSON text. Raises OSError and ValueError."""
    with open(path, "rb", opener=open_file) as file:
        text = file.read(MAX_RECORD + 1)
    try:
        return json.loads(text if len(text) <= MAX_RECORD else b"")
    except RecursionError as error:
        raise ValueError from error


def try_lock(lock: int) -> bool:
    """Try to lock an open file. Raises Failed when the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # SMB: EACCES
        return False
    except OSError as error:
        raise Failed(f"the file system of the claim does not support file locks: {error.strerror}") from error
    return True


def write_holder(lock: int) -> None:
    with contextlib.suppress(OSError):  # a full disk must not prevent cleaning it
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pod": pod_name(), "since": time.time()}).encode(), 0)


def holder(cache: Cache) -> str:
    """Describe the pod that holds the lock. On SMB, a locked file cannot be read."""
    try:
        content = read_json(cache.lock)
        since = float(content["since"])
        return f"pod {shown(content['pod'])}, since {format_time(since)} ({format_duration(time.time() - since)})"
    except (OSError, ArithmeticError, ValueError, KeyError, TypeError):
        return "another pod"


def acquire(lock: int, cache: Cache, timeout: float) -> None:
    """Wait for the lock. Raises Failed when another pod still holds it after `timeout` seconds."""
    start, next_log, delay = time.monotonic(), 0.0, 0.02
    while not try_lock(lock):
        waited = time.monotonic() - start
        if waited > timeout:
            raise Failed(f"timed out after waiting {format_duration(waited)} for the download by {holder(cache)}")
        if waited >= next_log:
            log(f"waiting for the download by {holder(cache)}")
            next_log = waited + LOG_INTERVAL
        time.sleep(delay * (0.5 + os.urandom(1)[0] / 256))  # jitter
        delay = min(delay * 1.5, 2.0)


def walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The paths below a directory with their status. Raises NotADirectoryError when it is not a directory."""
    pending = [folder]
    while pending:
        folder = pending.pop()
        with contextlib.suppress(FileNotFoundError):  # being deleted
            file = os.open(folder, FOLDER)
            try:
                with os.scandir(file) as entries:
                    for entry in entries:
                        with contextlib.suppress(FileNotFoundError):
                            status, path = entry.stat(follow_symlinks=False), folder / entry.name
                            if stat.S_ISDIR(status.st_mode):
                                pending.append(path)
                            yield path, status
            finally:
                os.close(file)


def measure(folder: Path) -> tuple[int, int]:
    """Count files and bytes."""
    files = size = 0
    for _, status in walk(folder):
        if not stat.S_ISDIR(status.st_mode):
            files, size = files + 1, size + status.st_size
    return files, size


def complete_record(cache: Cache) -> dict[str, Any] | None:
    """Return the record of a complete model; None when the model is missing or does not match it."""
    try:
        record = read_json(cache.record)
        return record if record["files"] and (record["files"], record["bytes"]) == measure(cache.model) else None
    except (ValueError, KeyError, TypeError):
        return None
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        return None


def delete(path: Path, on_progress: Callable[[int], object] = abs) -> None:
    """Delete a file or tree. Raises the last OSError, after deleting as much as possible.

    Each directory is moved to the top before it is emptied, so neither the depth nor links matter.
    """
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        path.unlink()
        return
    failures: list[OSError] = []
    top, pending = os.open(path, FOLDER), ["."]
    try:
        while pending:
            folder = pending.pop()
            with collect(failures):
                pending += empty(top, folder, on_progress, failures)
                if folder != ".":
                    os.rmdir(folder, dir_fd=top)
    finally:
        os.close(top)
    if failures:
        raise failures[-1]
    path.rmdir()


def empty(top: int, folder: str, on_progress: Callable[[int], object], failures: list[OSError]) -> list[str]:
    """Delete the files in a directory of `top`, and move its directories to `top`. Returns their names."""
    file, moved = os.open(folder, FOLDER, dir_fd=top), []
    try:
        for name in os.listdir(file):  # noqa: PTH208
            with collect(failures):
                status = os.stat(name, dir_fd=file, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    moved.append(name if folder == "." else os.urandom(16).hex())
                    os.rename(name, moved[-1], src_dir_fd=file, dst_dir_fd=top)
                else:
                    os.unlink(name, dir_fd=file)
                    on_progress(status.st_size)
    finally:
        os.close(file)
    return moved


@contextlib.contextmanager
def collect(failures: list[OSError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # another process deletes too
    except OSError as error:
        failures.append(error)


def delete_tree(cache: Cache, path: Path) -> None:
    """Rename a tree, then delete it. The next pod deletes what cannot be deleted now."""
    trash = cache.temporary_path("trash")
    with contextlib.suppress(FileNotFoundError):
        path.rename(trash)
        with contextlib.suppress(OSError):
            delete(trash)


def clean(cache: Cache, leftovers: list[Path]) -> None:
    """Remove leftovers, and a model and a record that do not match. The lock must be held."""
    for path in leftovers:
        log("removing leftovers of an interrupted download")
        with contextlib.suppress(OSError):  # other users' files can stay
            delete_tree(cache, path)
    if os.path.lexists(cache.model):
        log(f"removing {cache.key}: it has no record, or does not match it")
        delete_tree(cache, cache.model)
    delete_tree(cache, cache.record)


def mount_of(mounts: str, path: Path) -> str:
    """Type, source and options of the mount of `path`. `mounts` is /proc/self/mountinfo."""
    best, mount = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
        if len(point) >= len(best) and Path(point) in (path, *path.parents):
            best, mount = point, right
    return mount


def unsuitable_mount(mounts: str, path: Path) -> str:
    """Why the mount of `path` cannot be used as a cache, or "". `mounts` is /proc/self/mountinfo."""
    mount = mount_of(mounts, path)
    found = ((re.match(pattern, mount), reason) for pattern, reason in UNSUITABLE_MOUNTS)
    return next((match.expand(reason) for match, reason in found if match), "")


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise Failed(f"this claim cannot be used as a shared cache: {reason}. Use another claim, or no cache")


def rename_directory(source: Path, target: Path) -> bool:
    """Rename a directory. Returns False when the target exists and is not empty."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def read_mounts() -> str:
    return Path("/proc/self/mountinfo").read_text("utf-8", "replace")


def check_claim(work: Path, trust_locks: bool) -> None:
    """Raise Failed unless locks are exclusive and renames are atomic in this directory."""
    reason = unsuitable_mount(read_mounts(), work.resolve())
    require(trust_locks or not reason, reason)
    try:
        check_locks(work / "lock")
        check_rename(work / "from", work / "to")
    except OSError as error:
        require(error.errno in DISK_FULL, str(error))
        raise


def check_locks(path: Path) -> None:
    with open(path, "ab", opener=open_file) as second:
        with open(path, "ab", opener=open_file) as first:
            require(try_lock(first.fileno()) and not try_lock(second.fileno()), "its locks are not exclusive")
        require(try_lock(second.fileno()), "its locks are not released when the file is closed")


def check_rename(source: Path, target: Path) -> None:
    (source / "inner").mkdir(parents=True)
    source.rename(target)
    require((target / "inner").is_dir() and not source.exists(), "its renames are not atomic")
    (source / "inner").mkdir(parents=True)
    require(not rename_directory(source, target), "a rename replaces a directory that is not empty")


def prepare_child() -> Callable[[], None]:
    """Return the function that the downloader runs first: the kernel kills it when this process dies."""
    prctl, parent = None, os.getpid()
    with contextlib.suppress(ImportError, OSError, AttributeError):  # missing in some images
        import ctypes

        prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        if prctl:
            prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has exited. It is not reaped, so that its ID is not reused."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def terminate(process: subprocess.Popen[bytes]) -> int:
    """Stop the downloader and its children. Returns its exit status."""
    if not has_exited(process):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not has_exited(process) and time.monotonic() < deadline:
            time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def copy_output(process: subprocess.Popen[bytes], timeout: float) -> str:
    """Print the downloader's output until it exits; return the tail. Raises Failed after `timeout`."""
    tail, deadline = b"", time.monotonic() + timeout
    assert process.stdout
    streams = [process.stdout.fileno()]
    while True:
        exited = has_exited(process)  # checked before reading, so that no output is lost
        ready = select.select(streams, [], [], 0 if exited else 0.5 if streams else 0.02)[0]
        chunk = os.read(ready[0], 65536) if ready else b""
        if exited and not chunk:
            return tail.decode("utf-8", "replace")
        if ready and not chunk:
            streams = []
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        tail = (tail + chunk)[-1500:]
        if time.monotonic() > deadline:
            raise Failed(f"the download exceeded its time limit of {format_duration(timeout)}")


def run(command: list[str], lock: int, timeout: float) -> None:
    """Run the downloader. Raises Failed when it fails, and OSError when the disk is full."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until `process` is set
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
            preexec_fn=prepare_child(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        raise Failed(f"cannot start the downloader: {error}") from error
    with process:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            tail = copy_output(process, timeout)
        finally:
            status = terminate(process)
    if status and DISK_FULL_OUTPUT.search(tail):
        raise OSError(errno.ENOSPC, "No space left")
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        raise Failed(f"the downloader was killed, probably by the container's memory limit: raise it\n{tail}")
    if status:
        raise Failed(f"the downloader failed with exit status {status}:\n{tail}")


def sync(path: Path) -> None:
    """Sync a file or directory to disk."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # not supported here
            raise
    finally:
        os.close(file)


def sync_model(model: Path) -> None:
    """Sync the model to disk. Raises Failed for a link to a target outside it, and for FIFOs and devices."""
    log("downloaded; syncing to disk")
    root = os.path.realpath(model)
    for path, status in walk(model):
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)
            if target.startswith("/") or not is_inside(path, root):
                raise Failed(f"the model contains a link to a target outside of it: {path.name} -> {target}")
        elif stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            sync(path)
        else:
            raise Failed(f"the model contains a FIFO, a socket or a device: {path.name}")
    sync(model)


def is_inside(path: Path, root: str) -> bool:
    try:
        return os.path.realpath(path).startswith(root + "/")
    except RecursionError:  # a long chain of links
        return False


def publish(cache: Cache, work: Path, model: Path, uri: str) -> dict[str, Any]:
    """Rename the record and then the model to their final names. Returns the record."""
    files, count = measure(model)
    if not files:
        raise Failed("the downloader succeeded but wrote no files")
    record = {"uri": uri, "time": format_time(time.time()), "files": files, "bytes": count, "pod": pod_name()}
    temporary = work / "record"
    with temporary.open("x") as file:
        json.dump(record, file)
    sync(temporary)
    temporary.rename(cache.record)
    if not rename_directory(model, cache.model):
        raise Failed(f"{cache.key} was created by another pod: the claim's locks do not work")
    sync(cache.directory)
    return record


def download(lock: int, cache: Cache, options: Options) -> dict[str, Any]:
    """Clean, check the claim, download and publish. Removes everything on failure. The lock must be held."""
    write_holder(lock)
    leftovers, work = cache.leftovers(), cache.temporary_path("tmp")
    model = work / "model"
    try:
        work.mkdir()
        record = complete_record(cache)  # again, because mkdir invalidates the NFS cache
        if record:
            return record
        clean(cache, leftovers)
        check_claim(work, options.trust_locks)
        model.mkdir()
        log(f"downloading {options.uri}")
        path = str(options.root / options.directory / work.name / model.name)
        command = [re.sub(r"^\{\}(?=/|\Z)", lambda _: path, argument) for argument in options.command]
        run(command, lock, options.download_timeout)
        sync_model(model)
        return publish(cache, work, model, options.uri)
    finally:
        delete_tree(cache, work)


def ensure_model(options: Options) -> str:
    """Make the model available. Returns the message for the termination log."""
    start = time.monotonic()
    if not options.root.is_dir():
        raise Failed(f"no claim is mounted at {options.root}")
    folder = open_directory(options.root, options.directory)
    cache = Cache(Path(f"/proc/self/fd/{folder}"), options.key)  # nobody can replace it with a link
    lock = open_file(cache.lock, os.O_RDWR | os.O_CREAT)
    try:
        acquire(lock, cache, options.wait_timeout)
        record = complete_record(cache) or download(lock, cache, options)
        with contextlib.suppress(OSError):  # the file may belong to another user
            os.utime(cache.record, follow_symlinks=False)
    finally:
        os.close(lock)
    return (
        f"{options.uri} is available after {format_duration(time.monotonic() - start)}: {record['files']} files, "
        f"{format_size(record['bytes'])}, downloaded by pod {shown(record.get('pod'))} at {shown(record.get('time'))}. "
        "If it is pruned while this pod runs, a restarted container finds an empty directory: delete the pod then"
    )


def explain_denial(text: str, root: Path) -> str:
    """Explain that permissions are missing. The kubelet adds the pod's fsGroup to the process's groups."""
    groups, status = sorted({os.getgid(), *os.getgroups()}), root.stat()
    driver, mode = mount_of(read_mounts(), root).partition(" ")[0], f"{stat.S_IMODE(status.st_mode):o}"
    remedy = "Set fsGroup in the pod's securityContext: pods that share a cache need the same"
    if len(groups) > 1:
        remedy = (
            f"Its driver ({driver}) does not apply the pod's fsGroup, or other pods have another one: the claim "
            f"belongs to group {status.st_gid} with mode {mode}. Give it to a group of the pod, writable"
        )
    return f"the cache claim denies access to user {os.getuid()}, groups {groups}: {text}. {remedy}"


def explain(error: OSError, options: Options) -> str:
    """Explain a failed system call to the pod's author."""
    text = re.sub(r"/proc/self/fd/\d+", str(options.root / options.directory), str(error))
    if error.errno in DISK_FULL:
        disk = shutil.disk_usage(options.root)
        return (
            f"the cache claim is full: this model does not fit into {format_size(disk.free)} "
            f"of {format_size(disk.total)}. "
            "The partial download was removed; other models are unchanged. "
            "Enlarge the claim, or free space with `storage-webhook cache prune`"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return explain_denial(text, options.root)
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
        return f"the cache claim contains a link or a special file: {text}. Remove it"
    return f"I/O error on the cache claim: {text}"


def on_timeout(_signal: int, _frame: object) -> None:
    raise Failed("the download and the wait for it exceeded their time limits")


def write_termination_log(path: Path, message: str) -> None:
    log(message)
    with contextlib.suppress(OSError):
        path.write_text(message[:4000], "utf-8")


def on_signal(_signal: int, _frame: object) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # do not interrupt the cleanup
    raise Stopped


def main(arguments: list[str]) -> int:
    options, status = Options(arguments), 1
    os.umask(0o002)  # pods with the same fsGroup can delete each other's files
    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    signal.signal(signal.SIGALRM, on_timeout)  # whatever takes the time: a hostile claim, or a slow one
    signal.setitimer(signal.ITIMER_REAL, max(options.wait_timeout + options.download_timeout, 1), 60)
    try:
        message, status = ensure_model(options), 0
    except Stopped:
        message, status = "stopped by a signal; the partial download was removed", 143
    except Failed as failure:
        message = str(failure)
    except OSError as error:
        message = explain(error, options)
    write_termination_log(options.termination_log, message)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
