"""The rules of the licence desk read what is really in a text.

The texts are real ones, of this system and of the installed distributions, and each is read without the headers that
would give the answer away. What the agents do with the records is in `test_licence_desk_end_to_end`.
"""

import importlib
import importlib.metadata
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-licence-desk"
COMMON = Path("/usr/share/common-licenses")
MODULES = ("agents", "brain", "brain_texts", "licences", "model_client", "reading", "records", "report", "spdx")

MIT = """\
Copyright (c) 2019-2024 Ann Example <ann@example.org>

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.
"""


@pytest.fixture(scope="module")
def desk():
    """The modules of the example, which import each other as those of a project folder do."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield {name: importlib.import_module(name) for name in ("brain", "licences", "reading", "records", "spdx")}
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("file", "spdx", "kind"),
    [
        ("Apache-2.0", "Apache-2.0", "permissive"),
        ("BSD", "BSD-3-Clause", "permissive"),
        ("CC0-1.0", "CC0-1.0", "public-domain"),
        ("GPL-2", "GPL-2.0-only", "copyleft"),
        ("GPL-3", "GPL-3.0-only", "copyleft"),
        ("LGPL-2.1", "LGPL-2.1-only", "weak-copyleft"),
        ("LGPL-3", "LGPL-3.0-only", "weak-copyleft"),
        ("MPL-2.0", "MPL-2.0", "weak-copyleft"),
    ],
)
def test_the_texts_of_the_system_are_known(desk, file, spdx, kind):
    if not (COMMON / file).is_file():
        pytest.skip(f"this system has no {COMMON / file}")
    text = (COMMON / file).read_text(encoding="utf-8", errors="replace")
    record = desk["brain"].record_of(text)
    assert (record["spdx"], record["kind"]) == (spdx, kind)
    for each in record["evidence"]:
        assert each["text"] in text.splitlines()[each["line"] - 1]


@pytest.mark.slow
def test_the_rules_agree_with_headers_they_do_not_see(desk):
    agreed, others = 0, []
    for found in importlib.metadata.distributions():
        declared = found.metadata["License-Expression"]
        files = desk["licences"].own_licence_files(found)
        if declared not in desk["spdx"].LICENCES or not files:
            continue
        text = "\n\n".join(desk["licences"].as_text(path.read_bytes()) for path in files)
        spdx = desk["brain"].record_of(text)["spdx"]
        is_read = declared in spdx.split(" AND ")  # files may hold the licences of what is bundled as well
        agreed += is_read
        if not is_read:
            others.append(f"{found.name}: {declared} is declared, {spdx} is read")
    assert agreed >= 20
    assert agreed >= 0.95 * (agreed + len(others)), others


def test_a_text_is_known_whatever_its_line_breaks_quotes_and_comment_signs(desk):
    words = MIT.replace('"', "”").split()
    narrow = "\r\n".join(f" * {' '.join(words[at : at + 5])}" for at in range(0, len(words), 5))
    assert desk["brain"].record_of(narrow.upper())["spdx"] == "MIT"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("without restriction", "for non-commercial purposes only"),
        ("without restriction", "with restrictions"),
        ("sublicense, and/or sell copies", "and sublicense copies"),
        ("Software.\n\nTHE", "Software.\n\nThe Software shall be used for Good, not Evil.\n\nTHE"),
        ("Permission is hereby granted, free", "Permission is not granted, free"),
        ("shall be included", "need not be included"),
    ],
)
def test_an_altered_text_is_unknown(desk, old, new):
    assert desk["brain"].record_of(MIT)["spdx"] == "MIT"
    altered = MIT.replace(old, new)
    assert altered != MIT
    record = desk["brain"].record_of(altered)
    assert (record["spdx"], record["kind"], record["obligations"]) == ("unknown", "unknown", [])


def test_holders_are_names_without_years_and_addresses(desk):
    text = (
        "Copyright (c) 2019-2024 Ann Example <ann@example.org>\n"
        "# Copyright © 2020, 2021 Müller & Söhne GmbH. All rights reserved.\n"
        "Copyright 2018 - present by the Thing contributors\n"
        "Copyright [yyyy] [name of copyright owner]\n"
        "(c) You must keep all copyright notices\n"
        "The above copyright notice shall stay.\n"
    )
    assert desk["brain"].record_of(text)["holders"] == [
        "Ann Example",
        "Müller & Söhne GmbH",
        "the Thing contributors",
    ]


def test_headers_say_who_and_which_with_their_lines(desk):
    text = "Metadata-Version: 2.1\nName: thing\nVersion: 1.2\nLicense: GPL-3.0-or-later\nSummary: MIT\n\nBody: no\n"
    record = desk["brain"].record_of(text)
    assert (record["name"], record["version"], record["spdx"]) == ("thing", "1.2", "GPL-3.0-or-later")
    assert record["evidence"] == [{"line": 4, "text": "License: GPL-3.0-or-later"}]


@pytest.mark.parametrize(
    ("said", "spdx"),
    [
        ("License: Apache License 2.0", "Apache-2.0"),
        ("License: GPLv2+", "GPL-2.0-or-later"),
        ("License: GPL", "unknown"),
        ("License: Proprietary", "unknown"),
        ("Classifier: License :: OSI Approved :: GNU Affero General Public License v3", "AGPL-3.0-only"),
        ("Classifier: License :: OSI Approved :: ISC License (ISCL)", "ISC"),
        ("Classifier: License :: OSI Approved :: BSD License", "unknown"),
        ("Classifier: Topic :: MIT", "unknown"),
    ],
)
def test_names_of_licences_are_understood_or_left_unknown(desk, said, spdx):
    assert desk["brain"].record_of(f"Metadata-Version: 2.1\nName: thing\n{said}\n")["spdx"] == spdx


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("MIT OR GPL-3.0-only", "permissive"),
        ("MIT AND GPL-3.0-only", "copyleft"),
        ("(MIT OR GPL-3.0-only) AND ISC", "copyleft"),
        ("MIT AND AGPL-3.0-only OR MPL-2.0", "weak-copyleft"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "copyleft"),
        ("MIT AND LicenseRef-Ours", "unknown"),
        ("", "unknown"),
        ("MIT AND " * 5_000 + "MIT", "unknown"),
    ],
)
def test_the_kind_of_an_expression_is_what_it_asks_of_a_user(desk, expression, kind):
    assert desk["spdx"].kind_of(expression) == kind


@pytest.mark.parametrize(
    "text", ["", " \n\t\n", "\0\0\0", "Lorem ipsum " * 1000, "\ud800", "Name:", "License:\n\n" * 50]
)
def test_what_says_nothing_is_unknown(desk, text):
    record = desk["brain"].record_of(text)
    assert (record["spdx"], record["kind"], record["holders"]) == ("unknown", "unknown", [])


@pytest.mark.slow
def test_a_giant_text_is_read_in_bounded_time_and_found_at_its_end(desk):
    began = time.monotonic()
    record = desk["brain"].record_of("Nothing to see here.\n" * 45_000 + MIT)
    assert record["spdx"] == "MIT"
    assert record["evidence"][0]["line"] > 45_000
    assert time.monotonic() - began < 10


def test_quotes_that_are_not_in_the_text_are_dropped_and_wrong_numbers_corrected(desk):
    records = desk["records"]
    given = [(1, "Copyright (c) 2019-2024 Ann Example"), (99, "Software."), (2, "All your base")]
    record = records.Record(spdx="MIT", kind="copyleft", evidence=[records.Evidence(*each) for each in given])
    checked = records.checked(record, MIT)
    assert [each.text for each in checked.evidence] == ["Copyright (c) 2019-2024 Ann Example", "Software."]
    assert "Software." in MIT.splitlines()[checked.evidence[1].line - 1]
    assert checked.kind == "permissive"


def test_a_folder_is_read_within_its_limits(desk, tmp_path):
    licences = desk["licences"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "COPYING").write_bytes("Copyright (c) 1999 José".encode("latin-1"))
    (tmp_path / "LICENSE").write_bytes(b"\0\1\2\0")
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "LICENSE.txt").write_bytes("é".encode() * licences.FILE_LIMIT)
    (tmp_path / "notes.txt").write_text("no licence")
    (tmp_path / "LICENSE-outside").symlink_to("/etc/hostname")
    folder = str(tmp_path)
    assert licences.list_documents(folder) == ["big/LICENSE.txt", "LICENSE", "old/COPYING"]
    assert licences.list_documents(folder, limit=1) == ["big/LICENSE.txt"]
    assert licences.list_documents(folder, only=["license", "nothing"]) == ["LICENSE"]
    assert licences.read_document("old/COPYING", folder).text.endswith("José")
    assert licences.read_document("LICENSE", folder).text == ""
    assert len(licences.read_document("big/LICENSE.txt", folder).text) == licences.FILE_LIMIT // 2
    with pytest.raises(licences.DocumentMissing):
        licences.read_document("../LICENSE", folder)
    with pytest.raises(licences.DocumentMissing):
        licences.list_documents(str(tmp_path / "nowhere"))


def test_a_folder_of_distributions_is_read_with_their_headers_and_broken_ones_file_by_file(desk, tmp_path):
    licences = desk["licences"]
    for name, headers in (("good-1.0", b"Name: good\nVersion: 1.0\n\nLong."), ("bad-2.0", b"Name: b\xffd\n")):
        inside = tmp_path / f"{name}.dist-info"
        inside.mkdir()
        (inside / "METADATA").write_bytes(b"Metadata-Version: 2.1\n" + headers)
        (inside / "LICENSE").write_text(MIT)
        (inside / "RECORD").write_text(f"{name}.dist-info/METADATA,,\n{name}.dist-info/LICENSE,,\n../LICENSE,,\n")
    (tmp_path / "empty-3.0.dist-info").mkdir()
    folder = str(tmp_path)
    assert licences.list_documents(folder) == ["bad-2.0.dist-info/LICENSE", "bad-2.0.dist-info/METADATA", "good"]
    document = licences.read_document("good", folder)
    assert (document.name, document.version) == ("good", "1.0")
    assert "Long." not in document.text
    record = desk["brain"].record_of(document.text)
    assert (record["name"], record["spdx"], record["holders"]) == ("good", "MIT", ["Ann Example"])
    assert desk["brain"].record_of(licences.read_document("bad-2.0.dist-info/METADATA", folder).text)["name"] == "bÿd"
