"""The code blocks and commands of README and docs/."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "charts/storage-initializer-webhook/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"# ([\w.-]+\.yaml)\n")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """For the names of tests, such as `docs/images.md:24`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str:
        """The name of the file that the reader saves it as, which its first line says; "" for others."""
        match = _NAME.match(self.text)
        return match[1] if match else ""


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The blocks of a page in order; with `language` only those of it."""
    text = page.read_text()
    found = [
        Block(page, text.count("\n", 0, match.start()) + 1, match[2], textwrap.dedent(match[3]))
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]


def all_blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, language)]


def commands(block: Block) -> list[str]:
    """The commands of a block of shell, without comments. Lines are joined as the shell joins them."""
    found, waiting = [], ""
    for line in block.text.splitlines():
        waiting += line + "\n"
        if not line.endswith(("\\", "|", "&&")):
            found.append(waiting.strip())
            waiting = ""
    return [command for command in found if shlex.split(command, comments=True)]
