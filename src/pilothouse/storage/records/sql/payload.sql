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
