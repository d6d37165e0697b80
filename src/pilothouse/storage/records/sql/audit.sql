-- Evidence: the audit log of each tenant, and the documents of those in charge.

-- name: last_entry
with n(tenant) as (values :rows)
select n.tenant, coalesce((
  select seq + count - 1 from audit where audit.tenant = n.tenant order by seq desc limit 1), 0)
from n;

-- name: read_audit
-- Starts at the segment that holds the next entry: the last one that begins at or before it.
select seq, count, lines from audit
where tenant = :tenant and seq + count > :after + 1 and seq >= coalesce((
  select max(seq) from audit where tenant = :tenant and seq <= :after + 1), 0)
order by seq limit :limit;

-- name: count_audit
-- Jumps from tenant to tenant along the index; the log itself is not read.
with recursive t(tenant) as (
  select min(tenant) from audit
  union all
  select (select min(tenant) from audit where audit.tenant > t.tenant) from t where t.tenant is not null
)
select t.tenant, (select seq + count - 1 from audit where audit.tenant = t.tenant order by seq desc limit 1)
from t where t.tenant is not null;

-- name: write_document
-- The version is matched by the statement that writes; a document that is not there has version 0, and is inserted
-- only by who expects that.
with n(tenant, id, kind, version, state, body, at) as (values :rows)
insert into document(tenant, id, kind, version, state, body, created_at, updated_at)
select n.tenant, n.id, n.kind, n.version + 1, n.state, n.body, n.at, n.at
from n
where n.version = 0 or exists (select 1 from document as d where d.tenant = n.tenant and d.id = n.id)
on conflict (tenant, id) do update
set version = excluded.version, state = excluded.state, body = excluded.body, updated_at = excluded.updated_at
where document.version = excluded.version - 1
returning tenant, id;

-- name: remove_document
with n(tenant, id, version) as (values :rows)
delete from document
where exists (
  select 1 from n where n.tenant = document.tenant and n.id = document.id and n.version = document.version)
returning tenant, id;

-- name: get_document
select /* document */ from document where tenant = :tenant and id = :id;

-- name: list_documents
select pos, /* document */ from document
where tenant = :tenant and kind = :kind and (:state is null or state = :state) and pos > :after
order by pos limit :limit;

-- name: list_documents_newest
select pos, /* document */ from document
where tenant = :tenant and kind = :kind and (:state is null or state = :state) and pos < :before
order by pos desc limit :limit;

-- name: list_documents_of_all
select pos, /* document */ from document
where kind = :kind and (:state is null or state = :state) and (:tenant is null) and pos > :after
order by pos limit :limit;
