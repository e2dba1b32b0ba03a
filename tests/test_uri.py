"""What a storage URI is."""

from __future__ import annotations

import pytest

from webhook import uri
from webhook.errors import Denied
from webhook.uri import ClaimPath


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pvc://foo", ClaimPath("foo", "", is_directory=True)),
        ("pvc://foo/", ClaimPath("foo", "", is_directory=True)),
        ("pvc://foo/.", ClaimPath("foo", "", is_directory=True)),
        ("pvc://foo/a", ClaimPath("foo", "a", is_directory=False)),
        ("pvc://foo/a/", ClaimPath("foo", "a", is_directory=True)),
        ("pvc://foo//a//b", ClaimPath("foo", "a/b", is_directory=False)),
        ("pvc://foo/./a/./b/", ClaimPath("foo", "a/b", is_directory=True)),
        ("pvc://foo/...", ClaimPath("foo", "...", is_directory=False)),
        ("pvc://foo/a b/ц", ClaimPath("foo", "a b/ц", is_directory=False)),
        ("pvc://a.b-c.9/x", ClaimPath("a.b-c.9", "x", is_directory=False)),
        ("pvc://" + "a" * 253, ClaimPath("a" * 253, "", is_directory=True)),
    ],
)
def test_a_claims_uri_is_its_name_and_a_path(text: str, expected: ClaimPath) -> None:
    assert uri.parse_claim(text, "annotation a") == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pvc://", "names no claim"),
        ("pvc:///models", "names no claim"),
        ("pvc://Foo/models", "lower-case"),
        ("pvc://foo_bar", "lower-case"),
        ("pvc://-foo", "lower-case"),
        ("pvc://foo-", "lower-case"),
        ("pvc://foo..bar", "lower-case"),
        ("pvc:// foo", "lower-case"),
        ("pvc://föö", "lower-case"),
        ("pvc://" + "a" * 254, "lower-case"),
        ("pvc://foo/..", "'..'"),
        ("pvc://foo/a/../b", "'..'"),
        ("pvc://foo/../etc/", "'..'"),
    ],
)
def test_a_claims_uri_that_is_wrong_is_denied_with_its_value(text: str, why: str) -> None:
    with pytest.raises(Denied) as denied:
        uri.parse_claim(text, "annotation a")
    assert denied.value.code == 422
    assert denied.value.message.startswith("annotation a ")
    assert why in denied.value.message
    assert len(denied.value.message) < 500


@pytest.mark.parametrize("text", ["s3://b/m", " s3://b/m", "s3://b/m\n", "\t s3://b/m\r\n"])
def test_white_space_around_a_uri_does_not_count(text: str) -> None:
    assert uri.check(text, "annotation a") == "s3://b/m"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("s3://" + "a" * 4092, "4097 characters"),
        ("s3://b/\x00", "control characters"),
        ("s3://b/\nm", "control characters"),
        ("s3://b/\x7f", "control characters"),
    ],
)
def test_text_that_is_no_uri_is_denied(text: str, why: str) -> None:
    with pytest.raises(Denied, match=why):
        uri.check(text, "annotation a")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("pvc://foo", "pvc"),
        ("s3://b", "s3"),
        ("S3://b", "s3"),
        ("https://example.com", "https"),
        ("oci+native://r/i", "oci+native"),
        ("abfs://c", "other"),
        ("model", "other"),
        ("://", "other"),
        ("1s3://b", "other"),
    ],
)
def test_metrics_count_few_schemes(text: str, kind: str) -> None:
    assert uri.source_kind(text) == kind
