"""KServe's recorded responses, and the classes of intended differences from them.

`recorded` reads the corpus, `pair` compares two pods, and the other modules have the classes.
"""

from tests.kserve_corpus.claims_and_images import DIFFERENCES as CLAIMS_AND_IMAGES
from tests.kserve_corpus.containers import DIFFERENCES as CONTAINERS
from tests.kserve_corpus.credentials import DIFFERENCES as CREDENTIALS
from tests.kserve_corpus.outcomes import ADMITTED, DENIED
from tests.kserve_corpus.pair import ABSENT, Difference, IntendedDifference, Pair
from tests.kserve_corpus.recorded import INITIALIZER, Case, cases, fields

DIFFERENCES: tuple[IntendedDifference, ...] = (*CONTAINERS, *CLAIMS_AND_IMAGES, *CREDENTIALS)
"""The classes of differences between two pods."""

__all__ = [
    "ABSENT",
    "ADMITTED",
    "DENIED",
    "DIFFERENCES",
    "INITIALIZER",
    "Case",
    "Difference",
    "Pair",
    "cases",
    "fields",
]
