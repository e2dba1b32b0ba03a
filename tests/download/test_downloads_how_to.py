"""docs/downloads.md is correct: its commands run, its classes are those of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from webhook import annotations as keys
from webhook.cli.app import app
from webhook.download.command import Models
from webhook.download.composition import MAX_TEXT, program_text
from webhook.download.program.digest import digests
from webhook.download.program.process import CAUSES
from webhook.steps.patterns import SCHEMES, VARIABLES

TEXT = (Path(__file__).parents[2] / "docs" / "downloads.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)


def test_commands_run_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    Path("model", "weights").write_bytes(b"weights")
    Path("pod.yaml").write_text(next(block for kind, block in BLOCKS if "kind: Pod" in block))
    commands = [shlex.split(line) for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    ours = [words[1:] for words in commands if words[0] == "storage-webhook"]
    assert len(ours) == 2
    for words in ours:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        if words[0] == "digest":
            assert result.stdout == f"{digests('model')[0]}  model\n"


def test_manifests_and_settings_are_valid() -> None:
    for kind, block in BLOCKS:
        if kind != "yaml":
            continue
        found = yaml.safe_load(block)
        for name in found.get("metadata", {}).get("annotations", ()):
            assert name in keys.KNOWN
        if "storageDefaults" in found:
            result = CliRunner().invoke(app, ["check-settings", "--strict"], input=block)
            assert result.exit_code == 0, result.output


def test_classes_are_those_of_the_program() -> None:
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", TEXT.partition("## Failures")[2].partition("## ")[0], re.MULTILINE))
    text = program_text("in_cache", supervise=True, digest=True)
    used = set(re.findall(r"['\"](not-found|[a-z]+): ", text)) & (rows | {"unknown"})
    assert rows == used | set(CAUSES)


def test_numbers_and_names_are_those_of_the_code() -> None:
    assert f"at most {MAX_TEXT // 1024} KiB" in TEXT
    assert all(f"`{scheme}://`" in TEXT for scheme in SCHEMES)
    assert all(f"`{name}`" in TEXT for name in VARIABLES.values())
    assert Models("", {}).links == ""


def test_digest_names_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    result = CliRunner().invoke(app, ["digest", str(tmp_path)])
    assert result.exit_code == 2
    assert "a link out of it" in result.stderr
    result = CliRunner().invoke(app, ["digest", str(tmp_path / "missing")])
    assert result.exit_code == 2
    assert "No such file" in result.stderr
