"""The echo agent in Agno's AgentOS, over SQLite: `python agno_server.py PORT FOLDER`."""

import sys
from typing import Any

import uvicorn
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.os import AgentOS


class EchoModel(Model):
    """Answers at once with what the user said last."""

    def _answer(self, messages: list[Any]) -> ModelResponse:
        return ModelResponse(role="assistant", content=str(messages[-1].content))

    def invoke(self, messages: Any = None, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer(messages)

    async def ainvoke(self, messages: Any = None, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer(messages)

    def invoke_stream(self, messages: Any = None, *args: Any, **kwargs: Any) -> Any:
        yield self._answer(messages)

    async def ainvoke_stream(self, messages: Any = None, *args: Any, **kwargs: Any) -> Any:
        yield self._answer(messages)

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response


port, folder = int(sys.argv[1]), sys.argv[2]
agent = Agent(
    id="echo", name="echo", model=EchoModel(id="echo"), db=SqliteDb(db_file=f"{folder}/agno.db"), telemetry=False
)
app = AgentOS(agents=[agent], telemetry=False).get_app()
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
