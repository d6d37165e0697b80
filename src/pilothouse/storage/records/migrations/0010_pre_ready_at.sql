-- Since when a run that waits for its first start, or for its turn, is ready: how long the oldest has waited.
alter table run add column ready_at integer;
create index run_ready_at on run(agent, tenant, ready_at)
  where status = 'queued' and ready = 1 and cancel_at is null;
