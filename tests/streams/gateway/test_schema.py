"""Whatever the description of the API allows, and much that it does not, is answered without a fault."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as configured
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

ENDLESS = "/api/v1/users/{user_id}/live"
PLAIN = {"/api/", "/api/v1/models", "/api/v1/hooks/{hook_id}", "/api/v1/hooks/{hook_id}/test"}
"""What has no parameters cannot be asked wrongly."""
Asked = set[tuple[str, GenerationMode]]
FEW = {"delete": 3}
"""Examples of a method; an erasure asks Kafka a lot."""


@pytest.mark.filterwarnings("ignore")
def test_no_request_is_a_fault(http: httpx.Client, everything: dict[str, str]) -> None:
    description = http.get("/api/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    schema = schemathesis.openapi.from_dict(description)
    asked: Asked = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == ENDLESS:
            continue
        for mode in GenerationMode:
            _try(operation, mode, http, everything, asked)
    paths = set(description["paths"]) - {ENDLESS}
    assert {path for path, mode in asked if mode is GenerationMode.POSITIVE} == paths
    assert {path for path, mode in asked if mode is GenerationMode.NEGATIVE} == paths - PLAIN


def _try(operation: Any, mode: GenerationMode, http: httpx.Client, key: dict[str, str], asked: Asked) -> None:
    @configured(
        max_examples=FEW.get(operation.method, 5),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers(case: Any) -> None:
        if case.query is None or "wait" not in case.query:
            case.query = {**(case.query or {}), "wait": "0"}
        case.headers = {**(case.headers or {}), **key}
        answer = case.call(base_url=str(http.base_url))
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        if answer.status_code >= 400:
            assert answer.json()["reason"], answer.text

    with suppress(Unsatisfiable):  # what has no parameters cannot be asked wrongly
        answers()
        asked.add((operation.path, mode))
