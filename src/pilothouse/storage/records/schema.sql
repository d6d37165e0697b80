-- The records as they are after every migration: the readable truth. `tests/migrations` proves that the files in
-- `migrations/` lead to exactly this.
--
-- Layout. Every key begins with the tenant. Tables that grow are append-only heaps: an integer position is the primary
-- key and the text key is a unique index, so that inserts touch the right edge of the table (1.6 to 2.2 times the
-- speed of a clustered text key). What a worker, a timer or a sweep looks for has an index that holds only rows which
-- are live now, so that ten million ended runs cost these nothing.
-- Instants are microseconds since 1970 UTC. A payload column holds JSON, or a NUL byte and the digest of a row in
-- `payload` when the JSON is long.

create table migration(
  number integer primary key,
  name text not null,
  digest blob not null
) strict;

create table run(
  pos integer primary key,
  tenant text not null,
  id text not null,
  agent text not null,
  release text not null,
  mode text not null,
  session text,
  subject text,
  status text not null check (status in ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),
  priority integer not null default 0,
  input blob not null,
  output blob,
  error blob,
  metadata blob not null,
  usage blob,
  attempt integer not null,
  epoch integer not null default 0,
  losses integer not null default 0,
  wakes integer not null default 0,
  owner text,
  lease_until integer,
  ready integer not null default 0,
  due_at integer,
  deadline_at integer,
  cancel_at integer,
  cancel_reason text,
  rollback integer not null default 0,
  parent text,
  parent_key text,
  origin text,
  created_at integer not null,
  started_at integer,
  finished_at integer
  -- Columns that came later, as SQLite itself writes them down:
  , webhook blob, started_by text not null default '', held text, overrides blob,
  superseded integer not null default 0, ready_at integer) strict;
create unique index run_id on run(tenant, id);
create index run_tenant on run(tenant);
create index run_agent on run(tenant, agent);
create index run_session on run(tenant, agent, session) where session is not null;
create index run_subject on run(tenant, subject) where subject is not null;
create index run_parent on run(tenant, parent) where parent is not null;
create index run_failed on run(tenant) where status = 'failed';
create index run_live on run(tenant, agent, session, status, ready) where status in ('queued', 'running', 'waiting');
create index run_ready on run(agent, tenant, priority desc)
  where status = 'queued' and ready = 1 and cancel_at is null;
create index run_ready_at on run(agent, tenant, ready_at)
  where status = 'queued' and ready = 1 and cancel_at is null;
create index run_begun on run(agent, release) where status = 'queued' and ready = 1 and started_at is not null;
create index run_due on run(due_at) where due_at is not null and status in ('queued', 'waiting');
create index run_deadline on run(deadline_at)
  where deadline_at is not null and status in ('queued', 'running', 'waiting');
create index run_cancelled on run(cancel_at) where cancel_at is not null and status in ('queued', 'waiting');
create index run_lease on run(lease_until) where status = 'running';
create index run_held on run(held) where held is not null and status = 'queued';
create index run_ended on run(finished_at) where finished_at is not null and session is null;

-- `row` is the whole `StepRow` as msgpack: a step is written once and read whole, and packing it makes an insert three
-- times as fast as a column for each of its fields. A long payload in it is its mark, as in a payload column.
create table step(
  pos integer primary key,
  tenant text not null,
  run text not null,
  key text not null,
  phase integer not null,
  row blob not null
) strict;
create unique index step_key on step(tenant, run, key, phase);

create table event(
  pos integer primary key,
  tenant text not null,
  run text not null,
  seq integer not null,
  count integer not null,
  at integer not null,
  data blob not null
) strict;
create unique index event_seq on event(tenant, run, seq);

create table session(
  pos integer primary key,
  tenant text not null,
  agent text not null,
  key text not null,
  turns integer not null,
  state blob not null,
  version integer not null,
  created_at integer not null,
  updated_at integer not null,
  expires_at integer
) strict;
create unique index session_key on session(tenant, agent, key);
create index session_expires on session(expires_at) where expires_at is not null;

create table turn(
  pos integer primary key,
  tenant text not null,
  agent text not null,
  session text not null,
  number integer not null,
  run text not null,
  input blob not null,
  output blob,
  status text not null,
  finished_at integer not null,
  trail blob,
  is_whole integer not null default 0
  , subject text) strict;
create unique index turn_number on turn(tenant, agent, session, number);
create index turn_whole on turn(tenant, agent, session, number) where is_whole = 1;
create index turn_subject on turn(tenant, subject) where subject is not null;

create table review(
  pos integer primary key,
  tenant text not null,
  id text not null,
  run text not null,
  step text not null,
  agent text not null,
  kind text not null,
  question text not null,
  details blob not null,
  status text not null check (status in ('open', 'decided', 'expired', 'cancelled')),
  answer blob,
  created_at integer not null,
  expires_at integer,
  decided_at integer
  , overrides blob, superseded integer not null default 0) strict;
create unique index review_id on review(tenant, id);
create index review_run on review(tenant, run);
create index review_kind on review(tenant, kind);
create index review_open on review(tenant) where status = 'open';
create index review_expires on review(expires_at) where status = 'open' and expires_at is not null;

create table idempotency(
  pos integer primary key,
  tenant text not null,
  key text not null,
  digest blob not null,
  run text not null,
  created_at integer not null,
  expires_at integer not null
) strict;
create unique index idempotency_key on idempotency(tenant, key);
create index idempotency_expires on idempotency(expires_at);

-- Cancels that came before their run did.
create table early_cancel(
  pos integer primary key,
  tenant text not null,
  run text not null,
  at integer not null,
  expires_at integer not null
) strict;
create unique index early_cancel_run on early_cancel(tenant, run);
create index early_cancel_expires on early_cancel(expires_at);

-- Long payloads, once per tenant and content. `payload_use` says who needs one: a run, a review, the turns of a session
-- (`agent LF key`) or its state (`agent LF key LF state`). A payload that nobody uses is removed.
create table payload(
  pos integer primary key,
  tenant text not null,
  digest blob not null,
  bytes blob not null
) strict;
create unique index payload_digest on payload(tenant, digest);

create table payload_use(
  tenant text not null,
  owner text not null,
  digest blob not null,
  primary key (tenant, owner, digest)
) strict, without rowid;
create index payload_use_digest on payload_use(tenant, digest);

-- The audit log of each tenant: entries that became durable together are one row, a line for each. Never changed and
-- never pruned; what is personal is in it as a keyed digest only.
create table audit(
  pos integer primary key,
  tenant text not null,
  seq integer not null,
  count integer not null,
  lines blob not null
) strict;
create unique index audit_seq on audit(tenant, seq);

-- What those in charge have decided and changes rarely: keys, holds, policies, and the like. JSON with a version.
create table document(
  pos integer primary key,
  tenant text not null,
  id text not null,
  kind text not null,
  version integer not null,
  state text not null,
  body blob not null,
  created_at integer not null,
  updated_at integer not null
) strict;
create unique index document_id on document(tenant, id);
create index document_kind on document(kind, tenant, state);

-- What must reach somebody outside. Written with the event that it tells of; `due_at` is also the end of the claim of
-- whoever tries it now.
create table delivery(
  pos integer primary key,
  tenant text not null,
  id text not null,
  run text not null,
  agent text not null,
  type text not null,
  receiver text not null,
  lane text,
  body blob not null,
  status text not null check (status in ('pending', 'delivered', 'dead')),
  attempt integer not null,
  due_at integer,
  reason text,
  created_at integer not null,
  finished_at integer
) strict;
create unique index delivery_id on delivery(tenant, id);
create index delivery_run on delivery(tenant, run);
create index delivery_status on delivery(tenant, status) where status <> 'delivered';
create index delivery_due on delivery(due_at) where status = 'pending';
create index delivery_lane on delivery(tenant, lane) where status = 'pending' and lane is not null;
create index delivery_ended on delivery(finished_at) where finished_at is not null;

-- Receivers that said they want no more.
create table stopped_receiver(
  tenant text not null,
  receiver text not null,
  at integer not null,
  reason text not null,
  primary key (tenant, receiver)
) strict, without rowid;

-- What runs, sessions, agents and tenants have used, where a budget caps it: one row for each period. Money in
-- billionths of a dollar.
create table spend(
  pos integer primary key,
  tenant text not null,
  scope text not null,
  who text not null,
  period text not null,
  tokens integer not null,
  cost_nano integer not null,
  model_calls integer not null,
  tool_calls integer not null,
  steps integer not null,
  wall_us integer not null,
  updated_at integer not null
) strict;
create unique index spend_key on spend(tenant, scope, who, period);
create index spend_updated on spend(updated_at) where scope in ('run', 'session');

-- What model calls cost, by day: kept for good, when the runs are long gone. `session` '' has what all sessions used
-- together; the rows of a session go with it. Money in billionths of a dollar.
create table cost(
  pos integer primary key,
  tenant text not null,
  agent text not null,
  session text not null,
  day text not null,
  provider text not null,
  model text not null,
  calls integer not null,
  unpriced integer not null,
  untold integer not null,
  input_tokens integer not null,
  output_tokens integer not null,
  cache_tokens integer not null,
  cost_nano integer not null,
  updated_at integer not null
) strict;
create unique index cost_key on cost(tenant, session, day, agent, provider, model);
create index cost_session on cost(tenant, day) where session <> '';
