"""Every setting, read from environment variables that begin with ``FACESTREAM_`` and from the home's settings file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from models.embedder.references import Reference
from streams.kafka_settings import KafkaSettings
from streams.settings_file import PREFIX, SETTINGS_FILE, read

RUNNING_FILE = "running.json"
"""Written by ``facestream up`` into its folder: the settings with which to reach what it started."""


class Settings(KafkaSettings):
    """All settings of all roles; the documented table is generated from these descriptions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    home: Path = Field(
        Path(".facestream"), description="Folder of `facestream up`: data, logs, and the addresses of its services."
    )
    data_dir: Path | None = Field(
        None,
        description="Folder for the workers' tables, with a folder for each worker. Default: `<home>/workers`.",
    )

    partitions: int = Field(
        8, ge=1, le=1024, description="Partitions of every topic; `facestream topics repartition` gives them more."
    )
    replication_factor: int = Field(1, ge=1, description="Replicas of every topic.")
    topic_prefix: str = Field("", description="Prefix of every topic name and consumer group.")
    retention_hours: float = Field(
        168,
        gt=0,
        description="How long `uploads`, `frames`, `embeddings`, `matches`, `probes`, `search-parts`, `comparisons`, "
        "`enrolments`, `sightings`, `open-sightings`, `hook-deliveries` and `drift` are kept.",
    )
    dead_letter_retention_hours: float = Field(
        2160,
        gt=0,
        description="How long `dead-letters`, `resolutions`, `replays`, `feedback` and `drift-references` are kept.",
    )
    max_message_bytes: int = Field(
        12_000_000, gt=0, description="Largest Kafka message; must exceed max_picture_bytes."
    )
    session_timeout_s: float = Field(
        6, gt=0, description="Seconds without a heartbeat after which a worker loses its partitions."
    )
    commit_interval_s: float = Field(0.5, gt=0, description="Seconds between two commits of consumer offsets.")
    health_host: str = Field(
        "127.0.0.1", description="Address on which each worker serves `/healthz`, `/readyz` and `/metrics`."
    )
    health_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Port of that address; 0: a free one, which is in the worker's log and consumer group.",
    )
    health_ports: str = Field(
        "",
        pattern=r"^(\d{1,5}-\d{1,5})?$",
        description="Range such as `14030-14049`, of which a worker without a port of its own takes the first free "
        "one. Empty: any free port.",
    )
    watchdog_s: float = Field(
        60,
        gt=0,
        description="Seconds without progress, though there is work, after which a worker ends itself with exit code "
        "70; a single batch may take five times as long.",
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto",
        description="Log of workers, gateways and `facestream camera`: `text`, or `json`, an object a line. `auto`: "
        "`text` on a terminal, and for what `facestream up` starts; otherwise `json`.",
    )
    log_key_file: Path | None = Field(
        None,
        description="File with a secret for the hashes that stand for users in logs, the same for all workers. Without "
        "one, whoever knows the name of a user can find its lines.",
    )
    traces: bool = Field(
        False,
        description="Whether events carry OpenTelemetry traces, from producers to sinks: needs `facestream[traces]`. "
        "Spans go where OpenTelemetry's own variables say, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    )
    standby_replicas: int = Field(1, ge=0, description="Warm copies of each gallery shard on other match workers.")

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis-protocol server: `redis://user@host:6379/0`, or `rediss://` for TLS.",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="PEM file of the CA that signed the certificate of Redis; unset: the CAs that the system trusts.",
    )
    redis_password_file: Path | None = Field(
        None,
        description="File with the password of the user in FACESTREAM_REDIS_URL, which is read for every connection.",
    )
    redis_cluster: bool = Field(
        False,
        description="Whether Redis is a Redis Cluster. FACESTREAM_REDIS_URL may then name several of its nodes, "
        "separated by commas: the others are found by themselves.",
    )
    redis_prefix: str = Field("facestream:", description="Prefix of every Redis key.")
    result_ttl_s: int = Field(86_400, gt=0, description="Seconds for which a result is kept under its event id.")
    live_stream_length: int = Field(1_000, gt=0, description="Results kept in each user's live stream.")

    bigquery_project: str = Field("facestream", description="BigQuery project of the dataset.")
    bigquery_dataset: str = Field("facestream", description="BigQuery dataset of the tables and views.")
    bigquery_rest: str | None = Field(
        None, description="Address of a BigQuery-compatible REST server; unset: Google's."
    )
    bigquery_grpc: str | None = Field(
        None, description="host:port of that server's Storage API, without TLS; unset: Google's."
    )

    model: Reference = Field(
        Reference.ACCURATE,
        description="Reference model of a new installation: `accurate` (SFace) recognises people in poor pictures too, "
        "`fast` (dlib) takes less time. An installation with enrolled people stays on its model until "
        "`facestream models rollout` puts the other one in production.",
    )
    model_dir: Path | None = Field(
        None,
        description="Folder of a model version of your own (model card and weights), which answers instead of a "
        "reference model unless the topic `models` names another.",
    )
    models_dir: Path | None = Field(
        None,
        description="Folder with the trained and imported model versions, a folder for each; share it between several "
        "machines. Default: `<home>/models`.",
    )
    threshold_set: str | None = Field(
        None, description="Threshold set by which faces match; unset: the model card's default."
    )
    cpu_threads: int | None = Field(
        None, ge=1, description="Threads for decoding and inference; unset: the cores this process may use."
    )
    retrain_schedule: str = Field(
        "0 3 * * *", description="When `retrain` decides whether to train: a cron expression, in UTC. Empty: never."
    )
    retrain_min_people: int = Field(
        14,
        ge=4,
        description="Fewest people in a training set. With fewer than the default, versions are trained that may not "
        "take over.",
    )
    retrain_new_people: int = Field(5, ge=1, description="Fewest people since the last version that start a training.")
    retrain_new_faces: int = Field(
        100, ge=1, description="Fewest faces since the last version that start a training with fewer new people."
    )
    retrain_min_interval_h: float = Field(20, ge=0, description="Fewest hours from one training to the next.")
    retrain_mode: Literal["full", "head"] = Field("full", description="What is trained: see `facestream retrain`.")
    retrain_workers: int = Field(1, ge=1, le=64, description="Processes that train together, with the mode `full`.")
    retrain_steps: int = Field(300, ge=1, description="Most steps of a training, with the mode `full`.")
    retrain_lease_s: float = Field(
        30, ge=1, description="Seconds of silence after which another worker takes a training over."
    )
    retrain_timeout_h: float = Field(24, gt=0, description="Most hours that a training may take.")
    retrain_groups: Path | None = Field(
        None,
        description="CSV file with the groups of people or pictures for which a version must not be worse. See "
        "`docs/models.md`.",
    )
    batch_size: int = Field(32, ge=1, description="Most pictures in a micro-batch of embed.")
    batch_wait_ms: float = Field(5, ge=0, description="Milliseconds that a micro-batch waits to fill.")
    shed_frames_after_s: float | None = Field(
        None,
        gt=0,
        description="Seconds after which a live frame that still waits is answered with `overloaded` instead of being "
        "looked at, for machines that cannot do all; the oldest go first, photos and replays never. Unset: no frame.",
    )
    drift_reference: int = Field(
        300, ge=50, description="Faces in the reference sample of a camera and model version: the first ones."
    )
    drift_window: int = Field(
        300, ge=50, description="Faces in the current sample, which is compared with the reference: the last ones."
    )
    sighting_gap_s: float = Field(
        10,
        gt=0,
        description="Seconds for which a camera, by its own time, must not see a person for the sighting to end.",
    )
    sighting_update_s: float = Field(
        10, gt=0, description="Seconds, by the camera's time, from one message about a sighting to the next."
    )
    candidates: int = Field(5, ge=1, description="Most candidates listed for each face.")
    search_purposes: list[str] = Field(
        [],
        description="Purposes of consent whose templates a search over all users may find, as a JSON list: "
        '`["search"]`. Empty: nobody may search.',
    )
    search_candidates: int = Field(20, ge=1, description="Most candidates listed for each face of a search.")
    search_deadline_s: float = Field(
        10, gt=0, description="Seconds that a search waits for the other shards once the first has answered."
    )
    compact_galleries: bool = Field(
        False,
        description="Whether match keeps of users with more than 64 templates only codes of 8 bits in memory, a third "
        "of the memory, and their vectors in a file in its folder. Answers are the same.",
    )
    max_templates_per_subject: int = Field(64, ge=1, description="Most templates a subject may have.")
    max_picture_bytes: int = Field(10_000_000, gt=0, description="Most bytes of an encoded picture.")
    max_picture_pixels: int = Field(
        50_000_000, gt=0, description="Most pixels of a picture; one whose header announces more is not decoded."
    )
    max_event_age_days: float = Field(365, gt=0, description="Most days that an event's own time may be past.")
    max_clock_ahead_s: float = Field(
        3_600, gt=0, description="Most seconds that an event's own time may be in the future."
    )
    uri_roots: list[str] = Field(
        [],
        description='Prefixes that a `uri` may have, as a JSON list: `["file:///srv/photos/", "gs://bucket/"]`. '
        "Empty: no address is read. `https://` needs an entry too.",
    )
    uri_private_networks: bool = Field(
        False, description="Whether an `https://` address may lead into a private network."
    )

    hook_key_file: Path | None = Field(
        None,
        description="File with the key from which the secret of each hook is made: the same for `facestream hooks` and "
        "the workers of the role `hooks`. Default: `<home>/hooks.key`, which `facestream hooks add` makes.",
    )
    hook_private_networks: bool = Field(
        False, description="Whether the address of a hook may lead into a private network, there also with `http://`."
    )
    hook_timeout_s: float = Field(15, gt=0, description="Seconds within which the address of a hook must answer.")
    hook_retry_s: float = Field(
        5,
        gt=0,
        description="Seconds to the second attempt to post an event; each later pause is twice as long, up to an hour.",
    )
    hook_give_up_h: float = Field(
        24, gt=0, description="Hours after which an event that its address has not accepted is given up."
    )

    gateway_host: str = Field("127.0.0.1", description="Address on which `facestream gateway` listens.")
    gateway_port: int = Field(
        8085, ge=0, le=65_535, description="Port of that address; 0: a free one, which is in the gateway's log."
    )
    gateway_requests_per_s: float | None = Field(
        None,
        gt=0,
        description="Requests a second that a key may make for each user, in all gateways together; two seconds' worth "
        "may come at once, more get 429. Unset: any number.",
    )
    gateway_requests_at_once: int = Field(
        64, ge=1, description="Most requests that a key may have under way in one gateway at once; more get 429."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments take precedence over variables, these over what ``facestream up`` has written, and that over the
        settings file."""
        home = _home(init_settings, env_settings)
        return init_settings, env_settings, _Running(settings_cls, home), _File(settings_cls, home)

    @property
    def versions_dir(self) -> Path:
        """The folder of the trained and imported model versions."""
        return self.models_dir or self.home / "models"

    @property
    def hook_key_path(self) -> Path:
        """The file of the key from which the secrets of hooks are made."""
        return self.hook_key_file or self.home / "hooks.key"

    @property
    def chosen_model_dir(self) -> Path:
        """The folder of the model that these settings name: FACESTREAM_MODEL_DIR, or that of FACESTREAM_MODEL."""
        return self.model_dir or self.model.folder

    def worker_dir(self, name: str) -> Path:
        """The folder for the tables of the worker of this name."""
        return (self.data_dir or self.home / "workers") / name


class OwnSettings(Settings):
    """The settings of a new stack: from the environment and the settings file, not from a stack that runs or ran."""

    model_config = SettingsConfigDict(title=Settings.__name__)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments take precedence over environment variables, and these over the settings file."""
        return init_settings, env_settings, _File(settings_cls, _home(init_settings, env_settings))


class _HomeSource(PydanticBaseSettingsSource):
    """Reads a file of the home folder."""

    def __init__(self, settings_cls: type[BaseSettings], home: Path) -> None:
        super().__init__(settings_cls)
        self._home = home

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Unused: the file is read as a whole."""
        return None, field_name, False


class _Running(_HomeSource):
    """Reads the addresses of the services that ``facestream up`` runs in the home folder."""

    def __call__(self) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads((self._home / RUNNING_FILE).read_text("utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return values


class _File(_HomeSource):
    """Reads the settings file of the home folder; paths in it are relative to the file."""

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        values = read(self._home, fields)
        for name, value in values.items():
            if Path in (fields[name].annotation, *get_args(fields[name].annotation)) and isinstance(value, str):
                values[name] = str(self._home.absolute() / Path(value).expanduser())
        return values


def _home(init: PydanticBaseSettingsSource, env: PydanticBaseSettingsSource) -> Path:
    """The folder of which the files are read."""
    given = init.init_kwargs.get("home") if isinstance(init, InitSettingsSource) else None
    return Path(given or env().get("home") or Settings.model_fields["home"].default)


def origin(name: str) -> str:
    """Where the value of a setting comes from in this process: ``environment``, a file, or ``default``.

    Raises:
        InvalidSettingsFile: the settings file cannot be used.
    """
    if f"{PREFIX}{name}".upper() in {variable.upper() for variable in os.environ}:
        return "environment"
    variables = {variable.upper(): value for variable, value in os.environ.items()}
    home = Path(variables.get(f"{PREFIX}HOME") or Settings.model_fields["home"].default)
    if name in _Running(Settings, home)():
        return str(home / RUNNING_FILE)
    return str(home / SETTINGS_FILE) if name in read(home) else "default"


def variables(values: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that give another process these settings, which are as in JSON."""
    return {
        f"{PREFIX}{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }


@cache
def settings() -> Settings:
    """The settings of this process.

    Raises:
        pydantic.ValidationError: a variable has an unusable value; the message names the variable.
        InvalidSettingsFile: the settings file cannot be used.
    """
    return Settings()
