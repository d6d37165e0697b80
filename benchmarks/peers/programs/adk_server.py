"""The echo agent behind ADK's API server, sessions in SQLite: `python adk_server.py PORT FOLDER`."""

import sys
from pathlib import Path

import uvicorn
from google.adk.cli.fast_api import get_fast_api_app

AGENT = """
from google.adk.agents import BaseAgent
from google.adk.events import Event
from google.genai import types


class Echo(BaseAgent):
    async def _run_async_impl(self, ctx):
        yield Event(invocation_id=ctx.invocation_id, author=self.name, content=types.Content(
            role="model", parts=[types.Part(text=ctx.user_content.parts[0].text)]))


root_agent = Echo(name="echo")
"""

port, folder = int(sys.argv[1]), Path(sys.argv[2])
(folder / "agents" / "echo").mkdir(parents=True)
(folder / "agents" / "echo" / "__init__.py").write_text("from . import agent\n")
(folder / "agents" / "echo" / "agent.py").write_text(AGENT)
app = get_fast_api_app(
    agents_dir=str(folder / "agents"), session_service_uri=f"sqlite+aiosqlite:///{folder}/adk.db", web=False,
    auto_create_session=True,
)  # fmt: skip
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
