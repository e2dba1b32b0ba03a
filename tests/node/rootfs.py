"""Files for images, taken from this machine: its Python, a shell, and the libraries that they load."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.controlplane import debian

COMMANDS = ("sh", "cat", "ln", "ls", "sleep", "test", "true")
"""Programs of the images besides Python."""
NOT_NEEDED = re.compile(
    r"(site-packages|dist-packages|test|idlelib|ensurepip|lib2to3|tkinter|turtledemo|config-[^/]+)/"
    r"|lib-dynload/_tkinter\.|.*\.opt-[12]\.pyc$"
)
"""Parts of the standard library that stay out of the images."""
HOME = "/usr/local"
"""Where Python is in the images."""

Files = Mapping[str, Path]
"""Paths in an image, and the files on this machine that they are copies of."""


def shell() -> Files:
    """A shell and a few commands."""
    commands = {f"/bin/{name}": Path(shutil.which(name) or f"/bin/{name}").resolve() for name in COMMANDS}
    return {**commands, **libraries(commands.values())}


def python() -> Files:
    """The Python that runs the tests, without packages."""
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    library = Path(sysconfig.get_path("stdlib"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    modules = _tree(library, f"{HOME}/lib/{version}", NOT_NEEDED)
    programs = {f"{HOME}/bin/{name}": interpreter for name in (version, "python3", "python")}
    return {**modules, **programs, **libraries([interpreter, *_extensions(modules)])}


def packages(directory: Path, unpacked: Path) -> Files:
    """Installed packages, as site packages of the image's Python, with libraries of the packages in `unpacked`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    files = _tree(directory, f"{HOME}/lib/{version}/site-packages", re.compile("bin/"))
    return {**files, **loaded_by(files, unpacked)}


def loaded_by(files: Files, unpacked: Path | None = None) -> Files:
    """The shared libraries that extension modules among the files load; see `libraries`."""
    return libraries(_extensions(files), unpacked)


def _tree(directory: Path, target: str, leave_out: re.Pattern[str]) -> Files:
    """All files below the directory whose path in it does not match `leave_out`."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    named = ((str(path.relative_to(directory)), path) for path in found)
    return {f"{target}/{name}": path for name, path in named if not leave_out.match(name)}


def _extensions(files: Files) -> list[Path]:
    return [path for name, path in files.items() if ".so" in name.rpartition("/")[2]]


def libraries(programs: Iterable[Path], unpacked: Path | None = None) -> Files:
    """The shared libraries that the programs load, at the paths where the linker finds them.

    Those of Debian's packages that are unpacked in a directory come before those of this machine.
    """
    root, environment = (str(unpacked), debian.environment(unpacked)) if unpacked else ("", os.environ)
    linked = subprocess.run(["ldd", *programs], env=environment, capture_output=True, text=True, check=False)
    paths = set(re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", linked.stdout, re.MULTILINE))
    return {path.removeprefix(root): Path(path).resolve() for path in paths}
