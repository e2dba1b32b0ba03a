"""Check that paths exist in mounted claims: the kubelet would create a missing one as an empty directory of root.

Runs in an init container with a third-party image: standard library only, Python 3.8 or newer.
It is passed as text: python3 -I -S -c THIS_FILE CLAIM KIND ROOT PATH ...
ROOT is the mount path of the claim's root, and KIND of the path in it is `directory` or `file`.

Exit status: 0 all paths exist, or cannot be read by this user; 1 for all others, with a sentence for each.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import sys
from pathlib import Path

PATH_TYPE = "annotation storage.kserve.io/path-type"
MAX_NAMES = 1000  # of a directory that are read
MAX_SHOWN = 8


def shown(name: str) -> str:
    """A name for messages, without control characters."""
    return re.sub(r"[^ -~]", "?", name[:253])


def similar(name: str, parent: Path) -> str:
    """Names in a directory: those that are similar, else some of them."""
    names = []
    with os.scandir(parent) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) == MAX_NAMES:
                break
    found = difflib.get_close_matches(name, names, 3) or sorted(names)[:MAX_SHOWN]
    return ", ".join(map(shown, found)) or "nothing"


def where_it_ends(root: Path, path: str) -> str:
    """Describe the first name of a missing path that is not a directory."""
    parent = root
    for name in Path(path).parts:
        inner = parent / name
        where = "its root" if parent == root else shown(str(parent.relative_to(root)))
        if inner.is_symlink() and not inner.exists():
            return f"{shown(name)} in {where} is a link to {shown(os.readlink(str(inner)))}, which is not in the claim"
        if not inner.exists():
            return f"{where} contains {similar(name, parent)}"
        if not inner.is_dir():
            return f"{shown(name)} in {where} is a file"
        parent = inner
    return "it has just been created"


def problem(claim: str, kind: str, root: Path, path: str) -> str:
    """Why a path cannot be mounted; "" if it can, or if this user may not look."""
    subject = f"claim {claim} has no path {shown(path)}"
    try:
        mode, real = (root / path).stat().st_mode, (root / path).resolve()
        if root.resolve() not in (real, *real.parents):
            return f"{subject}: it is a link to {shown(str(real))}, which is not in the claim"
    except PermissionError as error:
        print(f"cannot check path {shown(path)} of claim {claim} as user {os.getuid()}: {error.strerror}")
        return ""
    except (FileNotFoundError, NotADirectoryError):
        return f"{subject}: {where_it_ends(root, path)}"
    except OSError as error:
        return f"{subject}: {error.strerror}"
    actual = "directory" if stat.S_ISDIR(mode) else "file"
    if actual == kind:
        return ""
    return f"path {shown(path)} of claim {claim} is a {actual}, not a {kind}: set {PATH_TYPE} to {actual}"


def main(arguments: list[str]) -> None:
    status = 0
    for index in range(0, len(arguments), 4):
        claim, kind, root, path = arguments[index : index + 4]
        text = problem(claim, kind, Path(root), path)
        if text:
            print(text)
            status = 1
    sys.exit(status)
