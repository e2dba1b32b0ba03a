"""`cache verify` finds every kind of damage, moves it away, and leaves alone what is intact or in use."""

import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.download.pods import Claim, shell
from webhook.cli.app import app
from webhook.download.verification import Verdict, verify

DOWNLOAD = shell('printf weights > "$1/weights.bin"; printf x > "$1/config.json"')
MODEL = b"weights"


def _cached(claim: Claim, uri: str, *, digest: bool = True) -> Claim:
    """A model in the cache, with the digest of its content in the record if wanted."""
    model = replace(claim, uri=uri)
    assert model.run(DOWNLOAD).process.returncode == 0
    if digest:
        lines = [
            f"{name}\0{len(content)}\0{hashlib.sha256(content).hexdigest()}\n"
            for name, content in (("config.json", b"x"), ("weights.bin", MODEL))
        ]
        record = json.loads(model.cache.record.read_text())
        record["sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
        model.cache.record.write_text(json.dumps(record))
    return model


def run(claim: Claim, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["cache", "verify", str(claim.cache.directory), *arguments])


def verdicts(claim: Claim, *arguments: str) -> dict[str, Any]:
    result = run(claim, "-o", "json", *arguments)
    return {finding["key"]: finding for finding in json.loads(result.stdout)}


def _bit(model: Path) -> None:
    (model / "weights.bin").write_bytes(b"weightz")


def _shorter(model: Path) -> None:
    (model / "weights.bin").write_bytes(b"w")


def _missing(model: Path) -> None:
    (model / "weights.bin").unlink()


def _more(model: Path) -> None:
    (model / "more").touch()


def _empty(model: Path) -> None:
    for each in model.iterdir():
        each.unlink()


def _no_record(model: Path) -> None:
    model.with_name(f".{model.name}.complete").unlink()


def _broken_record(model: Path) -> None:
    model.with_name(f".{model.name}.complete").write_text("{")


def _link(model: Path) -> None:
    (model / "weights.bin").unlink()
    (model / "weights.bin").symlink_to("/etc/passwd")


DAMAGES = [_bit, _shorter, _missing, _more, _empty, _no_record, _broken_record, _link]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_moved_away_and_downloaded_again(claim: Claim, damage: Callable[[Path], None]) -> None:
    model, other = _cached(claim, "s3://models/iris"), _cached(claim, "s3://models/other")
    damage(model.model)
    result = run(claim)
    assert result.exit_code == 1, result.output
    assert not model.model.exists()
    assert other.model.exists()
    assert run(claim).exit_code == 0
    assert model.run(DOWNLOAD).process.returncode == 0
    assert (model.model / "weights.bin").read_bytes() == MODEL


def test_the_result_of_each_model_is_said(claim: Claim) -> None:
    intact, unproven = _cached(claim, "s3://models/iris"), _cached(claim, "s3://models/other", digest=False)
    found = verdicts(claim)
    assert found[intact.model.name]["verdict"] == "intact"
    assert found[unproven.model.name]["verdict"] == "unproven"
    assert run(claim).exit_code == 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_dry_run_moves_nothing(claim: Claim, damage: Callable[[Path], None]) -> None:
    model = _cached(claim, "s3://models/iris")
    damage(model.model)
    before = sorted(path.name for path in claim.cache.directory.rglob("*"))
    assert run(claim, "--dry-run").exit_code == 3
    assert sorted(path.name for path in claim.cache.directory.rglob("*")) == before
    assert verdicts(claim, "--dry-run")[model.model.name]["verdict"] == "damaged"


def test_what_a_pod_mounts_stays(claim: Claim, tmp_path: Path) -> None:
    model = _cached(claim, "s3://models/iris")
    _bit(model.model)
    container = {"volumeMounts": [{"name": "c", "mountPath": "/m", "subPath": f"models/{model.model.name}"}]}
    pods = tmp_path / "pods.json"
    pods.write_text(json.dumps({"items": [{"spec": {"containers": [container]}}]}))
    result = run(claim, "--pods", str(pods))
    assert result.exit_code == 3
    assert "a pod mounts it" in result.stdout
    assert model.model.exists()


def test_a_download_is_left_alone(claim: Claim) -> None:
    writer = claim.start(shell('printf x > "$1/part"; exec sleep 1000'))
    while not claim.find("part"):
        os.sched_yield()
    result = run(claim)
    assert (result.exit_code, "writing" in result.stdout) == (0, True)
    assert claim.find("part")
    writer.kill()


def test_two_hundred_models_take_the_memory_of_one(claim: Claim) -> None:
    def peak() -> int:
        tracemalloc.start()
        try:
            found = [finding.verdict for finding in verify(claim.cache.directory, frozenset(), lambda count: None)]
            assert set(found) == {Verdict.INTACT}
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    model = _cached(claim, "s3://models/iris")
    # Larger than the table of two hundred results.
    first = peak()
    record = model.cache.record.read_text()
    for number in range(200):
        key = f"{number:032x}"
        (claim.cache.directory / key).mkdir()
        for path in model.model.iterdir():
            (claim.cache.directory / key / path.name).write_bytes(path.read_bytes())
        (claim.cache.directory / f".{key}.complete").write_text(record)
    assert peak() < first + 1_000_000
    assert run(claim).exit_code == 0


@pytest.mark.parametrize("directory", ["no-such", "file"])
def test_a_directory_that_is_none_is_named(tmp_path: Path, directory: str) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["cache", "verify", str(tmp_path / directory)])
    assert result.exit_code == 2
    assert str(tmp_path / directory) in result.stderr
