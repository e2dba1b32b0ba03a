"""Warnings about annotations and labels that are not known, with the name that the author probably meant.

A wrong suggestion is worse than none: names are compared word by word, and each word must be similar.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from webhook import annotations as keys
from webhook.errors import quoted

_MAX_WARNINGS = 16
# Comparisons are slow for long names, and no known name is that long.
_MAX_COMPARED = 64

_KSERVE = "kserve.io/"
_GROUPS_OF_KSERVE = frozenset({_KSERVE, "serving.kserve.io/", keys.INTERNAL})

_WORDS = re.compile(r"[A-Z]?[^A-Z\W_]+|[A-Z]+(?![a-z])")
# Words that authors put around a known name, as in `storageUri` and `progress-deadline-seconds`.
_PREFIX_WORDS = frozenset("storage model initializer init source target kserve".split())
_SUFFIX_WORDS = frozenset({"seconds"})
_SYNONYMS = {"url": "uri", "urls": "uris", "mem": "memory"}
_OTHER_NAMES = {
    "storage-initializer-uid": str(keys.INITIALIZER_UID),
    "storage-initializer-sourceuri": str(keys.URI),
}

# With this ratio a word of three letters may have one letter more or less, one of four to seven letters may also have
# another letter, and one of eight letters or more may have two.
_SIMILAR_WORD = 0.75
# Names that are divided into words differently, such as `mountpth`.
_SIMILAR_NAME = 0.85


def unknown_keys(annotations: Mapping[str, str], labels: Mapping[str, str]) -> tuple[str, ...]:
    """A warning for each annotation or label that looks like the webhook's but has no effect; the first few only."""
    unknown = [key for key in annotations if _KSERVE in key and key not in keys.KNOWN and _is_meant_for_us(key)]
    warnings = tuple(_warning(key) for key in unknown[:_MAX_WARNINGS]) if unknown else ()
    return warnings if keys.INJECT not in labels else (*_label_warnings(labels[keys.INJECT]), *warnings)


def _is_meant_for_us(key: str) -> bool:
    """Whether the key has the webhook's prefix, or is a key of the webhook with a prefix of KServe."""
    if key.startswith(keys.PREFIX):
        return True
    group, _, name = key.rpartition("/")
    return f"{group}/" in _GROUPS_OF_KSERVE and keys.PREFIX + name in keys.KNOWN


def _label_warnings(value: str) -> Iterator[str]:
    if value != "disabled":
        yield f"label {keys.INJECT} {quoted(value)} has no effect: set it to disabled to turn injection off"


def _warning(key: str) -> str:
    if key == keys.INJECT:
        return f"annotation {key} has no effect: set it as a label"
    meant = _nearest(key.rpartition("/")[2])
    return f"annotation {quoted(key)} is unknown and has no effect" + (f"; did you mean {meant}?" if meant else "")


def _nearest(name: str) -> str:
    """The annotation that a name without its prefix probably means; "" when none is near."""
    if len(name) > _MAX_COMPARED:
        return ""
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    words = _words(name)
    similarity, nearest = max((_similarity(words, _words(known)), known) for known in _NAMES)
    return keys.PREFIX + nearest if similarity else ""


def _words(name: str) -> list[str]:
    words = [word.lower() for word in _WORDS.findall(name)]
    return [_SYNONYMS.get(word, word) for word in words]


def _similarity(words: list[str], known: list[str]) -> float:
    """How similar the words are to those of a known name, from 0 (not at all) to 1 (the same)."""
    if known in (words, _without_extra_words(words)):
        return 1
    if len(words) == len(known):
        ratios = [_ratio(*pair) for pair in zip(words, known, strict=True)]
        return sum(ratios) / len(ratios) if min(ratios) >= _SIMILAR_WORD else 0
    joined, known_joined = "".join(words), "".join(known)
    ratio = _ratio(joined, known_joined) if joined[:1] == known_joined[:1] else 0
    return ratio if ratio >= _SIMILAR_NAME else 0


def _without_extra_words(words: list[str]) -> list[str]:
    while words and words[0] in _PREFIX_WORDS:
        words = words[1:]
    return words[:-1] if words and words[-1] in _SUFFIX_WORDS else words


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


_NAMES = sorted(key.removeprefix(keys.PREFIX) for key in keys.KNOWN - {keys.ROLLOUT_APPLIED})
