-- The hold that keeps a run in the queue. Claims do not see such a run, so it costs nothing until the hold is lifted.
alter table run add column held text;
create index run_held on run(held) where held is not null and status = 'queued';
