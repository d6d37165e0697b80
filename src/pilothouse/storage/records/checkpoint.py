"""Writing the WAL back into the file, beside the writer, so that no commit waits for it.

A thread does the bulk on a connection of its own. Under steady load it never quite catches up with the writer, and a
WAL that is not written back to its end cannot start anew; so when the thread is done the writer itself writes back the
short rest, between two transactions. So the WAL is bounded, except while a backup or a foreign program reads an old
snapshot.
"""

from threading import Event, Thread

import apsw

from pilothouse.storage.records.place import Place


class Checkpoints:
    """Made and asked on the writer's thread. Does nothing for memory, which has no WAL."""

    def __init__(self, place: Place, writer: apsw.Connection) -> None:
        self._every = place.options.checkpoint_pages
        self._writer = writer
        self._pages = 0
        """In the WAL now."""
        self._asked_at = 0
        """Pages when the thread was asked last, since the WAL began."""
        self._is_working = False
        self._has_rest = False
        """The thread is done, and what came meanwhile is left."""
        self._wanted = Event()
        self._is_stopping = False
        self._thread: Thread | None = None
        if place.path:
            self._own = place.connect(writes=True)
            writer.set_wal_hook(self._count)
            self._thread = Thread(target=self._work, name="records-checkpoint", daemon=True)
            self._thread.start()

    def _count(self, connection: apsw.Connection, name: str, pages: int) -> int:
        if pages < self._pages:
            self._asked_at = 0  # The WAL has started anew.
        self._pages = pages
        return apsw.SQLITE_OK

    def consider(self) -> None:
        """After a commit, when its callers have been told."""
        if self._has_rest:
            self._has_rest = False
            write_back(self._writer)
        elif self._pages - self._asked_at >= self._every and self._thread is not None and not self._is_working:
            self._asked_at = self._pages
            self._is_working = True
            self._wanted.set()

    def stop(self) -> None:
        if self._thread is not None:
            self._is_stopping = True
            self._wanted.set()
            self._thread.join()
            self._own.close()

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._is_stopping:
                return
            write_back(self._own)
            self._is_working = False
            self._has_rest = True


def write_back(connection: apsw.Connection) -> None:
    """What cannot be written back stays in the WAL, which is as durable. The next round asks again, and the next commit
    tells its callers when there is no room left for itself."""
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error:
        return
