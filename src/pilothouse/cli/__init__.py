"""Arguments -> one call -> text or --json. `main` is the command `pilothouse`.

The command is installed with the sdk too, where agents run beside a framework and nothing of the server is there; then
it says what to install instead of showing a stack.
"""

import sys

from pilothouse.cli.exits import Exit


def main() -> None:
    try:
        from pilothouse.cli.program import main as run
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("pilothouse"):
            raise
        sys.stderr.write(
            "Error: This installation has the sdk only, for agents that run beside a framework.\n"
            'Next:  pip install "pilothouse[standard]"\n'
        )
        raise SystemExit(Exit.OPERATOR) from None
    run()
