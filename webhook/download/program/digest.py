"""Check the digest of a model: SHA-256 of a file, or of the manifest of a directory."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Iterator

from webhook.download.program.process import Failed, Models, Options, Result, Verify, Watch, measure, plain, walk
from webhook.download.program.progress import Progress

LEFT_OUT = ".cache/huggingface/"  # of the downloader


def contents(root: str, links: str) -> Iterator[tuple[bytes, str, int]]:
    """The relative path, the path and the size of each file in a directory. Raises Failed for a nested link."""
    for path, _ in plain(root, links):
        relative, status = path[len(root) + 1 :], os.stat(path)
        if stat.S_ISREG(status.st_mode) and not relative.startswith(LEFT_OUT):
            yield os.fsencode(relative), path, status.st_size
        elif os.path.islink(path):  # the initializer makes such links into a claim
            for name, file, size in contents(path, links):
                yield os.fsencode(relative) + b"/" + name, file, size


def digests(path: str, links: str = "") -> list[str]:
    """The SHA-256 of a file, or of a directory's manifest; after it, that of the only file in a directory.

    The manifest has for each file, sorted by the bytes of its path: path NUL size NUL SHA-256 LF.
    """
    is_folder, manifest, own, done = os.path.isdir(path), hashlib.sha256(), [], 0
    found = sorted(contents(path, links)) if is_folder else [(b"", path, os.stat(path).st_size)]
    progress = Progress(f"checking {sum(size for _, _, size in found) >> 20} MiB")
    for name, file, size in found:
        content = hashlib.sha256()
        with open(file, "rb") as stream:
            for chunk in iter(lambda: stream.read(2**20), b""):
                content.update(chunk)
                done += len(chunk)
                progress.report(done)
        own = [content.hexdigest()]
        manifest.update(b"%s\0%d\0%s\n" % (name, size, own[0].encode()))
    return [manifest.hexdigest()] * is_folder + own * (len(found) == 1)


def verify(options: Options, models: Models) -> None:
    """Raise Failed when a model with a digest has another one."""
    for path, wanted in models.items():
        found = digests(path, options["links"]) if wanted else [wanted]
        if wanted not in found:
            raise Failed(f"digest: SHA-256 of {path} is {found[0]}, not {wanted}")


def check(options: Options, _command: list[str], _watch: Watch, verify: Verify) -> Result:
    """Check models that are mounted already."""
    models = options["models"]
    missing = [path for path in models if not os.path.exists(path)]
    if missing:
        raise Failed(f"not-found: the claim does not contain {missing[0]}")
    verify(options, models)
    files = [(path, os.stat(path)) for path in models if os.path.isfile(path)]
    return {**measure([*files, *(each for path in models for each in walk(path))]), "sha256": options["sha256"]}
