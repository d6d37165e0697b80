"""The licence desk with Google ADK, as its example has it."""

import pytest

from tests.frameworks.example import tell_story

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


async def test_the_licence_desk_answers_remembers_and_keeps_a_note_once_a_person_has_agreed(tmp_path):
    await tell_story(tmp_path, "05-google-adk", "google_adk")
