-- Reads that PostgreSQL words otherwise.

-- name: list_live_turns
select /* run */ from run
where tenant = :tenant and agent = :agent and session = :key and status in ('queued', 'running', 'waiting')
order by pos;

-- name: list_live_runs
select pos, /* run */ from run
where status in ('queued', 'running', 'waiting') and /* wanted */;

-- name: count_ends
-- A range of the unique index (tenant, run, key, phase), which is ordered by bytes: ':' is the character after '9'.
select count(*) from step where tenant = :tenant and run = :run and key >= :prefix || '0' and key < :prefix || ':'
and phase = 1 and substr(key, length(:prefix) + 1) !~ '[^0-9]';

-- name: now
-- The clock that all nodes share.
select (extract(epoch from clock_timestamp()) * 1000000)::bigint;

-- fragment: wanted
-- The part of a filter that no index serves. `:statuses` is a text of words with a space before and after each.
tenant = :tenant and pos < :before
  and (:agent is null or agent = :agent) and (:session is null or session = :session)
  and (:parent is null or parent = :parent)
  and (:statuses is null or strpos(:statuses, ' ' || status || ' ') > 0)
order by pos desc limit :limit

-- name: get_runs
select n.place, /* run */
from (values :rows) as n(place, whose, which) join run on run.tenant = n.whose and run.id = n.which;

-- name: get_sessions
select n.place, /* session */
from (values :rows) as n(place, whose, who, which)
  join session on session.tenant = n.whose and session.agent = n.who and session.key = n.which;

-- name: live_turns_of_sessions
select n.place, /* run */
from (values :rows) as n(place, whose, who, which)
  join run on run.tenant = n.whose and run.agent = n.who and run.session = n.which
where run.status in ('queued', 'running', 'waiting')
order by n.place, run.pos;
