"""The commands of the init containers: the download into the shared cache, and the check of paths in claims."""

import ast
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from webhook.download.key import PATTERN
from webhook.errors import redacted

STOCK_COMMAND = ("/storage-initializer/scripts/initializer-entrypoint",)
"""The entry point of the image kserve/storage-initializer, whose containers set no command."""

INTERPRETER = ("python3", "-I", "-S", "-c")
"""Python in isolated mode and without site packages, so that the image cannot change what the program imports."""


def shortened(source: str) -> str:
    """The source without docstrings except the module's, comments and empty lines, and with an indent of one space.

    No other text in the source may have several lines.
    """
    lines = dict(enumerate(source.splitlines(), 1))
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT:
            lines[token.start[0]] = token.line[: token.start[1]]
    module = ast.parse(source)
    head = module.body[0].end_lineno or 0
    for node in ast.walk(module):
        # A docstring that is the only statement is needed.
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) and len(node.body) > 1:
            for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1):
                del lines[number]
    body = [_indented(line) for number, line in lines.items() if number > head and line.strip()]
    return "\n".join([*source.splitlines()[:head], *body, ""])


def _indented(line: str) -> str:
    code = line.strip()
    return " " * ((len(line) - len(line.lstrip())) // 4) + code


@cache
def program_text(name: str = "program") -> str:
    """A program of this package, by default the one that downloads. It is shortened, because it is part of pods.

    It contains no dollar sign, so Kubernetes expands no variables in it.
    """
    return shortened(Path(__file__).with_name(f"{name}.py").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class ClaimedPath:
    """A path in a claim that is mounted as a directory or as a file."""

    claim: str
    root: str
    """Mount path of the claim's root in the init container."""
    path: str
    is_file: bool


def check_command(paths: Iterable[ClaimedPath]) -> tuple[list[str], list[str]]:
    """Command and args of an init container that fails unless all paths exist."""
    fields = (field for each in paths for field in (each.claim, _kind(each), each.root, each.path))
    return [*INTERPRETER, program_text("path_check")], [_escape(field) for field in fields]


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
    """Timeouts in seconds, and whether file locks are trusted."""

    download: int = 7200
    """Timeout of a download."""
    wait: int = 7200
    """Timeout of the wait for another pod's download."""
    trust_locks: bool = False
    """Accept a file system whose locks may not be visible to other nodes."""


def wrap_command(
    command: Sequence[str], args: Sequence[str], model_path: str, model: CachedModel, limits: Limits
) -> tuple[list[str], list[str]]:
    """Wrap the command of an init container so that one pod downloads the model and the others wait for it.

    Returns command and args. In `args`, `model_path` and paths in it are replaced with the directory of the download.
    Raises ValueError when `command` is empty: the entry point of the image is unknown.
    """
    if not command:
        raise ValueError("a container without a command cannot be wrap_command")
    downloader = [*command, *redirected(args, model_path)]
    return [*INTERPRETER, program_text()], [*_options(model, limits), "--", *downloader]


def _options(model: CachedModel, limits: Limits) -> list[str]:
    options = {
        "root": model.root,
        "dir": model.directory,
        "key": model.key,
        "uri": redacted(model.uri),
        "download-timeout": limits.download,
        "wait-timeout": limits.wait,
        "trust-locks": str(limits.trust_locks).lower(),
    }
    return [_escape(f"--{name}={value}") for name, value in options.items()]


def redirected(args: Sequence[str], model_path: str) -> list[str]:
    """The arguments with the placeholder of the download program instead of `model_path`."""
    return [_redirect(arg, model_path) for arg in args]


def _redirect(arg: str, model_path: str) -> str:
    if arg == model_path or arg.startswith(model_path + "/"):
        return "{}" + arg[len(model_path) :]
    return arg


def _escape(argument: str) -> str:
    """Escape the argument, so that Kubernetes passes it on as it is.

    Kubernetes replaces `$$` with `$` before it looks at what follows (EnvVar: `$$(NAME)`), so each `$` is doubled.
    """
    return argument.replace("$", "$$")
