"""Stands between a sink and the Storage Write API and does what a network or an overloaded server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

_APPEND_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"


class Proxy:
    """Passes every call on, as bytes, unless told otherwise.

    ``lose_answers``: append calls reach the server and break before their answer comes back.
    ``refuse``: every call is answered with this status.
    ``hold``: answers are kept back while it is set.
    """

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target)
        self.lose_answers = 0
        self.refuse: grpc.StatusCode | None = None
        self.hold = threading.Event()
        self.appends = 0
        self._server = grpc.server(ThreadPoolExecutor(32))
        self._server.add_generic_rpc_handlers([_Handler(self)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self.hold.clear()
        self._server.stop(None)
        self._channel.close()

    def unary(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(context)
        try:
            call: Any = self._channel.unary_unary(method)
            answer: bytes = call(request, timeout=30)
        except grpc.RpcError as error:
            status: Any = error
            context.abort(status.code(), status.details())
        while self.hold.is_set():
            threading.Event().wait(0.01)
        return answer

    def append_rows(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._check(context)
        call: Any = self._channel.stream_stream(_APPEND_ROWS)
        try:
            for answer in call(self._counted(requests)):
                while self.hold.is_set():
                    threading.Event().wait(0.01)
                if self.lose_answers:
                    self.lose_answers -= 1
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
                self._check(context)
                yield answer
        except grpc.RpcError as error:
            status: Any = error
            context.abort(status.code(), status.details())

    def _counted(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        for request in requests:
            self.appends += 1
            yield request

    def _check(self, context: grpc.ServicerContext) -> None:
        if self.refuse is not None:
            context.abort(self.refuse, "refused")


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method == _APPEND_ROWS:
            return grpc.stream_stream_rpc_method_handler(self._proxy.append_rows)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._proxy.unary(method, request, context))
