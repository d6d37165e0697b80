"""What a program pays for `import pilothouse`: counted in modules, since milliseconds belong to the machine."""

import subprocess
import sys

HEAVY = ("asyncio", "concurrent", "dataclasses", "httpx2", "logging", "multiprocessing", "ssl", "starlette", "uvloop")
"""What nobody needs who only declares an agent."""
LIMIT = 140
"""Modules, those that Python loads anyway included."""


def test_the_sdk_brings_nothing_heavy_and_not_much():
    code = "import sys, pilothouse; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert [one for one in HEAVY if one in modules] == []
    assert len(modules) < LIMIT
