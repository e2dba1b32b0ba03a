"""What the figures of a benchmark depend on: the interpreter, how it was built (PGO, LTO), and the processor."""

from __future__ import annotations

import os
import platform
import ssl
import sysconfig
from pathlib import Path


def described() -> str:
    """One line about the interpreter and the machine."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimized = [
        f"{'with' if flag in options else 'without'} {flag}" for flag in ("--enable-optimizations", "--with-lto")
    ]
    return (
        f"{platform.python_implementation()} {platform.python_version()}, configured {' and '.join(optimized)}; "
        f"{ssl.OPENSSL_VERSION}; {_processor()}, {os.cpu_count()} cores"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
