"""The route of providers: how the models that agents call are doing.

It shows what this node has seen since it started; the state is kept where calls are decided.
"""

from pilothouse.communication.http.call import Call
from pilothouse.wire.provider import ProviderPage, provider_view


async def list_providers(call: Call) -> None:
    states = call.front.world.outgoing.providers()
    await call.show(ProviderPage([provider_view(state) for state in states], None))
