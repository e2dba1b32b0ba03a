"""The limits in docs/security.md are those of the code."""

import itertools
from pathlib import Path

import pytest

from webhook import by_identity, quantity, storage_container, uri
from webhook.admission import body_size, review
from webhook.cluster import fact_cache, facts, reader
from webhook.download.program import cache as program
from webhook.pod import pod
from webhook.request import download_options, model_request, sources, targets
from webhook.request import reader as request_reader
from webhook.server import endpoint, events, response_cache
from webhook.settings import access, parse, storage_containers
from webhook.steps import environment, oci_modelcar

ROWS = {
    cells[1].strip(): cells[2].strip()
    for line in (Path(__file__).parents[1] / "docs" / "security.md").read_text().splitlines()
    if len(cells := line.split("|")) == 5
}
CACHED = fact_cache.Limits()


@pytest.mark.parametrize(
    ("row", "limits"),
    [
        ("Body of a request", [endpoint.MAX_BODY_BYTES, body_size.MAX_OBJECTS, body_size.MAX_COMMAS]),
        ("All incomplete bodies together", [endpoint.MAX_INCOMPLETE_BYTES]),
        ("Pod", [pod._MAX_ITEMS, pod._MAX_VARIABLES]),
        ("Annotations of a pod that requests a model", [request_reader.MAX_ANNOTATIONS]),
        ("Models of a pod", [model_request.MAX_SOURCES, oci_modelcar.MAX_MODELCARS]),
        ("URI", [uri.MAX_LENGTH]),
        ("Mount path of a model", [sources.MAX_MOUNT_PATH, sources.MAX_SEGMENTS]),
        ("URIs and mount paths, in all containers together", [request_reader.MAX_PATHS]),
        ("Containers that get the model", [targets._MAX_TARGETS]),
        ("Variables of the download that a pod sets, or copies from its server", [environment.MAX_VARIABLES]),
        ("Quantity", [quantity._MAX_LENGTH]),
        ("Warnings of a response", [review._MAX_WARNINGS, review._MAX_WARNING]),
        (
            "Storage containers of the settings",
            [storage_containers.MAX_REGEXES, storage_containers.MAX_REGEX, storage_container._MAX_PATTERN_BYTES],
        ),
        ("A key of the settings", [parse.MAX_TEXT, parse.MAX_VALUES]),
        ("Rules for claims (`storageDefaults.access`)", [access.MAX_RULES, access.MAX_PATTERNS]),
        ("Problems and warnings about settings", [parse.MAX_PROBLEMS]),
        (
            "Reads from the API server",
            [CACHED.threads, CACHED.threads_per_namespace, CACHED.threads_unconfirmed, reader.MAX_RESPONSE_BYTES],
        ),
        ("Reads from the API server", [CACHED.waiting_per_namespace]),
        ("Facts about the cluster", [CACHED.entries, CACHED.bytes, facts.MAX_SECRETS, facts.MAX_VALUE]),
        ("What follows from a Secret or a service account", [by_identity.MAX_REMEMBERED]),
        ("Cached responses", [response_cache.MAX_ENTRIES, response_cache.MAX_BODY_BYTES]),
        ("Cached responses", [response_cache.MAX_RESPONSE_BYTES]),
        ("Events", [events._MAX_QUEUED, events._MAX_NOTE]),
        ("Patterns of a download", [download_options.MAX_PATTERNS, download_options._MAX_PATTERN]),
        ("A record in the claim of a shared cache", [program.MAX_RECORD]),
    ],
)
def test_documented_limits_are_those_of_the_code(row, limits):
    assert [limit for limit in limits if not {f"{limit:,}", _bytes(limit)} & _amounts(ROWS[row])] == []


def _bytes(limit):
    for unit, size in (("MiB", 2**20), ("KiB", 2**10)):
        if limit % size == 0:
            return f"{limit // size} {unit}"
    return ""


def _amounts(text):
    """`7 MiB, 200,000 objects` as `7`, `7 MiB`, `200,000` and `200,000 objects`."""
    words = [word.strip(",;") for word in text.split()]
    return {*words, *map(" ".join, itertools.pairwise(words))}
