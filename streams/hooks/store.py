"""Makes, lists, removes and enables hooks on the topic ``hooks``, and follows them."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from schemas import codec
from schemas.clock import utc_now
from schemas.codec import stable_id
from schemas.errors import CodecError, FacestreamError
from schemas.hooks import Hook, HookKind
from schemas.ids import checked_name
from streams.hooks.addresses import checked_address
from streams.hooks.secrets import HookSecret, load_or_make_hook_key
from streams.kafka.log_tail import LogTail
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.made_by import made_by
from streams.settings import Settings


class NoSuchHook(FacestreamError):
    """There is no such hook."""


class HookNotMade(FacestreamError):
    """A hook cannot be made so; the message says why."""


class HookTaken(FacestreamError):
    """Another hook has this id."""


class HookList:
    """The hooks as the topic has them; for one thread, but ``of`` and ``all`` may be asked from any."""

    def __init__(self, settings: Settings) -> None:
        """Connects when it first looks."""
        self._hooks: dict[str, Hook] = {}
        self._tail = LogTail(settings, Topic.HOOKS, self._forget)

    def look(self) -> None:
        """Take in what has changed.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        for message in self._tail.more():
            self._add(message)

    def all(self) -> list[Hook]:
        """All, the oldest first."""
        return sorted(self._hooks.values(), key=lambda hook: (hook.created_at, hook.hook_id))

    def of(self, hook_id: str) -> Hook | None:
        """One of them; None if there is none of this id."""
        return self._hooks.get(hook_id)

    def close(self) -> None:
        """Disconnect."""
        self._tail.close()

    def _add(self, message: Message) -> None:
        hooks = dict(self._hooks)
        if message.value is None:
            hooks.pop((message.key or b"").decode(errors="replace"), None)
        else:
            with suppress(CodecError):
                hook = codec.decode(message.value, Hook)
                hooks[hook.hook_id] = hook
        self._hooks = hooks

    def _forget(self) -> None:
        """The topic was deleted and made again."""
        self._hooks = {}


def add_hook(
    settings: Settings,
    address: str,
    kinds: Collection[HookKind],
    *,
    user: str | None,
    name: str = "",
    hook_id: str | None = None,
    created_by: str | None = None,
) -> tuple[HookSecret, Hook]:
    """Make a hook, and wait until Kafka has it.

    Args:
        settings: of the installation.
        address: where to post.
        kinds: what to post.
        user: whose events; None: those of all users.
        name: what it is for.
        hook_id: as :func:`new_hook_id` makes it; None: a new one. With that of a hook that is there already, this
            hook is given back if it is made just so.
        created_by: who makes it; None: whoever runs this process.

    Raises:
        HookNotMade: it would get nothing.
        HookTaken: the hook of this id is another one.
        AddressRefused: nothing may be posted to the address.
        InvalidId: the user's name is not accepted.
        NoHookKey: there is no key to make its secret with.
        KafkaUnavailable: no broker answers.
    """
    if not kinds:
        raise HookNotMade("a hook without a kind of events gets nothing: name at least one")
    checked_address(address, settings)
    user_id = None if user is None else checked_name("user_id", user)
    words = [kind.value for kind in HookKind if kind in kinds]
    key, is_new = load_or_make_hook_key(settings), hook_id is None
    hook_id = hook_id or new_hook_id()
    secret = key.secret(hook_id, address, user_id, words)
    hook = Hook(
        hook_id=hook_id,
        address=address,
        kinds=words,
        secret_sha256=secret.digest,
        created_at=utc_now(),
        created_by=created_by or made_by(),
        user_id=user_id,
        name=name,
    )
    there = None if is_new else next((one for one in list_hooks(settings) if one.hook_id == hook_id), None)
    if there is not None:
        if (there.secret_sha256, there.name) != (hook.secret_sha256, name):
            raise HookTaken(f"{hook_id} is there already, with another address, user, name or other events")
        return secret, there
    write_hook(settings, hook)
    return secret, hook


def new_hook_id(*parts: str) -> str:
    """An id for a hook: always the same for the same parts, and a random one without."""
    return f"hook-{stable_id(*parts).replace('-', '') if parts else secrets.token_hex(16)}"


def list_hooks(settings: Settings) -> list[Hook]:
    """All hooks, the oldest first.

    Raises:
        KafkaUnavailable, TopicMissing: see :meth:`HookList.look`.
    """
    hooks = HookList(settings)
    try:
        hooks.look()
        return hooks.all()
    finally:
        hooks.close()


def find_hook(settings: Settings, hook_id: str) -> Hook:
    """The hook whose id begins so.

    Raises:
        NoSuchHook: none does, or several do.
        KafkaUnavailable, TopicMissing: see :meth:`HookList.look`.
    """
    found = [hook for hook in list_hooks(settings) if hook_id and hook.hook_id.startswith(hook_id)]
    if len(found) != 1:
        raise NoSuchHook(f"{len(found) or 'no'} hooks begin with {hook_id!r}: see `facestream hooks list`")
    return found[0]


def remove_hook(settings: Settings, hook: Hook) -> None:
    """Remove a hook; the workers drop what waits for it within seconds.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    RecordWriter(settings, Topic.HOOKS).write(hook.hook_id, None)


def enable_hook(settings: Settings, hook_id: str) -> Hook:
    """Post again to a hook that was disabled: what is decided from now on.

    Raises:
        NoSuchHook, KafkaUnavailable, TopicMissing: see :func:`find_hook`.
    """
    hook = find_hook(settings, hook_id)
    if hook.disabled_at is not None:
        hook = replace(hook, disabled_at=None, disabled_because=None, created_at=utc_now())
        write_hook(settings, hook)
    return hook


def write_hook(settings: Settings, hook: Hook) -> None:
    """Write a hook's record.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    RecordWriter(settings, Topic.HOOKS).write(hook.hook_id, codec.encode(hook))
