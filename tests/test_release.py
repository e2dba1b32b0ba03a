"""The release workflow's steps, and the files that run, describe and gate it."""

import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests import yamls
from tests.chart.rendering import CHART, helm, one
from tools import release
from tools.release import ReleaseError

ROOT = CHART.parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
PUBLISHED = "registry.example.com/team/storage-initializer-webhook"
HOME = "https://git.example.com/team/storage-initializer-webhook"


def workflow(name: str) -> Any:
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yaml").read_text())


def steps(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in jobs.values() for step in job["steps"]]


def test_versions_agree_and_differ_from_another_tag(tmp_path, monkeypatch):
    with pytest.raises(ReleaseError, match=r"the tag is v9\.9\.9, but pyproject\.toml has"):
        release.check("v9.9.9")
    text = (ROOT / "CHANGELOG.md").read_text()
    if f"[{VERSION}]" not in text:
        with pytest.raises(ReleaseError, match=rf"CHANGELOG.md has no section \[{re.escape(VERSION)}\]"):
            release.check(f"v{VERSION}")
    released = text.replace("## [Unreleased]", f"## [{VERSION}] - 2026-11-26")
    assert release.notes(released, f"v{VERSION}").startswith("### ")


def test_notes_are_those_of_one_version():
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n## [1.1.0] - 2026-02-01\n\n- New\n\n## [1.0.0] - 2026-01-01\n\n- First\n"
    )
    assert release.notes(changelog, "v1.1.0") == "- New\n"
    assert release.notes(changelog, "v1.0.0") == "- First\n"
    with pytest.raises(ReleaseError, match="no section"):
        release.notes(changelog, "v1.0")


def test_a_step_fails_with_a_sentence():
    command = [sys.executable, "-m", "tools.release", "check", "v9.9.9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.e2e  # helm comes with the control plane
def test_published_chart_uses_the_published_image(tmp_path):
    staged = release.chart(tmp_path, PUBLISHED, HOME)
    packaged = helm("package", staged, "--destination", tmp_path)
    assert packaged.returncode == 0, packaged.stderr
    archive = tmp_path / f"{CHART.name}-{VERSION}.tgz"
    objects = yamls.documents(helm("template", "storage-webhook", archive).stdout)
    (container,) = one("Deployment", objects)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{PUBLISHED}:{VERSION}"
    metadata = yaml.safe_load(helm("show", "chart", archive).stdout)
    assert (metadata["home"], metadata["sources"]) == (HOME, [HOME])
    images = yaml.safe_load(metadata["annotations"]["artifacthub.io/images"])
    assert images[0]["image"] == f"{PUBLISHED}:{VERSION}"


def test_a_changed_default_is_not_published_silently(tmp_path, monkeypatch):
    changed = tmp_path / CHART.name
    shutil.copytree(CHART, changed)
    (changed / "values.yaml").write_text("image: {}\n")
    monkeypatch.setattr(release, "CHART", changed)
    with pytest.raises(ReleaseError, match=r"values.yaml must contain"):
        release.chart(tmp_path / "staged", PUBLISHED, HOME)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_their_actions_and_grant_nothing_by_default(path):
    parsed = yaml.safe_load(path.read_text())
    assert parsed["permissions"] == {}
    for step in steps(parsed["jobs"]):
        if "uses" in step:
            assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", step["uses"])
    assert all("timeout-minutes" in job for job in parsed["jobs"].values())


def test_release_names_no_registry_and_no_owner():
    text = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    assert "vars.REGISTRY " in text
    assert "vars.REGISTRY_OWNER" in text
    assert re.findall(r"\b(?:ghcr|docker|quay|gcr|registry)\.(?:io|com|dev)\b", text) == []


def test_release_builds_signs_and_attests_both_artifacts_after_the_tests():
    jobs = workflow("release")["jobs"]
    assert (jobs["publish"]["needs"], jobs["announce"]["needs"]) == ("test", "publish")
    text = "\n".join(step.get("run", "") for step in jobs["publish"]["steps"])
    for words in (
        "linux/amd64,linux/arm64",
        "--sbom=true",
        "--provenance=mode=max",
        "helm push",
        'cosign sign --yes "$CHART"',
    ):
        assert words in text
    attested = [step["with"]["subject-name"] for step in jobs["publish"]["steps"] if "attest@" in step.get("uses", "")]
    assert attested == [f"${{{{ steps.names.outputs.{name} }}}}" for name in ("image", "chart")]


def test_ci_tests_the_oldest_python_and_that_of_the_image():
    project = (ROOT / "pyproject.toml").read_text()
    (oldest,) = re.findall(r'requires-python = ">=([\d.]+)"', project)
    (of_image,) = set(re.findall(r"python:([\d.]+)-slim", (ROOT / "Dockerfile").read_text()))
    assert workflow("ci")["jobs"]["test"]["strategy"]["matrix"]["python"] == [oldest, of_image]
    pythons = {
        step["with"]["python-version"]
        for step in steps(workflow("release")["jobs"])
        if step.get("uses", "").startswith("actions/setup-python@")
    }
    assert pythons == {of_image}


TOP_LEVEL = {
    *(".ci", ".dockerignore", ".github", ".gitignore", ".pre-commit-config.yaml"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile", "README.md", "SECURITY.md"),
    *("benchmarks", "certs", "charts", "docs", "examples", "tests", "tools", "webhook"),
    *("pyproject.toml", "requirements.lock", "requirements-otel.lock", "requirements-dev.lock"),
}


def test_nothing_that_a_run_left_is_in_the_repository() -> None:
    """A file that a test wrote into the checkout is easily committed with the next change."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    assert {name.partition("/")[0] for name in listed.stdout.split("\0") if name} == TOP_LEVEL
