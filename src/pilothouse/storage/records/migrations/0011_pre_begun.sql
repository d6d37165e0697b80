-- Runs that are ready again: few, and looked at for releases that no worker hosts.
create index run_begun on run(agent, release) where status = 'queued' and ready = 1 and started_at is not null;
