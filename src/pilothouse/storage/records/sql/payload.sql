-- Long payloads: kept once for each tenant and content.

-- name: use_payload
insert into payload_use(tenant, owner, digest) values :rows
on conflict (tenant, owner, digest) do nothing;

-- name: release_payloads
-- Returns what lost a user; `drop_unused_payloads` looks whether there is another one, in the same transaction.
delete from payload_use
where (tenant, owner) in (values :rows)
returning tenant, digest;

-- name: get_payload
select bytes from payload where tenant = :tenant and digest = :digest;

-- name: idle_payloads
-- What only runs use, all of which ended long ago: no turn, no state, no review, nothing that is to be delivered.
select p.pos, p.tenant, p.digest, p.bytes from payload as p
where p.pos > :place and length(p.bytes) >= :size and not exists (
  select 1 from payload_use as u where u.tenant = p.tenant and u.digest = p.digest and not exists (
    select 1 from run as r where r.tenant = u.tenant and r.id = u.owner and r.finished_at < :before))
order by p.pos limit :limit;

-- name: move_payloads
-- Looks again: a run that lives may have come to use it since it was read.
with n(tenant, digest, bytes) as (values :rows)
update payload set bytes = (select n.bytes from n where n.tenant = payload.tenant and n.digest = payload.digest)
where exists (select 1 from n where n.tenant = payload.tenant and n.digest = payload.digest)
  and length(payload.bytes) > 512 -- not moved by another node
  and not exists (
    select 1 from payload_use as u where u.tenant = payload.tenant and u.digest = payload.digest and not exists (
      select 1 from run as r where r.tenant = u.tenant and r.id = u.owner and r.finished_at is not null))
returning payload.tenant, payload.digest;
