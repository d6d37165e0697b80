-- Reads: one statement is one snapshot; none of them is part of a decision that a Change does not check again.

-- name: get_run
select /* run */ from run where tenant = :tenant and id = :run;

-- name: list_live_children
select id from run
where tenant = :tenant and parent = :parent and parent is not null and status in ('queued', 'running', 'waiting')
order by pos;

-- name: find_idempotency
select digest, run from idempotency where tenant = :tenant and key = :key and expires_at > :at;

-- name: load_journal
select pos, row from step where tenant = :tenant and run = :run and pos > :after order by pos limit :limit;

-- name: read_events
-- Starts at the segment that holds the next event: the last one that begins at or before it.
select run, seq, count, at, data from event
where tenant = :tenant and run = :run and seq + count > :after + 1 and seq >= coalesce((
  select max(seq) from event where tenant = :tenant and run = :run and seq <= :after + 1), 0)
order by seq limit :limit;

-- name: get_session
select /* session */ from session where tenant = :tenant and agent = :agent and key = :key;

-- name: list_turns
select number, run, input, output, status, finished_at from turn
where tenant = :tenant and agent = :agent and session = :key and number < :before
order by number desc limit :limit;

-- name: list_trails
select tenant, trail, is_whole from turn
where tenant = :tenant and agent = :agent and session = :key and trail is not null
  and number >= coalesce((
    select max(number) from turn where tenant = :tenant and agent = :agent and session = :key and is_whole = 1), 0)
order by number;

-- name: list_stale_sessions
select /* session */ from session where expires_at is not null and expires_at <= :at order by expires_at limit :limit;

-- name: get_review
select /* review */ from review where tenant = :tenant and id = :review;

-- name: list_expired_reviews
select /* review */ from review
where status = 'open' and expires_at is not null and expires_at <= :at order by expires_at limit :limit;

-- name: list_reviews
select pos, /* review */ from review
where tenant = :tenant and (:status is null or status = :status) and pos > :after
order by pos limit :limit;

-- name: list_reviews_newest
select pos, /* review */ from review
where tenant = :tenant and (:status is null or status = :status) and pos < :before
order by pos desc limit :limit;

-- name: list_reviews_of_run
select pos, /* review */ from review
where tenant = :tenant and run = :run and (:status is null or status = :status) and (:kind is null or kind = :kind) and pos > :after
order by pos limit :limit;

-- name: list_reviews_of_run_newest
select pos, /* review */ from review
where tenant = :tenant and run = :run and (:status is null or status = :status) and (:kind is null or kind = :kind) and pos < :before
order by pos desc limit :limit;

-- name: list_reviews_of_kind
select pos, /* review */ from review
where tenant = :tenant and kind = :kind and (:status is null or status = :status) and pos > :after
order by pos limit :limit;

-- name: list_reviews_of_kind_newest
select pos, /* review */ from review
where tenant = :tenant and kind = :kind and (:status is null or status = :status) and pos < :before
order by pos desc limit :limit;

-- name: list_open_reviews
select pos, /* review */ from review
where tenant = :tenant and status = 'open' and (:kind is null or kind = :kind) and pos > :after
order by pos limit :limit;

-- name: list_open_reviews_newest
select pos, /* review */ from review
where tenant = :tenant and status = 'open' and (:kind is null or kind = :kind) and pos < :before
order by pos desc limit :limit;

-- name: list_runs
select pos, /* run */ from run where /* wanted */;

-- name: list_runs_of_agent
select pos, /* run */ from run where agent = :agent and /* wanted */;

-- name: list_runs_of_session
select pos, /* run */ from run where agent = :agent and session = :session and session is not null and /* wanted */;

-- name: list_runs_of_parent
select pos, /* run */ from run where parent = :parent and parent is not null and /* wanted */;

-- name: list_runs_of_subject
select pos, id, agent, release, session, status from run
where tenant = :tenant and subject = :subject and subject is not null and pos > :after order by pos limit :limit;

-- name: list_sessions_of_subject
select distinct agent, session from turn
where tenant = :tenant and subject = :subject and subject is not null;

-- name: list_failed_runs
select pos, /* run */ from run where status = 'failed' and /* wanted */;

-- name: list_facts
-- The newest runs, however old: where they are older than is wanted the reader stops, so the cost has a bound.
select id, agent, status, created_at, started_at, finished_at, usage, error, release from run
where tenant = :tenant order by pos desc limit :limit;

-- name: list_facts_of_agent
select id, agent, status, created_at, started_at, finished_at, usage, error, release from run
where tenant = :tenant and agent = :agent order by pos desc limit :limit;

-- name: list_sessions
-- Along the unique index, so a page costs its rows whatever number of sessions there is.
select pos, tenant, agent, key, turns, cast('{}' as blob), version, created_at, updated_at, expires_at from session
where tenant = :tenant and agent = :agent and key > :after and key >= :prefix and key < :end
order by key limit :limit;

-- name: key_of_session
select key from session where tenant = :tenant and pos = :pos;

-- name: count_open_reviews
select count(*), min(created_at), min(expires_at) from review where tenant = :tenant and status = 'open';

-- name: count_open_reviews_by_agent
select agent, count(*), min(created_at) from review where status = 'open' group by agent order by agent limit :limit;
