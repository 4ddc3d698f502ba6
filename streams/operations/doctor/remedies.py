"""All remedies that ``facestream doctor`` recommends.

A remedy heals what it is given for and loses nothing: for each there is a test that carries it out (``heals`` in
``tests/streams/operations/doctor``), and a test that compares the two lists.
"""

from __future__ import annotations

from enum import Enum

from sinks.redis.errors import Refusal


class Advice(str):
    """A remedy with its names and numbers filled in, as it is printed."""

    __slots__ = ("remedy",)
    remedy: Remedy

    def __new__(cls, text: str, remedy: Remedy) -> Advice:
        """Keep the kind of remedy beside the text."""
        advice = super().__new__(cls, text)
        advice.remedy = remedy
        return advice


class Remedy(Enum):
    """A kind of remedy; its value is the text, with placeholders for names and numbers."""

    # The machine
    SET_UP = "make clean setup (it rebuilds the environments; data are kept)"
    ROOM = "make room there, or set {setting} to a folder on another disk"
    WRITABLE = "give this user the right to write there, or set {setting} to a folder where it may"
    CLOCK = "let both machines take their time from NTP (`timedatectl` shows whether they do)"
    CRASHES = "{log} says why; fix that, and it continues where it was: it is restarted automatically"

    # Any service
    HANGS = "it hangs, or the machine is too busy: ask again, and restart it if it still does not answer"
    CHECK_LATE = "look at its log, then run this again"
    CHECK_BROKEN = "run this again; FACESTREAM_DEBUG=1 may show more"
    RESTARTING = "wait some seconds; {log} says why it ended"
    ELSEWHERE = "{how}; `facestream up` starts another one for this folder"
    ONE_ROLE_ONLY = "run this where `facestream[worker]` is installed, as in the image for every role"

    # Kafka
    KAFKA_AWAY = "start one with `facestream up`, or set FACESTREAM_KAFKA"
    CREATE_TOPICS = "facestream topics create"
    KEEP_RETENTION = "facestream topics create; or to keep it so, the line `{setting} = {hours:g}` in {file}"
    LOST_TOPICS = "{how}"
    REPAIR_TOPICS = (
        "stop the workers, `facestream topics repair`, start the workers (of `facestream up`: stop it and start it). "
        "That recreates the topics with all their records. Restarting only the workers would stop all of them"
    )
    SET_PARTITIONS = "set FACESTREAM_PARTITIONS={count}"
    SET_REPLICAS = "set FACESTREAM_REPLICATION_FACTOR={count}, or start more brokers and look here again"
    REPLICATE = (
        "stop the workers, then `facestream topics repair`, which recreates them with {count} replicas; or, without "
        "stopping anything, reassign their partitions with Kafka's own tools (kafka-reassign-partitions)"
    )
    BROKERS_BACK = "start {brokers} again; it catches up by itself. Its log and its disk show why it is away"
    BROKERS_LOGS = "look at the brokers' logs and disks"
    SKIP_UNREADABLE = (
        "have a broker repair it from a replica, or skip it: facestream dead-letters pass {topic} {partition} {offset}"
    )
    OPEN_TRANSACTION = (
        "nothing, if that producer is at work or was killed: the brokers end it after its transaction.timeout.ms (a "
        "minute by default); or have it end the transaction"
    )
    KAFKA_REFUSES = "{how}; see docs/security.md"
    SEE_TOPICS = "grant {who} the ACLs of its role"
    KAFKA_RIGHTS = "give {who} the right to read and write {topic} (kafka-acls)"

    # Workers
    START_WORKER = "facestream worker {role}"
    RESTART_WORKERS = "restart the {role} workers one after another, or start another one: facestream worker {role}"
    UNSETTLED = "look at their logs; stop one that starts again and again"
    FEWER_WORKERS = "run at most one for each partition"
    RESTART_WORKER = "restart {worker} on {machine}"
    SERVICE_FIRST = "fix {service} first (see there); the sink then continues by itself, and nothing is lost"
    ADD_WORKERS = "add workers: facestream worker {role}"
    RESTART_PROCESS = "restart it (process {pid})"
    WORKER_LOG = "look at its log on {machine}"
    HEALTH_ADDRESS = (
        "look at its log on {machine}; if it runs on another machine, FACESTREAM_HEALTH_HOST=0.0.0.0 lets it answer "
        "there"
    )
    MODEL_OF_WORKER = (
        "give {machine} the folder of that version in FACESTREAM_MODELS_DIR, or `facestream models rollback`; it is "
        "tried again every few seconds"
    )

    # Redis
    REDIS_AWAY = "start it with `facestream up`, or set FACESTREAM_REDIS_URL"
    REDIS_FULL = (
        "give it more memory (maxmemory), or keep results for less time (FACESTREAM_RESULT_TTL_S); the sink waits "
        "meanwhile, and nothing is lost"
    )
    REDIS_NEARLY_FULL = "give it more memory (maxmemory) before it takes no more"
    REDIS_EVICTS = "set maxmemory-policy to noeviction"
    REDIS_PRIMARY = "set FACESTREAM_REDIS_URL to the primary ({primary}) and restart the Redis sinks; nothing is lost"
    REDIS_CLUSTER = "set FACESTREAM_REDIS_CLUSTER=true; what Kafka still holds is written there by itself"
    REDIS_NO_CLUSTER = "set FACESTREAM_REDIS_CLUSTER=false"
    REDIS_SAVES = "make room on the disk it saves to, and let it save (BGSAVE); the sink waits meanwhile"
    REDIS_ADDRESS = "correct it: `facestream settings` shows where the value comes from"
    REDIS_PASSWORD = Refusal.PASSWORD.remedy
    REDIS_CERTIFICATE = Refusal.CERTIFICATE.remedy
    REDIS_HOST_NAME = Refusal.HOST_NAME.remedy
    REDIS_EXPIRED = Refusal.EXPIRED.remedy
    REDIS_RIGHTS = Refusal.RIGHTS.remedy
    REDIS_REPLICAS = "start its replicas again, or lower min-replicas-to-write; the sink waits meanwhile"
    REDIS_LOG = "look at its log; the sink waits meanwhile, and nothing is lost"

    # BigQuery
    BIGQUERY_CREDENTIALS = (
        "start one with `facestream up`; for Google's, log in with `gcloud auth application-default login`, or set "
        "GOOGLE_APPLICATION_CREDENTIALS"
    )
    BIGQUERY_AWAY = "start it with `facestream up`, or set FACESTREAM_BIGQUERY_REST"
    BIGQUERY_WRITE_AWAY = (
        "start it with `facestream up`, set FACESTREAM_BIGQUERY_GRPC, or give the account the right to write "
        "(roles/bigquery.dataEditor)"
    )
    BIGQUERY_RIGHTS = "give the account the right to read and to query (roles/bigquery.dataViewer and jobUser)"
    APPLY = "facestream bigquery apply"
    INCOMPATIBLE = (
        "rename the existing one, then run `facestream bigquery apply`; `facestream bigquery fill` writes what Kafka "
        "still has into a new table"
    )
    FILL = "facestream bigquery fill {table}"

    # What came of events
    DEAD_LETTERS = "facestream dead-letters list; when the cause is fixed, facestream replay dead-letters"
    CAMERA = "look through the camera: its lens, its light, where it points, how it compresses"

    HOOK = "have its address accept again (facestream hooks test {hook_id}), then facestream hooks enable {hook_id}"

    # Models
    MODEL_DIR = "set FACESTREAM_MODEL_DIR to a folder with card.json and its weights"
    MODELS_FOLDER = "let this user read it, or set FACESTREAM_MODELS_DIR to a folder that can be read"
    VERSION_FOLDER = "copy the complete folder again from another machine, or remove it"
    THRESHOLD = "set FACESTREAM_THRESHOLD_SET to one of these"
    CORES = "give the worker more cores (FACESTREAM_CPU_THREADS), or look what else runs here"

    def __call__(self, **values: object) -> Advice:
        """The text with these names and numbers."""
        return Advice(self.value.format(**values), self)
