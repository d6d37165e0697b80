"""Sessions of Google ADK over the trails of ours: events that turns added, and the state that follows of them.

ADK asks a service for its session with every call; this one knows exactly that of the run, which was made of the
trails, and keeps at the end of the turn what was added. State of `user:` and `app:` scope is the session's own here.
"""

from typing import Any

from google.adk.events import Event
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import ListSessionsResponse

from pilothouse.sdk.schema import write_json
from pilothouse.sdk.session import SessionMemory

APP = "pilothouse"


class TrailSessions(BaseSessionService):
    """The one session of a run, from the trails of ours: events that turns added, and the state that follows of them.
    State of `user:` and `app:` scope is the session's own here."""

    def __init__(self, memory: SessionMemory, user: str, run: str) -> None:
        self._memory = memory
        self.session = Session(id=memory.key or run, app_name=APP, user_id=user, state={}, events=[])
        for trail in memory.trails:
            for kept in trail:
                event = Event.model_validate(kept)
                self._update_session_state(self.session, event)
                self.session.events.append(event)
        self._before = len(self.session.events)

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        self.session.state.update(state or {})
        return self.session

    async def get_session(self, *, app_name: str, user_id: str, session_id: str, config: Any = None) -> Session | None:
        if session_id != self.session.id:
            return None
        if config is None or config.num_recent_events is None:
            return self.session
        recent = self.session.events[-config.num_recent_events :] if config.num_recent_events else []
        copy: Session = self.session.model_copy(update={"events": recent})
        return copy

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        return ListSessionsResponse(sessions=[self.session])

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """It ends with our session, which callers delete."""

    async def append_event(self, session: Session, event: Event) -> Event:
        done: Event = await super().append_event(session, event)
        if session is not self.session and not event.partial:
            self._update_session_state(self.session, done)
            self.session.events.append(done)
        return done

    def keep(self) -> None:
        """At the end of the turn."""
        events = [dump(event) for event in self.session.events]
        self._memory.keep_trail(events[self._before :])
        if self._memory.wants_whole(len(write_json(events))):
            self._memory.keep_whole(events)


def dump(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
