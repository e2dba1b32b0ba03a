"""Download a model once into a directory that pods share; other pods wait for the download.

The cache directory (--dir in the claim mounted at --root) contains for each key:
  <key>/                 a complete model
  .<key>.complete        its record: uri, sha256, time, files, bytes, pod as JSON; its mtime is the last use
  .<key>.lock            locked (flock) by the pod that downloads, and contains its name
  .<key>.<random>.tmp    a download in progress; if the lock is free, an interrupted one
  .<key>.<random>.trash  being deleted
A model is published with a rename. Paths are renamed before they are deleted, so a partly deleted
model is never visible. The downloader inherits the lock, so it is held as long as anything writes.
Whoever can write to the claim is not trusted: links are not followed, and only regular files are read.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from webhook.download.program.process import (
    Failed,
    Options,
    Result,
    Verify,
    Watch,
    check_mounts,
    fail,
    limit,
    log,
    measure,
    plain,
    run,
    walk,
)

MAX_RECORD = 65536  # bytes
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Not what a pod writes.
UNUSABLE = errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG
UNSUITABLE = re.compile(  # "type source options" of a mount whose locks other nodes do not see
    r".*[ ,](nolock|local_lock=(all|flock)|nobrl|localflock|noflock)\b"
    r"|(?!fuse\.(ceph|glusterfs|juicefs|mfs)\b)(fuse(?!blk )\S*|virtiofs|9p) \S+"
)


class Cache:
    """The paths of a key in the cache directory."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory, self.key, self.model = directory, key, directory / key
        self.record, self.lock = self.path("complete"), self.path("lock")

    def path(self, kind: str) -> Path:
        return self.directory / f".{self.key}.{kind}"

    def new_path(self, kind: str) -> Path:
        return self.path(f"{os.urandom(6).hex()}.{kind}")


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def shown(value: object) -> str:
    """A text from a file in the claim, for messages."""
    return re.sub(r"[^\w.:, -]", "?", str(value)[:300])


def open_directory(root: str, directory: str) -> int:
    """Open a directory below the root, or create it, without following links."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for part in Path(directory).parts:
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
        folder = os.open(part, os.O_PATH | FOLDER, dir_fd=folder)
    return folder


def open_file(path: str | Path, flags: int) -> int:
    """Open a regular file. Raises OSError ELOOP for a link, a FIFO and other files."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode) and status.st_nlink < 2:
        return file
    os.close(file)
    raise OSError(errno.ELOOP, "not a plain file", str(path))


def read(path: Path) -> str:
    """The start of a file: as much as a record has at most."""
    with open(path, errors="replace", opener=open_file) as file:
        return file.read(MAX_RECORD)


def try_lock(lock: int) -> bool:
    """Try to lock an open file. Raises OSError when the file system has no locks."""
    with suppress(BlockingIOError, PermissionError):  # SMB: EACCES
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def holder(cache: Cache) -> str:
    """The pod that holds the lock. On SMB, a locked file cannot be read."""
    with suppress(OSError):
        return shown(read(cache.lock))
    return "another pod"


def acquire(lock: int, cache: Cache) -> None:
    """Wait for the lock."""
    tries = 0
    while not try_lock(lock):
        if tries % 20 == 0:
            log(f"waiting for the download by {holder(cache)}")
        tries += 1
        time.sleep(min(tries / 40, 2))


def complete_record(cache: Cache) -> dict[str, Any] | None:
    """Return the record of a complete model; None when the model is missing or does not match it."""
    try:
        record: dict[str, Any] = json.loads(read(cache.record))
        os.close(os.open(cache.model, FOLDER))  # no link
        found = measure(walk(str(cache.model), os.lstat, fail))
        return record if found["files"] and {**record, **found} == record else None
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def delete(cache: Cache, path: Path) -> None:
    """Rename a tree, then delete it. The next pod deletes what cannot be deleted now."""
    trash = cache.new_path("trash")
    with suppress(OSError):
        path.rename(trash)
        subprocess.call(["rm", "-rf", str(trash)])  # unlike the standard library, of any depth
    shutil.rmtree(trash, True)  # an image may have no rm


def unsuitable_mount(mounts: str, device: int) -> str:
    """The mount of a device if it cannot be used as a cache, or "". `mounts` is /proc/self/mountinfo."""
    for line in mounts.splitlines():
        found = UNSUITABLE.match(line.partition(" - ")[2])
        if found and line.split()[2] == f"{os.major(device)}:{os.minor(device)}":
            return found[0]
    return ""


def sync(path: str | Path) -> None:
    """Sync a file or directory to disk."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported here
            raise
    os.close(file)


def publish(cache: Cache, work: Path, options: Options) -> dict[str, Any]:
    """Sync the model to disk, and rename the record and the model to their final names. Returns the record."""
    model, temporary = work / "model", work / "record"
    found = [*plain(str(model))]
    for path, status in found:
        if not stat.S_ISLNK(status.st_mode):
            sync(path)
    about = {"uri": options["source"], "sha256": options["sha256"], "time": now(), "pod": os.environ.get("HOSTNAME")}
    record = {**about, **measure(found)}
    if not record["files"]:
        raise Failed("not-found: the downloader wrote no files")
    temporary.write_text(json.dumps(record))
    sync(model)
    sync(temporary)
    temporary.rename(cache.record)
    model.rename(cache.model)
    sync(cache.directory)
    return record


def explain(error: OSError, options: Options) -> str:
    """Explain a failed system call to the pod's author."""
    text = re.sub(r"/proc/\d+/fd/\d+", f"{options['root']}/{options['dir']}", str(error))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        disk = shutil.disk_usage(options["root"])
        return f"is full: the model does not fit into {disk.free >> 20} MiB of {disk.total >> 20} MiB"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"denies access to user {os.getuid()}, groups {os.getgroups()}: {text}. {options['advice']}"
    return f"contains a link or a special file: {text}" if error.errno in UNUSABLE else f"failed: {text}"


def download(cache: Cache, options: Options, fetch: Callable[[str], object]) -> dict[str, Any]:
    """Clean, check the claim, download and publish. Removes everything on failure. The lock must be held."""
    leftovers, work = [*cache.directory.glob(f".{cache.key}.*.t*")], cache.new_path("tmp")
    try:
        work.mkdir()
        record = complete_record(cache)  # again, because mkdir invalidates the NFS cache
        if record:
            return record
        for path in (*leftovers, cache.model, cache.record):
            if os.path.lexists(path):
                log(f"removing {path.name}: it is incomplete")
                delete(cache, path)
        mount = unsuitable_mount(Path("/proc/self/mountinfo").read_text(errors="replace"), os.stat(work).st_dev)
        if mount:
            raise Failed(f"disk: this claim cannot hold a shared cache: other nodes do not see its locks ({mount})")
        (work / "model").mkdir()
        log(f"downloading {options['source']}")
        fetch(f"{options['root']}/{options['dir']}/{work.name}/model")
        return publish(cache, work, options)
    finally:
        delete(cache, work)


def in_cache(options: Options, command: list[str], watch: Watch, verify: Verify) -> Result:
    """Find the model in the cache, or download it."""
    os.umask(0o002)  # pods with the same fsGroup can delete each other's files

    def fetch(path: str) -> None:
        with suppress(OSError):  # a full disk must not prevent cleaning it
            os.pwrite(lock, f"pod {os.environ.get('HOSTNAME')}, since {now()}".ljust(300).encode(), 0)
        run([re.sub(r"^\{\}(?=/|\Z)", lambda _: path, each) for each in command], watch(options, [path]), lock)
        verify(options, {path: options["sha256"]})

    try:
        # Nobody can replace this path with a link.
        folder = f"/proc/{os.getpid()}/fd/{open_directory(options['root'], options['dir'])}"
        cache = Cache(Path(folder), options["key"])
        lock = open_file(cache.lock, os.O_RDWR | os.O_CREAT)
        limit(options["wait-timeout"], "the wait")
        acquire(lock, cache)
        limit(options["timeout"], "the download")
        record = complete_record(cache) or download(cache, options, fetch)
        with suppress(OSError):  # the file may belong to another user
            os.utime(cache.record, follow_symlinks=False)
    except OSError as error:
        raise Failed(f"disk: the cache claim {explain(error, options)}") from error
    os.close(lock)  # others need not wait for what follows
    log(shown(f"downloaded by pod {record.get('pod')} at {record.get('time')}"))
    return {**record, "path": str(cache.model)}


def copied(options: Options, command: list[str], watch: Watch, verify: Verify) -> Result:
    """Find the model in the cache, or download it, and copy it to a volume of the pod."""
    target = options["copy"]
    check_mounts([target])
    record = in_cache(options, command, watch, verify)
    for entry in os.scandir(target):  # of an earlier try
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    for entry in os.scandir(record["path"]):  # not the directory itself: the target belongs to root
        copy = f"{target}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            shutil.copytree(entry.path, copy, True)
        else:
            shutil.copy2(entry.path, copy, follow_symlinks=False)
    verify(options, {target: options["sha256"]})
    return record
