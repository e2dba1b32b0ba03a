"""The image of this program, made from the packages that are installed for the tests."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import webhook
from tests.node import containerd, images, rootfs
from tests.node.images import Image, Layer

REPOSITORY, TAG = "example.com/storage-webhook", "1"
_SITE_PACKAGES = f"{rootfs.HOME}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
_PROGRAM = f"{rootfs.HOME}/bin/storage-webhook"
_IMAGE = Image(f"{REPOSITORY}:{TAG}", ["python", "program"], {"Entrypoint": [_PROGRAM], "User": "65532"})
_START = f"#!{rootfs.HOME}/bin/python3\nfrom webhook.__main__ import main\nmain()\n"
_LEFT_OUT = ("../", "kubernetes/aio/")
"""Scripts, and what the Dockerfile removes."""


def load(directory: Path) -> None:
    """Make the image, and import it into the containerd of the node with this directory."""
    with TemporaryDirectory(dir=directory) as name:
        archive = Path(name) / "image.tar"
        images.write(archive, Path(name), [_IMAGE], {"python": Layer(rootfs.python()), "program": _program()})
        containerd.ctr(directory, "images", "import", archive)


def _program() -> Layer:
    files = {f"{_SITE_PACKAGES}/{path}": source for path, source in _installed()}
    return Layer({**files, **rootfs.loaded_by(files)}, {_PROGRAM: _START.encode()})


def _installed() -> Iterator[tuple[str, Path]]:
    """The files of the program and of the packages that it needs, by their path among the site packages."""
    package = Path(webhook.__file__).parent
    for source in package.rglob("*.*"):
        yield f"{package.name}/{source.relative_to(package)}", source
    for name in _needed("storage-initializer-webhook", set()):
        for file in distribution(name).files or ():
            if not str(file).startswith(_LEFT_OUT) and (source := Path(str(file.locate()))).is_file():
                yield str(file), source


def _needed(name: str, found: set[str]) -> set[str]:
    """`found`, the distribution, and those that it requires here, without extras."""
    if name not in found and _is_installed(name):
        found.add(name)
        for requirement in distribution(name).requires or ():
            if "extra ==" not in requirement:
                _needed(re.split(r"[^\w.-]", requirement)[0], found)
    return found


def _is_installed(name: str) -> bool:
    try:
        return bool(distribution(name))
    except PackageNotFoundError:  # for other platforms or versions of Python
        return False
