-- The audit log, where several nodes write into it: the number of its last entry is a row that who numbers has locked.

-- name: hold_heads
-- In the order of all nodes. From here on `last_entry` says what it says until the commit, also where the row is behind
-- (a node of a release before this one has written).
insert into audit_head(tenant, last)
select n.tenant, 0
from (values :rows) as n(tenant)
order by n.tenant
on conflict (tenant) do update set last = audit_head.last;

-- name: append_audit
-- Behind `hold_heads`. An entry stands exactly when the act it tells does (I12); the unique index refuses a number twice.
with n(tenant, seq, count, lines) as (values :rows),
h as (
  insert into audit_head(tenant, last)
  select n.tenant, n.seq + n.count - 1 from n order by n.tenant
  on conflict (tenant) do update set last = excluded.last)
insert into audit(tenant, seq, count, lines)
select * from n;
