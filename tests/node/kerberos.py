"""Packages of KServe's image that are compiled with Kerberos. Nothing is installed on this machine for it."""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.controlplane import debian

HERE = Path(__file__).parent
IN = HERE / "kerberos.in"
LOCK = HERE / "kerberos.lock"
PACKAGES = (
    *("krb5-multidev", "libkrb5-dev", "comerr-dev"),
    *("libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libcom-err2", "libkeyutils1"),
)
"""Debian's packages with the headers, and with the libraries that the compiled packages load."""


def unpack(scratch: Path) -> Path:
    """Unpack Kerberos into a directory in `scratch`, and return it. Raises ObtainError if it cannot be downloaded."""
    target = debian.unpack(PACKAGES, scratch)
    program = target / "usr" / "bin" / "krb5-config.mit"  # it names directories of installed packages
    program.write_text(program.read_text().replace("=/usr", f"={target}/usr"))
    return target


def environment(unpacked: Path) -> Mapping[str, str]:
    """The environment for a compiler that finds the unpacked Kerberos."""
    found = debian.environment(unpacked)
    return {
        **found,
        "PATH": f"{unpacked}/usr/bin:{os.environ['PATH']}",
        "CPATH": f"{unpacked}/usr/include",
        "LIBRARY_PATH": found["LD_LIBRARY_PATH"],
        "CFLAGS": "-O0 -g0",  # compiles in half the time
    }
