"""When a rule fires: cron in a time zone, intervals, and once.

Cron is read by `cronsim`, which follows Debian's: a time that the clocks skip in spring fires right after the gap, one
that comes twice in autumn fires once, unless the rule is for every hour or every minute. The time zones are
those of the `tzdata` package where the system has none. Both are imported with the first rule: a node without any need
not hold them.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pilothouse.domain.schedule import LEAST_EVERY, Rule
from pilothouse.engine.encoding import EPOCH

MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
YEAR = 366 * 24 * 3600.0


def check_rule(rule: Rule) -> None:
    """Raises ValueError with what is wrong with it."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from cronsim import CronSim, CronSimError

    given = [one for one in (rule.cron, rule.every_seconds, rule.at) if one is not None]
    if len(given) != 1:
        raise ValueError("a schedule has one of cron, every_seconds and at")
    try:
        ZoneInfo(rule.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{rule.zone!r} is no time zone, as in Europe/Berlin") from None
    if rule.cron is not None:
        try:
            next(CronSim(rule.cron, datetime.now(UTC)))
        except CronSimError as fault:
            raise ValueError(f"{rule.cron!r} is no cron rule: {fault}") from None
        except StopIteration:
            raise ValueError(f"{rule.cron!r} never fires") from None
    if rule.every_seconds is not None and not LEAST_EVERY <= rule.every_seconds <= YEAR:
        raise ValueError(f"every_seconds goes from {LEAST_EVERY:g} to {YEAR:g}")
    if rule.at is not None:
        _instant(rule.at)


def _instant(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no instant, as in 2026-12-24T18:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write Z or +01:00 after it")
    return (at - EPOCH) // MICROSECOND


def next_after(rule: Rule, made_at: int) -> Callable[[int], int | None]:
    """The first instant of the rule after the given one. `made_at`: when an interval began."""

    def find(after: int) -> int | None:
        if rule.at is not None:
            at = _instant(rule.at)
            return at if at > after else None
        if rule.every_seconds is not None:
            every = round(rule.every_seconds * 1e6)
            return made_at + (max(after - made_at, 0) // every + 1) * every
        return _cron(rule, after, is_reverse=False)

    return find


def last_before(rule: Rule, made_at: int) -> Callable[[int], int | None]:
    """The last instant of the rule at or before the given one."""

    def find(before: int) -> int | None:
        if rule.at is not None:
            at = _instant(rule.at)
            return at if at <= before else None
        if rule.every_seconds is not None:
            every = round(rule.every_seconds * 1e6)
            count = (before - made_at) // every
            return made_at + count * every if count > 0 else None
        return _cron(rule, before + 1, is_reverse=True)

    return find


def _cron(rule: Rule, at: int, *, is_reverse: bool) -> int | None:
    """`cronsim` looks at whole seconds: an instant within one is taken as the second that is still to come, or over."""
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    second = -(-at // SECOND) if is_reverse else at // SECOND
    moment = datetime.fromtimestamp(second, ZoneInfo(rule.zone))
    try:
        found = next(CronSim(rule.cron or "", moment, reverse=is_reverse))
    except StopIteration:
        return None
    return (found.astimezone(UTC) - EPOCH) // MICROSECOND
