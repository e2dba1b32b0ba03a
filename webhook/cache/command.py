"""The init container's command, made to download into the cache."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from webhook.cache.key import PATTERN

STOCK_COMMAND = ("/storage-initializer/scripts/initializer-entrypoint",)
"""The entry point of the image kserve/storage-initializer, whose containers name no command."""

INTERPRETER = ("python3", "-I", "-S", "-c")
"""Python without the image's own additions: nothing there can change what the wrapper imports."""

WRAPPER = Path(__file__).with_name("wrapper.py").read_text("utf-8")
"""The wrapper's source. It has no dollar sign, which Kubernetes would take for a variable reference."""


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model and its place in the cache. Raises ValueError for a directory or key that would lead out of it."""

    uri: str
    """For messages and the record; the downloader has its own arguments."""
    root: str
    """Where the claim's root is mounted in the init container."""
    directory: str
    """The cache directory in the claim; empty for its root."""
    key: str

    def __post_init__(self) -> None:
        if not PATTERN.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is not a cache key")
        if PurePosixPath(self.directory).is_absolute() or ".." in PurePosixPath(self.directory).parts:
            raise ValueError(f"{self.directory!r} is not a directory inside the claim")

    @property
    def sub_path(self) -> str:
        """The complete model's path in the claim, as a volume mount's subPath."""
        return str(PurePosixPath(self.directory) / self.key)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds, and what is taken on trust."""

    download: int = 7200
    """After this long a download is stopped."""
    wait: int = 7200
    """After this long a pod gives up on another pod's download."""
    trust_locks: bool = False
    """Use a file system whose locks are not known to reach other nodes."""


def wrapped(
    command: Sequence[str], args: Sequence[str], model_path: str, model: CachedModel, limits: Limits
) -> tuple[list[str], list[str]]:
    """Command and args by which the init container downloads once, or waits for the pod that does.

    `command` and `args` are the container's own; each argument that is `model_path` or a path in it is
    turned to the place of the download.

    Raises ValueError when `command` is empty: the image's entry point cannot be known from outside.
    """
    if not command:
        raise ValueError("a container that names no command cannot be wrapped")
    downloader = [*command, *(_redirected(arg, model_path) for arg in args)]
    return [*INTERPRETER, WRAPPER], [*_options(model, limits), "--", *downloader]


def _options(model: CachedModel, limits: Limits) -> list[str]:
    options = {
        "root": model.root,
        "dir": model.directory,
        "key": model.key,
        "uri": shown(model.uri),
        "download-timeout": limits.download,
        "wait-timeout": limits.wait,
        "trust-locks": str(limits.trust_locks).lower(),
    }
    return [_literal(f"--{name}={value}") for name, value in options.items()]


def shown(uri: str) -> str:
    """The URI without what may be secret: a user with a password, a signature in the query."""
    bare, query, _ = uri.partition("?")
    return re.sub(r"//[^/@]*@", "//***@", bare) + ("?***" if query else "")


def _redirected(arg: str, model_path: str) -> str:
    """The argument with the wrapper's placeholder instead of `model_path`."""
    if arg == model_path or arg.startswith(model_path + "/"):
        return "{}" + arg[len(model_path) :]
    return arg


def _literal(option: str) -> str:
    """The option as Kubernetes passes it on unchanged: `$(NAME)` would become a variable's value."""
    return option.replace("$(", "$$(")
