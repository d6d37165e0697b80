"""Starts the desk of this folder as the first example starts its own: with a local model server that follows rules,
unless `GOOGLE_API_KEY` is set: then with Google's.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "01-licence-desk"))

import start  # noqa: E402 - it is in the folder beside this one

COMMANDS = """
The licence desk is at {url} (reviews, runs and sessions: {url}/docs).

1. ask, and ask again
   curl -s {url}/v1/agents/desk/runs -H 'content-type: application/json' \\
     -d '{{"input": "What licence has anyio?", "session": "ann"}}'

2. have a note kept; a person must agree
   curl -s {url}/v1/agents/desk/runs -H 'content-type: application/json' -H 'prefer: respond-async' \\
     -d '{{"input": "Note that anyio is only for tests.", "session": "ann"}}'
   curl -s "{url}/v1/reviews?status=open"

Ctrl-C stops it. What is running goes on at the next start.
"""

if __name__ == "__main__":
    if os.environ.get("GOOGLE_API_KEY"):
        os.environ.setdefault("OPENAI_BASE_URL", "Google's")  # says that no local model is wanted
    sys.exit(start.main(sys.argv[1:], HERE, COMMANDS))
