"""HTTP: the routes of the contract over the verbs of the engine. `app.HttpApp` is the ASGI callable."""
