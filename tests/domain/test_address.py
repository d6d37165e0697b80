"""Addresses that a webhook or a tool may not lead to, in every wrapping they are known to come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.address import LOOPBACK, Place, read_networks, read_url, refusal

CLOSED = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1",
    "2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1",
    # wrapped: mapped, compatible, NAT64, private NAT64, 6to4, Teredo
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::",
    # not addresses at all
    "", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "1.2.3.4.5",
]  # fmt: skip
OPEN = ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_public_is_refused_with_a_reason(address):
    assert refusal(address)


@pytest.mark.parametrize("address", OPEN)
def test_a_public_address_is_open(address):
    assert refusal(address) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_open_where_it_is_allowed_and_nothing_else_is_by_that(address):
    assert refusal(address, LOOPBACK) is None
    assert refusal("10.0.0.1", LOOPBACK)
    assert refusal("169.254.169.254", LOOPBACK)


def test_a_network_of_the_operator_is_open():
    allowed = read_networks(("10.1.0.0/16", " fd00::5 "))
    assert refusal("10.1.2.3", allowed) is None
    assert refusal("fd00::5", allowed) is None
    assert refusal("10.2.0.1", allowed)
    assert refusal("fd00::6", allowed)
    with pytest.raises(ValueError, match="no network"):
        read_networks(("everything",))


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_judged_the_same_behind_nat64_and_when_it_is_mapped(number):
    plain = refusal(f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    for prefix in ("64:ff9b::", "::ffff:"):
        assert refusal(f"{prefix}{number >> 16:x}:{number & 0xFFFF:x}") == plain


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_gets_an_answer(address):
    assert refusal(str(address)) is None or refusal(str(address))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://shop.example/hook?a=1", Place("https", "shop.example", 443, "/hook?a=1")),
        ("http://127.0.0.1:8080", Place("http", "127.0.0.1", 8080, "/")),
        ("https://[2606:4700::1]:8443/x", Place("https", "2606:4700::1", 8443, "/x")),
        ("https://SHOP.example/#part", Place("https", "shop.example", 443, "/")),
    ],
)
def test_a_url_is_read_to_its_place(url, place):
    assert read_url(url) == place


def test_the_header_host_names_the_port_only_when_it_is_not_the_usual_one():
    assert read_url("https://a.example/").authority == "a.example"
    assert read_url("http://a.example:443/").authority == "a.example:443"
    assert read_url("https://[::1]:8443/").authority == "[::1]:8443"


@pytest.mark.parametrize(
    "url",
    [
        "", "shop.example", "//shop.example", "ftp://shop.example", "file:///etc/passwd", "https://", "https:///x",
        "https://user@shop.example", "https://user:s3cr3t@shop.example", "https://shop.example:99999/",
        "https://shop.example/a b", "https://shop.example/\r\nX: 1", "https:\\\\shop.example", "https://[::1",
        "https://shöp.example/", "https://shop.example/" + "x" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused_without_being_repeated(url):
    with pytest.raises(ValueError) as refused:
        read_url(url)
    assert "s3cr3t" not in str(refused.value)
