"""An OTLP receiver over real HTTP: what an OpenTelemetry collector would have got."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.spans, self.resources, self.headers = [], [], []
        self.paths = set()
        self.status = 200
        """What it answers."""
        self.mends_after = 0
        """Requests that get that answer; those after them are taken. 0: all get it."""
        self.requests = 0
        self.asked = threading.Event()
        self.goes_on = threading.Event()
        """It answers nobody until this is set."""
        self.goes_on.set()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.goes_on.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        found = ExportTraceServiceRequest.FromString(body)
        self.server.paths.add(self.path)
        self.server.requests += 1
        self.server.asked.set()
        self.server.goes_on.wait(60)
        self.server.headers.append(self.headers)
        is_mended = 0 < self.server.mends_after < self.server.requests
        if self.server.status != 200 and not is_mended:
            self.send_response(self.server.status)
            self.send_header("content-length", "0")
            self.send_header("location", f"{self.server.url}/elsewhere")
            self.end_headers()
            return
        for resource in found.resource_spans:
            self.server.resources.append(resource.resource)
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


def attributes(span):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
