-- Evidence and the documents of those in charge.

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
