"""The commands of init containers: the download program, and the check of paths in claims."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

from webhook.download.key import PATTERN
from webhook.errors import redacted

STOCK_COMMAND = ("/storage-initializer/scripts/initializer-entrypoint",)
"""The entry point of the image kserve/storage-initializer, whose containers set no command."""

HEAD = '"""Deliver a model. See docs/downloads.md of storage-initializer-webhook."""'
"""The first line of the download program."""
INTERPRETER = ("python3", "-I", "-S", "-c")
"""Python in isolated mode and without site packages, so that the image cannot change what the program imports."""


_NOTE = (
    "if the model is pruned while this pod runs, a restarted container finds an empty directory: delete the pod then"
)


@dataclass(frozen=True, slots=True)
class ClaimedPath:
    """A path in a claim that is mounted directly."""

    claim: str
    root: str
    """Mount path of the claim's root in the init container."""
    path: str
    is_file: bool


def check_command(paths: Iterable[ClaimedPath]) -> tuple[list[str], list[str]]:
    """Command and args of an init container that fails unless all paths exist."""
    fields = (field for each in paths for field in (each.claim, _kind(each), each.root, each.path))
    return [*INTERPRETER, _composition().path_check_text()], [_escape(field) for field in fields]


def _kind(path: ClaimedPath) -> str:
    return "file" if path.is_file else "directory"


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model and its path in the cache. Raises ValueError for a directory or key that would escape the claim."""

    uri: str
    """For messages and the record. The downloader has its own arguments."""
    root: str
    """Mount path of the claim's root in the init container."""
    directory: str
    """The cache directory in the claim; empty for its root."""
    key: str
    sha256: str = ""
    """The expected digest; "": none."""
    fs_group: int | None = None
    """The fsGroup of the pod, for messages."""
    copied: bool = False
    """The pod gets a copy of its own, at its mount path."""

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
    """Timeouts in seconds."""

    download: float = 7200
    """Timeout of a download and of the check of its digest."""
    wait: float = 7200
    """Timeout of the wait for another pod's download."""
    stall: float = 0
    """Timeout of a supervised download since the last byte. 0: none."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the program does beside the download."""

    supervise: bool = False
    """Log progress, and apply `limits.stall`."""
    limits: Limits = Limits()
    termination_log: str = "/dev/termination-log"

    def options(self, source: str, sha256: str) -> dict[str, Any]:
        """The options of every delivery. `source` is for messages."""
        stall = {"stall-timeout": self.limits.stall} if self.supervise else {}
        return {
            "source": redacted(source),
            "sha256": sha256,
            "timeout": self.limits.download,
            "links": "",
            "note": {},
            "termination-log": self.termination_log,
            **stall,
        }


def wrap_cached(
    command: Sequence[str],
    args: Sequence[str],
    model_path: str,
    model: CachedModel,
    delivery: Delivery,
) -> tuple[list[str], list[str]]:
    """Wrap the command of an init container so that one pod downloads the model and the others wait for it.

    Returns command and args. In `args`, `model_path` and paths in it are replaced with the directory of the download.
    Raises ValueError when `command` is empty: the entry point of the image is unknown.
    """
    if not command:
        raise ValueError("a container without a command cannot be wrapped")
    options = delivery.options(model.uri, model.sha256)
    options |= {"root": model.root, "dir": model.directory, "key": model.key, "wait-timeout": delivery.limits.wait}
    options |= {"note": {"note": _NOTE}, "advice": _advice(model.fs_group)}
    options |= {"copy": model_path} if model.copied else {}
    deliver = "copied" if model.copied else "in_cache"
    # With all parts, the program would be larger than a pod may have.
    supervise = delivery.supervise and not model.copied
    text = _composition().program_text(deliver, supervise=supervise, digest=bool(model.sha256))
    return [*INTERPRETER, text], [_argument(options), *command, *redirected(args, model_path)]


def _advice(fs_group: int | None) -> str:
    """What to do if the claim denies access."""
    if fs_group is None:
        return "Set fsGroup in the pod's securityContext: pods that share a cache need the same"
    return f"The claim's driver does not apply fsGroup {fs_group}, or other pods have another one"


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a pod that are not in a shared cache: the expected SHA-256 by the path, "" where there is none."""

    source: str
    """Where they come from, for messages."""
    digests: Mapping[str, str]
    links: str = ""
    """The mount path of a claim that links in the models may lead to."""

    def options(self, delivery: Delivery) -> dict[str, Any]:
        """The options of the program. The result has a digest if there is one model."""
        only = next(iter(self.digests.values())) if len(self.digests) == 1 else ""
        return delivery.options(self.source, only) | {"models": dict(self.digests), "links": self.links}


def wrap_in_place(
    command: Sequence[str], args: Sequence[str], models: Models, delivery: Delivery
) -> tuple[list[str], list[str]]:
    """Wrap the command of an init container so that the download is supervised, or its digest checked.

    Returns command and args.
    """
    text = _composition().program_text("in_place", supervise=delivery.supervise, digest=any(models.digests.values()))
    return [*INTERPRETER, text], [_argument(models.options(delivery)), *command, *args]


def check_models(models: Models, delivery: Delivery) -> tuple[list[str], list[str]]:
    """Command and args of an init container that checks models which are mounted."""
    return [*INTERPRETER, _composition().program_text("check", digest=True)], [_argument(models.options(delivery))]


def is_wrapped(words: Sequence[object]) -> bool:
    """Whether the command or the arguments of a container have the program, wherever others may have moved it."""
    return any(str(word).startswith(HEAD) for word in words)


def redirected(args: Sequence[str], model_path: str) -> list[str]:
    """The arguments with the placeholder of the download program instead of `model_path`."""
    return [_redirect(arg, model_path) for arg in args]


def _redirect(arg: str, model_path: str) -> str:
    if arg == model_path or arg.startswith(model_path + "/"):
        return "{}" + arg[len(model_path) :]
    return arg


def _composition() -> ModuleType:
    """The module that composes the programs. Most pods need none, and it takes milliseconds to import."""
    from webhook.download import composition  # noqa: PLC0415

    return composition


def _argument(options: Mapping[str, Any]) -> str:
    return _escape(json.dumps(options, ensure_ascii=False))


def _escape(argument: str) -> str:
    """Escape the argument, so that Kubernetes passes it on as it is.

    Kubernetes replaces `$$` with `$` before it looks at what follows (EnvVar: `$$(NAME)`), so each `$` is doubled.
    """
    return argument.replace("$", "$$")
