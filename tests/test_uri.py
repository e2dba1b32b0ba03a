"""Storage URIs."""

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
def test_valid_claim_uris(text: str, expected: ClaimPath) -> None:
    assert uri.parse_claim(text, "annotation a") == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pvc://", "does not name a claim"),
        ("pvc:///models", "does not name a claim"),
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
def test_invalid_claim_uris_are_denied(text: str, why: str) -> None:
    with pytest.raises(Denied) as denied:
        uri.parse_claim(text, "annotation a")
    assert denied.value.code == 422
    assert denied.value.message.startswith("annotation a ")
    assert why in denied.value.message
    assert len(denied.value.message) < 500


@pytest.mark.parametrize("text", ["s3://b/m", " s3://b/m", "s3://b/m\n", "\t s3://b/m\r\n"])
def test_white_space_around_a_uri_is_removed(text: str) -> None:
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
def test_invalid_uris_are_denied(text: str, why: str) -> None:
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
def test_unknown_schemes_are_other_in_metrics(text: str, kind: str) -> None:
    assert uri.source_kind(text) == kind
