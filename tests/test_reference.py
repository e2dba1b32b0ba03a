"""The reference is generated from the code, and complete."""

import re

import pytest

from tools.reference import HOW_TOS, TARGET, reference
from webhook import annotations as keys
from webhook.request.model_request import SKIP_REASONS


def test_the_reference_is_up_to_date():
    assert TARGET.read_text() == reference(), "run `make docs`"


def test_it_has_every_annotation_and_skip_reason():
    text = reference()
    assert [name for name in (*keys.ALL, *SKIP_REASONS) if f"`{name}`" not in text] == []


def test_nested_settings_have_their_full_name():
    text = reference()
    for setting in ("emptyDir.sizeLimit", "overrides.image", "rollout.progressDeadlineSeconds", "s3.s3CABundle"):
        assert f"| `{setting}` |" in text


def test_denials_have_annotations_but_no_values():
    assert "annotation storage.kserve.io/image … is not an image reference" in reference()


@pytest.mark.parametrize("target", sorted(set(HOW_TOS.values())))
def test_a_how_to_exists(target):
    page, _, anchor = target.partition("#")
    text = (TARGET.parent / page).read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)", text)
    }
    assert not anchor or anchor in headings


def test_a_how_to_shows_its_key():
    pages = {target: (TARGET.parent / target.partition("#")[0]).read_text() for target in HOW_TOS.values()}
    names = {key: re.split(r"[./]", key)[-1].removesuffix("[]") for key in HOW_TOS}
    assert [key for key, target in HOW_TOS.items() if names[key] not in pages[target]] == []
