"""The reference is made from the code, and says all of it."""

from tools.reference import TARGET, reference
from webhook import annotations as keys
from webhook.request import SKIP_REASONS


def test_the_reference_is_what_the_code_says():
    assert TARGET.read_text() == reference(), "run `make docs`"


def test_every_annotation_and_skip_reason_is_in_it():
    text = reference()
    assert [name for name in (*keys.ALL, *SKIP_REASONS) if f"`{name}`" not in text] == []


def test_settings_of_groups_stand_under_their_whole_name():
    text = reference()
    for setting in ("emptyDir.sizeLimit", "overrides.image", "rollout.progressDeadlineSeconds", "s3.s3CABundle"):
        assert f"| `{setting}` |" in text


def test_denials_name_annotations_and_leave_values_out():
    assert "annotation storage.kserve.io/image … is not an image reference" in reference()
