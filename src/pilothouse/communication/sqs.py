"""The client of SQS, for the source and the receiver: botocore alone, without the two packages that are put on top.

It is made for each queue, since the address of a queue says where it is. What it does it does in threads.
"""

import os
import re
from typing import Any
from urllib.parse import urlsplit

REGION = re.compile(r"sqs\.([a-z0-9-]+)\.")


def make_client(url: str) -> Any:
    """A client for the endpoint of a queue. Its credentials and, where the host does not say it, its region are those
    of the environment, as every tool of AWS finds them."""
    import botocore.session
    from botocore.config import Config

    parts = urlsplit(url)
    found = REGION.match(parts.hostname or "")
    region = found[1] if found else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1}, max_pool_connections=32)
    return botocore.session.Session().create_client(
        "sqs", region_name=region, endpoint_url=f"{parts.scheme}://{parts.netloc}", config=config
    )
