"""Chromium and its fonts, from Debian's packages: `python -m tests.browser.chromium` unpacks them into the cache.

Nothing is installed. Where there is no apt, a Chromium that is installed is used.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from tests.controlplane import binaries, debian
from tests.controlplane.console import ObtainError, say
from tests.controlplane.obtain import locked

PACKAGES = ("chromium", "fonts-inter", "fonts-jetbrains-mono")
_INSTALLED = ("chromium", "chromium-browser", "google-chrome")
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{directory}/usr/share/fonts</dir>
  <cachedir>{directory}/font-cache</cachedir>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>JetBrains Mono</family></prefer></alias>
</fontconfig>
"""


def main() -> int:
    """Obtain Chromium. Returns 1 if that fails."""
    if needed := missing():
        say(f"The tests in a browser (tests/browser) do not run here: they need {needed}.")
        return 0
    try:
        obtain()
    except (ObtainError, OSError) as error:
        say(f"Chromium cannot be obtained: {error}. Install it, or run `make browser` with network access")
        return 1
    return 0


def missing() -> str:
    """What this machine lacks to obtain or run Chromium; empty if it lacks nothing."""
    if _runs(_unpacked()) or _installed():
        return ""
    absent = [name for name in debian.COMMANDS if not shutil.which(name)]
    return f"an installed Chromium, or {' and '.join(absent)} to download it" if absent else ""


def obtain() -> None:
    """Unpack Chromium into the cache, if it is not there or does not run any more. Raises ObtainError."""
    if _runs(_unpacked()) or _installed():
        return
    cache = binaries.cache_directory()
    with locked(cache), TemporaryDirectory(prefix=".obtain-", dir=cache) as scratch:
        if _runs(_unpacked()):
            return
        say("Downloading Debian's package chromium and what it depends on, 120 MB (once)")
        unpacked = debian.unpack(PACKAGES, Path(scratch), dependencies=True)
        # Libraries that an unpacked one needed from the machine may be gone.
        shutil.rmtree(_directory(), ignore_errors=True)
        unpacked.rename(_directory())
    if not _runs(_unpacked()):
        raise ObtainError(f"{_unpacked()} does not run")


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """A headless Chromium. As root it has no sandbox, and it opens only pages of the tests' own server."""
    program = _unpacked() if _runs(_unpacked()) else _installed()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, env=_environment(), chromium_sandbox=os.geteuid() != 0
        )
        try:
            yield browser
        finally:
            browser.close()


def _directory() -> Path:
    return binaries.cache_directory() / "chromium"


def _unpacked() -> Path:
    return _directory() / "usr" / "lib" / "chromium" / "chromium"


def _installed() -> Path | None:
    return next((Path(path) for name in _INSTALLED if (path := shutil.which(name))), None)


def _environment() -> dict[str, str | float | bool]:
    """The libraries and fonts of the unpacked packages; nothing for an installed Chromium."""
    if not _directory().exists():
        return dict(os.environ)
    fonts = _directory() / "fonts.conf"
    fonts.write_text(_FONTS.format(directory=_directory()))
    return {**debian.environment(_directory() / "usr" / "lib"), "FONTCONFIG_FILE": str(fonts)}


def _runs(program: Path) -> bool:
    command, environment = [program, "--version"], {name: str(value) for name, value in _environment().items()}
    return (
        program.exists() and not subprocess.run(command, env=environment, check=False, capture_output=True).returncode
    )


if __name__ == "__main__":
    sys.exit(main())
