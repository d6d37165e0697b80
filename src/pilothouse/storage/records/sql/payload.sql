-- Long payloads: kept once for each tenant and content.

-- name: keep_payload
-- Two runs that bring the same content share one row; never shared between tenants (I13).
insert into payload(tenant, digest, bytes) values :rows
on conflict (tenant, digest) do nothing;

-- name: use_payload
insert into payload_use(tenant, owner, digest) values :rows
on conflict (tenant, owner, digest) do nothing;

-- name: release_payloads
-- Returns what lost a user; `drop_unused_payloads` looks whether there is another one, in the same transaction.
delete from payload_use
where (tenant, owner) in (values :rows)
returning tenant, digest;

-- name: drop_unused_payloads
delete from payload
where (tenant, digest) in (values :rows)
  and not exists (select 1 from payload_use as u where u.tenant = payload.tenant and u.digest = payload.digest);

-- name: get_payload
select bytes from payload where tenant = :tenant and digest = :digest;
