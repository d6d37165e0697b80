-- The audit log, where one writes.

-- name: append_audit
-- Numbered by the one writer within its transaction, so an entry stands exactly when the act it tells does (I12). The
-- unique index refuses a number twice.
with n(tenant, seq, count, lines) as (values :rows)
insert into audit(tenant, seq, count, lines)
select * from n;
