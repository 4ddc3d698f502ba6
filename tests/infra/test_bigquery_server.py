"""The corrections of the BigQuery-compatible server, in its own Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from infra import bigquery

SERVER = Path(bigquery.__file__).with_name("bigquery_server.py")
SCRIPT = """
import duckdb
import bigquery_server
from local_bigquery.catalog import tables
from local_bigquery.engine import database
from local_bigquery.jobs import query
from local_bigquery.models import JobConfigurationQuery

seen = []

def remember(value: str) -> str:
    seen.append(value)
    return value

bigquery_server.look_up_one_table_at_a_time()
bigquery_server.answer_once()
bigquery_server.list_no_tables_for_a_question()
cursor = database.connection().cursor()
cursor.create_function("remember", remember, side_effects=True)
job = ("facestream", tables.RESULTS, "job")
assert not tables.exists(*job)
tables.write(cursor, "SELECT remember($it) AS it", {"it": "once"}, job, JobConfigurationQuery())
assert seen == ["once"], seen
assert tables.exists(*job)
assert [field.name for field in tables.columns(*job)] == ["it"]
tables.write(cursor, "SELECT remember($it) AS a, NULL AS a", {"it": "two"}, ("facestream", tables.RESULTS, "names"),
             JobConfigurationQuery())
assert cursor.sql('FROM emulator._results."facestream:names"').columns == ["a", "a_1"]

asked = []

class Listens:
    def __getattr__(self, name):
        return getattr(cursor, name)

    def sql(self, text, **rest):
        asked.append(text)
        return cursor.sql(text, **rest)

query.execute(Listens(), "facestream", "another", JobConfigurationQuery(query="SELECT 1 AS one"))
assert tables.exists("facestream", tables.RESULTS, "another")
assert not [text for text in asked if "duckdb_tables()" in text], asked
"""


def test_a_question_is_answered_once_and_lists_no_tables(tmp_path: Path) -> None:
    env = os.environ | {"HOME": str(bigquery.ENVIRONMENT), "DATA_DIR": "data", "DEFAULT_PROJECT_ID": bigquery.PROJECT}
    ended = subprocess.run(
        [str(bigquery.ENVIRONMENT / "bin" / "python"), "-c", SCRIPT],
        env=env | {"PYTHONPATH": str(SERVER.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
