"""The reference is generated from the code, and complete."""

from tools.reference import TARGET, reference
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
