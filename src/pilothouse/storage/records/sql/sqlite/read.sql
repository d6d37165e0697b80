-- What SQLite has to be told: without statistics it takes the index that saves it a sort, though that holds all the
-- ended runs as well.

-- name: list_live_turns
select /* run */ from run indexed by run_live
where tenant = :tenant and agent = :agent and session = :key and status in ('queued', 'running', 'waiting')
order by pos;

-- name: list_live_runs
select pos, /* run */ from run indexed by run_live
where status in ('queued', 'running', 'waiting') and /* wanted */;
