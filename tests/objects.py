"""An S3 for the tests of one module (moto speaks the real protocol over HTTP), and a bucket for each test that asks."""

import os
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3, request, monkeypatch):
    """Its name; the environment has what reaches it."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    for name, value in {"AWS_ENDPOINT_URL": s3, **keys}.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{os.getpid()}-{abs(hash(request.node.nodeid))}"
    urlopen(Request(f"{s3}/{bucket}", method="PUT"), timeout=60).close()
    return bucket
