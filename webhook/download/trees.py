"""Directories of a claim that is not trusted: opened without following links, walked and deleted at any depth."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def open_directory(root: Path, directory: str) -> int:
    """Open a directory below the root without following links."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for part in Path(directory).parts:
        parent = folder
        try:
            folder = os.open(part, os.O_PATH | FOLDER, dir_fd=parent)
        finally:
            os.close(parent)
    return folder


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
