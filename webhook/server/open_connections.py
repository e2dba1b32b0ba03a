"""The open connections of a listener, and which of them is evicted when there are too many.

A connection is new until its first response, and established from then on. Each kind has a share of the limit, so that
neither can take all places: a flood of silent new connections does not evict established ones within their share, and
a flood of idle established connections does not keep new ones out.
"""

from __future__ import annotations

import itertools
from typing import Generic, Protocol, TypeVar

# One in four places is for new connections. An API server keeps a few connections open and uses them again.
_SHARE_OF_NEW = 4


class Evictable(Protocol):
    """A connection that may be evicted."""

    def is_busy(self) -> bool:
        """Whether a whole request was received and is being answered."""


C = TypeVar("C", bound=Evictable)


class OpenConnections(Generic[C]):
    """New and established connections, each kind in the order of eviction."""

    def __init__(self, limit: int) -> None:
        """`limit`: the number of connections that may be open at once; at least 1."""
        self._limit = max(1, limit)
        self._share_of_new = max(1, self._limit // _SHARE_OF_NEW)
        self._new: dict[C, None] = {}
        """Oldest first."""
        self._established: dict[C, None] = {}
        """Least recently used first."""

    def __len__(self) -> int:
        return len(self._new) + len(self._established)

    def __contains__(self, connection: object) -> bool:
        return connection in self._new or connection in self._established

    @property
    def is_full(self) -> bool:
        """Whether one must be evicted before another is added."""
        return len(self) >= self._limit

    @property
    def new(self) -> list[C]:
        """The connections without a response yet."""
        return list(self._new)

    def add(self, connection: C) -> None:
        """Add a new connection."""
        self._new[connection] = None

    def on_response(self, connection: C) -> None:
        """A response was sent: the connection is established, and the most recently used one."""
        self.remove(connection)
        self._established[connection] = None

    def remove(self, connection: C) -> None:
        """Remove a connection, if it is there."""
        self._new.pop(connection, None)
        self._established.pop(connection, None)

    def next_to_evict(self) -> C | None:
        """The connection to evict for a new one; None when all are busy.

        The kind that has more than its share loses its oldest or longest idle connection. Busy connections stay.
        """
        kinds = (self._new, self._established)
        if len(self._new) < self._share_of_new:
            kinds = (self._established, self._new)
        return next((connection for connection in itertools.chain(*kinds) if not connection.is_busy()), None)
