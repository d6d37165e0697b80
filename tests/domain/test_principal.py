"""Keys and what a principal may: plain values."""

import pytest

from pilothouse.domain.principal import LOCAL, Key, Principal, acting_for, hash_of, key_text, not_held, opens, read_key


def key(**more):
    return Key(id="a1", hash=hash_of("a1", "s3cret"), name="ada", tenant="acme", created_at=0, created_by="x", **more)


def test_a_key_is_read_back_whatever_its_secret_holds():
    assert read_key(key_text("0a1b", "x_y-z")) == ("0a1b", "x_y-z")


@pytest.mark.parametrize("text", ["", "phk", "phk_", "phk_a", "phk_a_", "phk__x", "abc_a_x", "phk_ä_x"])
def test_what_is_no_key_is_none(text):
    assert read_key(text) is None


def test_a_key_opens_with_its_secret_until_it_expires_or_is_revoked():
    assert opens(key(), "s3cret", 10)
    assert not opens(key(), "s3creT", 10)
    assert opens(key(expires_at=11), "s3cret", 10)
    assert not opens(key(expires_at=10), "s3cret", 10)
    assert not opens(key(revoked_at=1), "s3cret", 10)


def test_a_hash_that_is_copied_to_another_id_opens_nothing():
    stolen = Key(id="b2", hash=key().hash, name="eve", tenant="acme", created_at=0, created_by="x")
    assert not opens(stolen, "s3cret", 10)


def test_an_agent_may_what_both_it_and_its_starter_may():
    agent = Principal("agent:desk", "agent", "acme", frozenset({"runs:read", "runs:write"}), frozenset({"clerk"}))
    starter = Principal("ada", "human", "acme", frozenset({"runs:write", "keys:write"}), frozenset({"clerk", "chief"}))
    both = acting_for(agent, starter)
    assert (both.scopes, both.roles, both.on_behalf_of) == ({"runs:write"}, {"clerk"}, "ada")
    assert acting_for(agent, LOCAL).scopes == agent.scopes
    assert not both.may("keys:write")


def test_nobody_gives_what_they_do_not_have():
    ada = Principal("ada", "human", "acme", frozenset({"runs:read"}), frozenset({"clerk"}))
    assert not_held(ada, ["runs:read", "*"], ["clerk", "chief"]) == ["*", "chief"]
    assert not_held(LOCAL, ["*"], ["*"]) == []
