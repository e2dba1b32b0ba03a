"""Check and unit-test the alert rules with promtool (`make alerts`; the tests are in tests/chart/alerts.yaml)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from tests.chart.rendering import one, render, values

CASES = Path(__file__).parents[1] / "tests" / "chart" / "alerts.yaml"
_MISSING = "promtool is missing: it comes with Prometheus (Debian: apt install prometheus)"


def main() -> int:
    """Run promtool and return its exit code; 1 if it is not installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        print(_MISSING, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory:
        rules = Path(directory, "rules.yaml")
        rules.write_text(yaml.safe_dump(_rules()))
        shutil.copy(CASES, directory)
        checks = (["check", "rules", str(rules)], ["test", "rules", str(Path(directory, CASES.name))])
        return max(subprocess.run([promtool, *check], check=False).returncode for check in checks)


def _rules() -> object:
    return one("PrometheusRule", render(*values(metrics__alerts__enabled=True)))["spec"]


if __name__ == "__main__":
    sys.exit(main())
