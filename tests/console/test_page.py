"""The files of the console: which names lead to one, what is sent of it, and what a node without them shows."""

import gzip
from pathlib import Path

import pytest

from pilothouse.console.page import BuiltPages


@pytest.fixture
def static(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>" + "<p>long enough to be worth packing</p>" * 20)
    (tmp_path / "built-from").write_text("a stamp")
    (tmp_path / "assets" / "index-abc.js").write_text("const one = 1;\n" * 50)
    (tmp_path / "assets" / "face.woff2").write_bytes(b"packed already")
    (tmp_path / "secret.key").write_text("no")
    return tmp_path


def test_only_what_the_build_left_is_found_and_no_name_becomes_a_path(static):
    pages = BuiltPages(static)
    assert pages.is_built
    assert pages.find("index.html") is not None
    assert pages.find("assets/index-abc.js") is not None
    for name in ("", "built-from", "secret.key", "assets/../index.html", "assets/..%2f", "/etc/passwd", "assets/"):
        assert pages.find(name) is None


def test_a_file_with_a_digest_in_its_name_may_be_kept_and_the_page_may_not(static):
    pages = BuiltPages(static)
    assert pages.find("assets/index-abc.js").is_hashed
    assert not pages.find("index.html").is_hashed


def test_what_gets_smaller_is_packed_once(static):
    pages = BuiltPages(static)
    script, face = pages.find("assets/index-abc.js"), pages.find("assets/face.woff2")
    assert gzip.decompress(script.gzipped) == script.body
    assert face.gzipped is None
    assert pages.find("index.html").tag != script.tag


def test_a_node_without_built_files_says_how_to_get_them(tmp_path):
    pages = BuiltPages(tmp_path)
    assert not pages.is_built
    text = pages.find("index.html").body.decode()
    assert "make console" in text
    assert pages.find("assets/index-abc.js") is None
