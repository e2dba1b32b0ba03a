"""`storage-webhook cache list` and `prune`, on caches filled by the download program."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.download.pods import Claim, contents, shell
from webhook.cli.cache import app, format_age, format_size, parse_duration, parse_size

DAY = 86400.0


def cache(*words: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def download(claim: Claim, uri: str, *, idle_days: float, count: int = 1000) -> Claim:
    """Download `count` bytes in a pod, and set the last use to `idle_days` ago."""
    filled = replace(claim, uri=uri)
    assert filled.run(shell(f'head -c {count} /dev/zero > "$1/weights"')).process.returncode == 0
    then = time.time() - idle_days * DAY
    os.utime(filled.cache.record, (then, then))
    return filled


def listed(claim: Claim) -> dict[str, Any]:
    result = cache("list", claim.cache.directory, "-o", "json")
    assert result.exit_code == 0, result.output
    return {entry["uri"]: entry for entry in json.loads(result.stdout)}


def test_list(claim: Claim):
    filled = download(claim, "s3://models/iris", idle_days=3, count=1536)
    result = cache("list", claim.cache.directory)
    assert result.exit_code == 0, result.output
    row = next(line.split() for line in result.stdout.splitlines() if filled.model.name in line)
    assert row[1:5] == ["complete", "1.5", "KiB", "1"]
    assert row[-3:] == ["3d", "ago", "s3://models/iris"]
    assert "models: 1, total size: 1.5 KiB" in result.stdout


def test_list_as_json(claim: Claim):
    filled = download(claim, "s3://models/iris", idle_days=3)
    entry = listed(claim)["s3://models/iris"]
    assert (entry["key"], entry["state"], entry["bytes"], entry["files"]) == (filled.model.name, "complete", 1000, 1)


def test_prune_without_a_rule_removes_no_model(claim: Claim):
    download(claim, "s3://models/iris", idle_days=1000)
    result = cache("prune", claim.cache.directory)
    assert result.exit_code == 0, result.output
    assert "freed 0 B; 1000 B remain" in result.stdout
    assert listed(claim).keys() == {"s3://models/iris"}


def test_prune_by_age(claim: Claim):
    old = download(claim, "s3://models/old", idle_days=31)
    download(claim, "s3://models/new", idle_days=29)
    result = cache("prune", claim.cache.directory, "--unused-for", "30d")
    assert result.exit_code == 0, result.output
    assert f"removing {old.model.name} (1000 B): unused for too long" in result.stderr
    assert "freed 1000 B; 1000 B remain" in result.stdout
    assert listed(claim).keys() == {"s3://models/new"}


def test_prune_by_size_keeps_the_most_recently_used(claim: Claim):
    for number in range(4):
        download(claim, f"s3://models/{number}", idle_days=10 - number)
    result = cache("prune", claim.cache.directory, "--max-size", "2k")
    assert result.exit_code == 0, result.output
    assert listed(claim).keys() == {"s3://models/2", "s3://models/3"}


def test_prune_warns_when_the_size_cannot_be_reached(claim: Claim):
    download(claim, "s3://models/iris", idle_days=0.5)
    result = cache("prune", claim.cache.directory, "--max-size", "0", "--unused-for", "1h")
    assert result.exit_code == 0, result.output
    assert "1000 B remain, more than --max-size" in result.stderr
    assert listed(claim).keys() == {"s3://models/iris"}
    cache("prune", claim.cache.directory, "--max-size", "0", "--grace", "11h")
    assert listed(claim) == {}


def test_dry_run_lists_removals_and_removes_nothing(claim: Claim):
    old = download(claim, "s3://models/old", idle_days=31)
    before = contents(claim.root)
    result = cache("prune", claim.cache.directory, "--unused-for", "30d", "--dry-run", "-o", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "dryRun": True,
        "removed": [{"key": old.model.name, "is_model": True, "bytes": 1000, "reason": "unused for too long"}],
        "freedBytes": 1000,
        "leftBytes": 0,
    }
    assert contents(claim.root) == before


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_prune_keeps_mounted_models(claim: Claim, tmp_path: Path, source: str):
    used = download(claim, "s3://models/used", idle_days=100)
    download(claim, "s3://models/old", idle_days=100)
    mounts = [{"name": "cache", "mountPath": "/mnt/models", "subPath": f"models/{used.model.name}"}]
    pods = json.dumps({"items": [{"spec": {"containers": [{"volumeMounts": mounts}]}}]})
    (tmp_path / "pods.json").write_text(pods)
    where = "-" if source == "stdin" else tmp_path / "pods.json"
    result = cache("prune", claim.cache.directory, "--unused-for", "30d", "--pods", where, stdin=pods)
    assert result.exit_code == 0, result.output
    assert listed(claim).keys() == {"s3://models/used"}


def test_prune_warns_when_running_pods_are_not_known(claim: Claim):
    download(claim, "s3://models/old", idle_days=100)
    pods = ("--pods", "-")
    for options, warned in ((pods, False), (("--dry-run",), True), ((), True), ((), False)):
        result = cache("prune", claim.cache.directory, "--unused-for", "30d", *options, stdin='{"items": []}')
        # The last time, nothing is left to remove.
        assert ("finds an empty directory" in result.stderr) is warned
        if options == pods:
            assert listed(claim) == {}
            download(claim, "s3://models/old", idle_days=100)


@pytest.mark.parametrize("text", ["", "[]", "not json"])
def test_prune_fails_when_the_pods_cannot_be_read(claim: Claim, text: str):
    download(claim, "s3://models/old", idle_days=100)
    result = cache("prune", claim.cache.directory, "--unused-for", "30d", "--pods", "-", stdin=text)
    assert result.exit_code == 2
    assert "--pods -:" in result.stderr
    assert listed(claim).keys() == {"s3://models/old"}


@pytest.mark.parametrize("command", ["list", "prune"])
def test_a_missing_directory_is_reported(tmp_path: Path, command: str):
    result = cache(command, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--unused-for", "30"), ("--unused-for", "d"), ("--grace", "-1d"), ("--max-size", "10GB")]
)
def test_invalid_values_are_reported(tmp_path: Path, option: str, value: str):
    result = cache("prune", tmp_path, option, value)
    assert result.exit_code == 2
    assert repr(value) in result.stderr


def test_a_failed_removal_is_an_error(claim: Claim):
    """A directory that is a mount point cannot be renamed."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    old = download(claim, "s3://models/old", idle_days=31)
    subprocess.run(["mount", "--bind", old.model, old.model], check=True)
    try:
        result = cache("prune", claim.cache.directory, "--unused-for", "30d")
    finally:
        subprocess.run(["umount", old.model], check=True)
    assert result.exit_code == 1
    assert f"cannot remove {old.model.name}" in result.stderr
    assert contents(old.model) == {"weights": bytes(1000)}


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("1d12h", 129600), ("0s", 0)]
)
def test_parse_duration(text: str, expected: float):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "1", "1 d", "d", "1.5d", "1d-2h", "٣d"])
def test_invalid_durations(text: str):
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


def test_parse_size():
    assert parse_size("500Gi") == 500 * 2**30


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1024.0 KiB"),
        (5 * 2**30, "5.0 GiB"),
        (2**51, "2048.0 TiB"),
    ],
)
def test_format_size(count: int, text: str):
    assert format_size(count) == text


@pytest.mark.parametrize(("duration", "text"), [(0.4, "0s"), (59, "59s"), (3600, "1h"), (13 * DAY, "13d"), (-5, "0s")])
def test_format_age(duration: float, text: str):
    assert format_age(duration) == text


def test_importing_the_commands_does_not_import_rich():
    program = "import sys, webhook.cli.cache; print([m for m in ('rich.table', 'rich.progress') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
