"""Steps of the release workflow that need the project's files. Only the standard library is used.

python -m tools.release check v0.1.0        # the tag, the project, the chart and the changelog have one version
python -m tools.release notes v0.1.0        # print what the changelog says about it
python -m tools.release chart DIRECTORY --image IMAGE --home URL    # the chart, for a published image
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "storage-initializer-webhook"
IMAGE = "storage-initializer-webhook"


class ReleaseError(Exception):
    """The release cannot be made; the message says what to change."""


def check(tag: str) -> None:
    """Raise ReleaseError unless the tag is `v` and the version of the project, the chart and the changelog."""
    chart = (CHART / "Chart.yaml").read_text()
    versions = {
        "pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        "Chart.yaml (version)": _field(chart, "version"),
        "Chart.yaml (appVersion)": _field(chart, "appVersion"),
    }
    for place, version in versions.items():
        if tag != f"v{version}":
            raise ReleaseError(f"the tag is {tag}, but {place} has {version}: change one of them")
    notes((ROOT / "CHANGELOG.md").read_text(), tag)


def notes(changelog: str, tag: str) -> str:
    """The changelog's section for the tag's version. Raises ReleaseError if there is none, or an empty one."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        if heading.startswith(f"[{tag.removeprefix('v')}]") and text.strip():
            return text.strip() + "\n"
    raise ReleaseError(f"CHANGELOG.md has no section [{tag.removeprefix('v')}]: name the section [Unreleased] so")


def chart(target: Path, image: str, home: str) -> Path:
    """Copy the chart to a directory below `target`, with the published image as its default.

    `image` is without a tag, `home` is the URL of the repository. Returns the new directory.
    """
    directory = target / CHART.name
    shutil.copytree(CHART, directory, dirs_exist_ok=True)
    values, metadata = directory / "values.yaml", directory / "Chart.yaml"
    _replace(values, f"  repository: {IMAGE}\n", f"  repository: {image}\n")
    _replace(metadata, f"image: {IMAGE}:", f"image: {image}:")
    _replace(metadata, "type: application\n", f"type: application\nhome: {home}\nsources: [{home}]\n")
    return directory


def _field(text: str, name: str) -> str:
    (value,) = re.findall(rf'^{name}: "?([^"\n]+)"?$', text, re.MULTILINE)
    return str(value)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if text.count(old) != 1:
        raise ReleaseError(f"{path.name} must contain {old!r} once")
    path.write_text(text.replace(old, new))


def main(arguments: list[str] | None = None) -> int:
    """Run a step. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.release")
    steps = parser.add_subparsers(dest="step", required=True)
    for step in ("check", "notes"):
        steps.add_parser(step).add_argument("tag")
    staging = steps.add_parser("chart")
    staging.add_argument("directory", type=Path)
    staging.add_argument("--image", required=True)
    staging.add_argument("--home", required=True)
    options = parser.parse_args(arguments)
    try:
        if options.step == "check":
            check(options.tag)
        elif options.step == "notes":
            print(notes((ROOT / "CHANGELOG.md").read_text(), options.tag), end="")
        else:
            print(chart(options.directory, options.image, options.home))
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
