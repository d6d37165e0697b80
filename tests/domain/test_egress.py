"""Where agents may connect to: lists, modes, and what a name may turn out to be (the SSRF list)."""

import pytest

from pilothouse.domain.egress import EgressPolicy, HostRule, read_rule

RULES = tuple(read_rule(text) for text in ("api.example.com", "*.trusted.example:443", "10.1.0.0/16", "localhost"))
LISTED = EgressPolicy("listed", RULES)
PUBLIC = EgressPolicy("public", RULES)
OPEN = EgressPolicy()

CLOSED = [
    "127.0.0.1", "::1", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::",
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fc00::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
    "198.18.0.1",
]  # fmt: skip
NOWHERE = [
    "169.254.169.254", "::ffff:169.254.169.254", "::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::1", "fec0::1", "0.0.0.0", "::",
    "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "192.0.0.192",
]  # fmt: skip


@pytest.mark.parametrize("address", CLOSED + NOWHERE)
def test_what_is_not_public_is_reached_only_when_it_is_listed_as_an_address(address):
    for policy in (PUBLIC, LISTED):
        assert not policy.allows_address(address, 443, "api.example.com")
        assert not policy.allows_host(address, 443)
        meant = EgressPolicy(policy.mode, (read_rule(address if ":" not in address else f"[{address}]:443"),))
        assert meant.allows_address(address, 443, address)
        assert meant.allows_host(address, 443)


@pytest.mark.parametrize("address", NOWHERE)
def test_even_when_everything_is_open_nobody_reaches_metadata_and_its_disguises(address):
    assert not OPEN.allows_address(address, 80, "metadata.example.com")
    assert not OPEN.allows_host(address, 80)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "8.8.8.8"])
def test_open_means_loopback_and_the_network_at_home(address):
    assert OPEN.allows_address(address, 8000, "anything")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_reached_by_names_that_are_allowed(address):
    for policy in (OPEN, PUBLIC, LISTED):
        assert policy.allows_address(address, 443, "api.example.com")


def test_a_list_names_hosts_domains_ports_and_networks():
    assert LISTED.allows_host("api.example.com", 8443)
    assert LISTED.allows_host("API.Example.com.", 443)
    assert LISTED.allows_host("deep.trusted.example", 443)
    assert not LISTED.allows_host("deep.trusted.example", 80)
    assert not LISTED.allows_host("trusted.example", 443)
    assert not LISTED.allows_host("api.example.com.evil.example", 443)
    assert not LISTED.allows_host("evil-api.example.com", 443)
    assert LISTED.allows_host("10.1.2.3", 80)
    assert not LISTED.allows_host("10.2.2.3", 80)
    assert PUBLIC.allows_host("anything.example", 443)


def test_localhost_in_a_list_means_loopback_and_nothing_else():
    assert LISTED.allows_address("127.0.0.1", 80, "localhost")
    assert not LISTED.allows_address("10.0.0.1", 80, "localhost")
    assert not LISTED.allows_address("127.0.0.1", 80, "api.example.com")


def test_networks_open_private_places_to_names_that_are_listed():
    policy = EgressPolicy("listed", (read_rule("db.internal:5432"),), ("10.7.0.0/16",))
    assert policy.allows_host("db.internal", 5432)
    assert policy.allows_address("10.7.1.1", 5432, "db.internal")
    assert not policy.allows_address("10.8.1.1", 5432, "db.internal")


@pytest.mark.parametrize("text", ["0x7f.1", "2130706433", "0177.0.0.1", "127.1"])
def test_other_ways_to_write_an_address_are_names_that_nobody_listed(text):
    """`connect` would make loopback of each: then the address is judged."""
    assert not LISTED.allows_host(text, 80)


def test_a_rule_that_cannot_be_meant_says_so():
    assert read_rule("[::1]:80") == HostRule(network="::1/128", port=80)
    for text in ("https://api.example.com", "", "a b", "host:0", "host:99999", "host:x"):
        with pytest.raises(ValueError):
            read_rule(text)
