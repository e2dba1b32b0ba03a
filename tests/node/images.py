"""The images of the tests, made from files of this machine: no registry is needed.

An image is a docker-archive that `ctr images import` reads:
https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format
"""

import hashlib
import io
import json
import os
import platform
import random
import re
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.controlplane.console import run
from tests.initializer import environment
from tests.node import kerberos, rootfs
from tests.node.rootfs import Files
from webhook.download.command import STOCK_COMMAND

USER = 1000
"""The user of KServe's image, who owns the directory where models are mounted."""
MODEL = {"model.bin": random.Random(16).randbytes(100_000), "config/config.json": b"{}"}
"""The files of the modelcar's image."""


@dataclass(frozen=True)
class Layer:
    """Files of this machine, files with these contents, and directories with their owner."""

    files: Files = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)
    directories: Mapping[str, int] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the layer as a tar archive. All files belong to root and can be read by all."""
        with tarfile.open(path, "w") as archive:
            for name, owner in self.directories.items():
                archive.addfile(_member(name, type=tarfile.DIRTYPE, mode=0o755, uid=owner, gid=owner))
            for name, source in self.files.items():
                mode = 0o755 if os.access(source, os.X_OK) else 0o644
                size, modified = source.stat().st_size, int(source.stat().st_mtime)
                with source.open("rb") as file:
                    archive.addfile(_member(name, mode=mode, size=size, mtime=modified), file)
            for name, content in self.contents.items():
                archive.addfile(_member(name, mode=0o755, size=len(content)), io.BytesIO(content))


@dataclass(frozen=True)
class Image:
    """An image's name, its layers by name, and its configuration."""

    name: str
    layers: Sequence[str]
    config: Mapping[str, Any] = field(default_factory=dict)


SERVER = "example.com/server:1"
INITIALIZER = "kserve/storage-initializer:v0.21.0"
PAUSE = "example.com/pause:1"
MODELCAR = "example.com/modelcar:1"

IMAGES = (
    Image(PAUSE, ["shell"], {"Entrypoint": ["/bin/sleep", "infinity"]}),
    Image(SERVER, ["shell", "python"]),
    Image(INITIALIZER, ["shell", "python", "initializer"], {"Entrypoint": list(STOCK_COMMAND), "User": str(USER)}),
    Image(MODELCAR, ["shell", "model"]),
)


def _initializer(scratch: Path) -> Layer:
    """KServe's downloader at its entry point, with the versions of the lock files."""
    target, unpacked = scratch / "packages", kerberos.unpack(scratch / "kerberos")
    pinned = re.findall(r"^\S+==\S+$", environment.IN.read_text() + kerberos.IN.read_text(), re.MULTILINE)
    uv = (Path(sys.executable), "-m", "uv", "pip", "install", "--target", target, "--compile-bytecode")
    locks = ("--constraint", environment.LOCK, "--constraint", kerberos.LOCK, "--build-constraint", kerberos.LOCK)
    run([*uv, "--require-hashes", *locks, *pinned], kerberos.environment(unpacked))
    return Layer(
        rootfs.packages(target, unpacked),
        {STOCK_COMMAND[0]: f"#!{rootfs.HOME}/bin/python3\n".encode() + environment.ENTRYPOINT.read_bytes()},
        {"/mnt": USER, "/home/kserve": USER},
    )


def write_archive(path: Path, scratch: Path) -> None:
    """Write the images that all runs share to one archive. `scratch` is a directory for intermediate files."""
    layers = {
        "shell": Layer(rootfs.shell(), {"/etc/passwd": _PASSWD}, {"/tmp": USER}),
        "python": Layer(rootfs.python()),
        "initializer": _initializer(scratch),
        "model": Layer(contents={f"/models/{name}": content for name, content in MODEL.items()}),
    }
    write(path, scratch, IMAGES, layers)


def write(path: Path, scratch: Path, images: Sequence[Image], layers: Mapping[str, Layer]) -> None:
    """Write these images to one archive."""
    for name, layer in layers.items():
        layer.write(scratch / f"{name}.tar")
    with tarfile.open(path, "w") as archive:
        digests = {name: _add_layer(archive, scratch / f"{name}.tar") for name in layers}
        manifest = [_add_config(archive, image, [digests[name] for name in image.layers]) for image in images]
        _add(archive, "manifest.json", json.dumps(manifest).encode())


_PASSWD = f"root:x:0:0::/root:/bin/sh\nkserve:x:{USER}:{USER}::/home/kserve:/bin/sh\n".encode()


def _add_layer(archive: tarfile.TarFile, path: Path) -> str:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    archive.add(path, f"{digest}/layer.tar")
    return digest


def _add_config(archive: tarfile.TarFile, image: Image, digests: list[str]) -> dict[str, Any]:
    """Add the image's configuration. Returns its entry in the manifest."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {"Env": [f"PATH={rootfs.HOME}/bin:/bin"], **image.config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    content = json.dumps(config).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    _add(archive, name, content)
    return {"Config": name, "RepoTags": [image.name], "Layers": [f"{digest}/layer.tar" for digest in digests]}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_member(name, size=len(content)), io.BytesIO(content))


def _member(name: str, **attributes: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name.removeprefix("/"))
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member
