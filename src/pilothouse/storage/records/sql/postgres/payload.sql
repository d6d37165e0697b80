-- Long payloads, where one node may bring what another is about to drop: both lock the row of the payload first.

-- name: keep_payload
-- Two runs that bring the same content share one row; never shared between tenants (I13). The update changes nothing
-- and locks the row, so that it is not dropped before its user is written; of what had become a blob it brings the
-- content back, since whatever writes must find the payloads of live runs here.
insert into payload(tenant, digest, bytes)
select distinct on (n.tenant, n.digest) n.tenant, n.digest, n.bytes
from (values :rows) as n(tenant, digest, bytes)
order by n.tenant, n.digest
on conflict (tenant, digest) do update set digest = excluded.digest,
  bytes = case when substr(payload.bytes, 1, 6) = '\x00626c6f6200'::bytea then excluded.bytes else payload.bytes end;

-- name: lock_payloads
select p.pos from payload as p
where (p.tenant, p.digest) in (values :rows)
order by p.tenant, p.digest for update;

-- name: drop_unused_payloads
-- Runs behind `lock_payloads`, with a snapshot that is younger than the locks.
delete from payload
where (tenant, digest) in (values :rows)
  and not exists (select 1 from payload_use as u where u.tenant = payload.tenant and u.digest = payload.digest);
