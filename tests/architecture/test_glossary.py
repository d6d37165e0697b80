"""Every noun of `domain` is a word of the glossary.

One word per thing: a stem that the glossary does not explain is either a synonym of one that it does, or a thing
that nobody has explained yet.
"""

import re

from tests.architecture.tree import ROOT, SRC, python_files

# Not a thing but how things are named.
EXCEPT = {"ids"}


def test_every_stem_of_the_domain_is_explained():
    bold = {word.lower() for word in re.findall(r"\*\*([^*]+)\*\*", (ROOT / "docs" / "glossary.md").read_text())}
    stems = {path.stem for path in python_files(SRC / "domain")} - {"__init__"} - EXCEPT
    assert stems
    assert stems - bold == set()
