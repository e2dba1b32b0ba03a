"""README and docs/: blocks are valid, commands that need no cluster run, and links lead somewhere.

Commands that need a cluster are run by tests/e2e/test_documentation.py.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import COMMAND
from tests.documentation.pages import PAGES, ROOT, all_blocks, blocks, commands
from webhook.offline import manifests
from webhook.offline.facts_file import FactsFile
from webhook.offline.mutator import Mutator
from webhook.settings.check import check
from webhook.settings.model import EMBEDDED

SETTINGS = {"storageInitializer", "credentials", "deploy", "storageDefaults", "storageContainers"}
YAML = all_blocks("yaml")
OFFLINE = [
    (block, command)
    for block in all_blocks("sh")
    for command in commands(block)
    if re.search(r"\bstorage-webhook (mutate|check-settings)\b", command) and "kubectl" not in command
]


def by_name(value):
    return value.name if hasattr(value, "name") else ""


@pytest.mark.parametrize("block", YAML, ids=by_name)
def test_a_block_of_yaml_is_valid(block):
    documents = manifests.load(block.text)
    assert documents
    if block.page.name == "reference.md":
        return
    mutator = Mutator(EMBEDDED, "default", FactsFile(documents))
    for document in documents:
        mutator.mutate_pods(document)
    assert mutator.misplaced == []
    named = [denial for denial in mutator.denials if "does not exist" not in denial]
    assert [denial for denial in named if "storageDefaults" not in denial] == []


@pytest.mark.parametrize(
    "block", [block for block in YAML if set(next(iter(manifests.load(block.text)), [])) <= SETTINGS], ids=by_name
)
def test_a_block_of_settings_is_valid(block):
    result = check(block.text)
    assert (result.problems, result.warnings) == ((), ())


@pytest.fixture
def checkout(tmp_path: Path):
    """A directory with the files of the repository that commands name."""
    for name in ("examples", "charts"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize(("block", "command"), OFFLINE, ids=by_name)
def test_a_command_without_a_cluster_runs(block, command, checkout):
    for each in blocks(block.page, "yaml"):
        if each.file:
            (checkout / each.file).write_text(each.text)
    finished = in_a_shell(command.replace(".venv/bin/", ""), checkout)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout
    assert "unchanged: " not in finished.stderr


def in_a_shell(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [shutil.which("bash") or "sh", "-c", command],
        cwd=directory,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_were_found():
    assert len(OFFLINE) > 8


def test_the_page_about_the_command_line_has_every_command():
    text = (ROOT / "docs" / "command-line.md").read_text()
    assert [name for name in COMMAND.commands if f"| `{name}` |" not in text] == []


# --- Output that a page shows


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "troubleshooting.md"], ids=lambda page: page.name)
def test_the_output_below_a_command_is_real(page, checkout):
    """A block of output follows the block with its command. `…` in it stands for lines that are left out."""
    found = blocks(page)
    shown = [
        (commands(block)[-1], output)
        for block, output in itertools.pairwise(found)
        if block.language == "sh" and "storage-webhook mutate" in block.text and "kubectl" not in block.text
        if output.language in ("", "diff", "json")
    ]
    assert shown
    for command, output in shown:
        real = in_a_shell(command.replace(".venv/bin/", ""), checkout)
        assert real.returncode == 0, real.stderr
        parts = [part.strip("\n") for part in re.split(r"\n *\+? *…\n", "\n" + output.text)]
        position = 0
        for part in parts:
            assert part in real.stdout[position:], f"{page.name}: not in the output of {command}:\n{part}"
            position = real.stdout.index(part, position) + len(part)


# --- Credentials

CREDENTIALS = ROOT / "docs" / "credentials.md"


def _sections():
    """Each section of the page with what the init container gets, and the manifests that it is about."""
    for section in re.split(r"^## ", CREDENTIALS.read_text(), flags=re.MULTILINE)[1:]:
        texts = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
        documents = [manifests.load(text) for text in texts]
        expected = [each[0] for each in documents if each[0].keys() <= {"env", "volumeMounts"}]
        given = [each for each in documents if "kind" in each[0]]
        examples = re.findall(r"\(\.\./(examples/[\w-]+\.yaml)\)", section)
        if expected:
            source = given[0] if given else manifests.load((ROOT / examples[0]).read_text())
            yield pytest.param(source, expected[0], id=section.splitlines()[0])


SECTIONS = list(_sections())


def test_every_source_has_a_section():
    assert len(SECTIONS) == 8


@pytest.mark.parametrize(("documents", "expected"), SECTIONS)
def test_the_init_container_gets_what_the_page_shows(documents, expected):
    mutator = Mutator(EMBEDDED, "default", FactsFile(documents))
    mutated = [mutator.mutate_pods(document) for document in documents]
    initializer = _initializer(mutated)
    own = {"HF_HUB_ENABLE_HF_TRANSFER", "HF_XET_HIGH_PERFORMANCE", "HF_XET_NUM_CONCURRENT_RANGE_GETS"}
    variables = [each for each in initializer.get("env", []) if each["name"] not in own]
    mounts = [each for each in initializer["volumeMounts"] if not each["mountPath"].startswith("/mnt/models")]
    assert variables == expected.get("env", [])
    assert mounts == expected.get("volumeMounts", [])
    assert mutator.warnings == []


def _initializer(documents):
    for document in documents:
        spec = document.get("spec", {})
        for each in spec.get("template", document).get("spec", {}).get("initContainers", []):
            return each
    raise AssertionError("no init container")


# --- Text


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=lambda page: str(page.relative_to(ROOT)))
def test_no_mark_of_a_merge_is_left(page):
    assert re.findall(r"^(?:<<<<<<<|=======|>>>>>>>)(?: .*)?$", page.read_text(), re.MULTILINE) == []


# --- Links


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target
