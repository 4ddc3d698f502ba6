"""``facestream replay``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from streams.cli.console import MAINTAIN, Json, Output, grid, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from schemas.replays import Replay
    from streams.replay.plan import ReplayPlan
    from streams.replay.sender import ReplayProgress

Since = Annotated[str, typer.Option("--from", help="The earliest: ISO 8601 (UTC without a zone), -2h, -3d, or oldest.")]
Until = Annotated[str, typer.Option("--to", help="The end, in the same forms.")]
Users = Annotated[list[str] | None, typer.Option("--user", "-u", help="Only events of this user; repeatable.")]
Camera = Annotated[str | None, typer.Option("--camera", "-c", help="Only frames of this camera.")]
Events = Annotated[list[str] | None, typer.Option("--event", "-e", help="Only the event with this id; repeatable.")]
Model = Annotated[str | None, typer.Option(help="Fail unless the workers run this model version.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.1, help="Fixed number of events a second. Default: as fast as live events allow."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the events and estimate the time.")]
Correct = Annotated[bool, typer.Option("--correct", help="Let the results replace the current ones.")]


class _Topics(TyperGroup):
    """Names the topics that can be replayed when another word is given."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command."""
        from streams.kafka.topics import Topic

        if args and not args[0].startswith("-") and args[0] not in self.commands:
            known = "frames, uploads, embeddings and dead-letters can be replayed"
            if args[0] in (Topic.MATCHES, Topic.ENROLMENTS):
                of = "frames" if args[0] == Topic.MATCHES else "uploads"
                raise typer.BadParameter(f"{args[0]} are made from {of} and embeddings: replay these; {known}")
            raise typer.BadParameter(f"there is no topic {args[0]!r} to replay: {known}")
        return super().resolve_command(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=_Topics,
        invoke_without_command=True,
        help="Send past events through the live workers again, beside their results or to correct them.",
    )
    group.callback()(resume)
    group.command("frames")(frames)
    group.command("uploads")(uploads)
    group.command("embeddings")(embeddings)
    group.command("dead-letters")(dead_letters)
    group.command("list")(list_)
    app.add_typer(group, name="replay", rich_help_panel=MAINTAIN)


def resume(
    context: typer.Context,
    replay_id: Annotated[
        str | None, typer.Option("--resume", metavar="ID", help="Resume a replay that was stopped.")
    ] = None,
    rate: Rate = None,
    as_json: Json = False,
) -> None:
    """Resume a replay."""
    if context.invoked_subcommand is not None:
        return
    if replay_id is None:
        raise typer.BadParameter("say what to replay: frames, uploads, embeddings or dead-letters, or --resume ID")
    from streams.replay import store

    settings = load_settings()
    _send(store.find(settings, replay_id), rate, Output(as_json), {})


def frames(
    since: Since,
    until: Until = "now",
    user: Users = None,
    camera: Camera = None,
    event: Events = None,
    model: Model = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    correct: Correct = False,
    as_json: Json = False,
) -> None:
    """Embed and match frames again."""
    _replay("frames", since, until, user, camera, event, model, rate, dry_run, correct, as_json)


def uploads(
    since: Since,
    until: Until = "now",
    user: Users = None,
    event: Events = None,
    model: Model = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    into_gallery: Annotated[
        bool,
        typer.Option("--into-gallery", "--correct", help="Put the templates into the gallery, and correct outcomes."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Embed uploads again and decide about them; with --into-gallery, rebuild the gallery."""
    _replay("uploads", since, until, user, None, event, model, rate, dry_run, into_gallery, as_json)


def embeddings(
    since: Since,
    until: Until = "now",
    user: Users = None,
    camera: Camera = None,
    event: Events = None,
    model: Model = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    correct: Correct = False,
    as_json: Json = False,
) -> None:
    """Match again, without the pictures; with --correct, uploads go into the gallery too."""
    _replay("embeddings", since, until, user, camera, event, model, rate, dry_run, correct, as_json)


def dead_letters(
    reasons: Annotated[
        list[str] | None, typer.Option("--reason", "-r", help="Only dead letters with this reason; repeatable.")
    ] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Only dead letters of this role.")] = None,
    letters: Annotated[
        list[str] | None,
        typer.Option("--letter", metavar="ID", help="Only the dead letter whose id begins with this; repeatable."),
    ] = None,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry",
            help="Include those left `sending` by a replay that was killed. Their messages may have been sent already; "
            "an event that comes twice has its effect once.",
        ),
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Dead letters a second.")] = 100.0,
    dry_run: DryRun = False,
    wait: Annotated[bool, typer.Option(help="Wait until each message was processed or is a dead letter again.")] = True,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for that.")] = 60.0,
    as_json: Json = False,
) -> None:
    """After a fix, send the message of each open dead letter back to its topic, at most once.

    Then wait for the outcome, and say how many were processed and how many failed again, with the reason; exit with 1
    if any failed again.
    """
    from streams.cli.dead_letters import redrive
    from streams.dead_letters.redrive import RedriveFilter

    wanted = RedriveFilter(reasons or (), stage, [word.lower() for word in letters or ()], retry)
    redrive(wanted, rate, dry_run, Output(as_json), timeout if wait else None)


def list_(as_json: Json = False) -> None:
    """Show the replays and their states."""
    from schemas.as_json import to_json
    from streams.replay import store

    output = Output(as_json)
    table = grid("id", "topic", "state", "#sent", "#of", "mode", "began", "host")
    listed = []
    for replay in store.replays(load_settings()):
        state = store.shown_state(replay)
        began = f"{replay.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
        mode = "correct" if replay.corrects else "beside"
        table.add_row(
            *(replay.replay_id, replay.topic, state, str(replay.sent), str(replay.planned), mode, began),
            escape(replay.host),
        )
        listed.append(to_json(replay) | {"state": state})
    if listed:
        output.table(table)
    else:
        output.say("no replays")
    output.finish({"replays": listed})


def _replay(
    topic: str,
    since: str,
    until: str,
    users: list[str] | None,
    camera: str | None,
    events: list[str] | None,
    model: str | None,
    rate: float | None,
    dry_run: bool,
    corrects: bool,
    as_json: bool,
) -> None:
    from schemas.clock import utc_now
    from streams.kafka.topics import Topic
    from streams.replay import store
    from streams.replay.plan import ReplayRequest, estimate_s, make_plan
    from streams.replay.times import parse_time

    output, settings, now = Output(as_json), load_settings(), utc_now()
    request = ReplayRequest(
        Topic(topic),
        parse_time(since, now),
        parse_time(until, now),
        users or [],
        camera,
        [_uuid(one) for one in events or []],
        model,
        corrects,
    )
    plan = make_plan(settings, request)
    seconds = estimate_s(plan.replay.planned, request.topic, rate, store.replays(settings))
    planned = _show(plan, seconds, output) | {"dry_run": dry_run}
    if dry_run:
        output.finish(planned)
        return
    _send(plan.replay, rate, output, planned)


def _uuid(text: str) -> str:
    from schemas.ids import InvalidId, canonical_event_id

    try:
        return canonical_event_id(text)
    except InvalidId as error:
        raise typer.BadParameter(f"{text!r} is no event id: it is a UUID") from error


def _show(plan: ReplayPlan, seconds: float, output: Output) -> dict[str, Any]:
    replay = plan.replay
    table = grid("partition", "#events", "#from offset", "#to offset")
    for one in replay.ranges:
        count = plan.by_partition[one.partition]
        table.add_row(str(one.partition), str(count), str(one.first_offset), str(one.end_offset))
    output.table(table)
    since = "the beginning" if replay.from_time.timestamp() == 0 else f"{replay.from_time:%Y-%m-%d %H:%M:%S} UTC"
    about = "" if plan.exact else "at most "
    output.say(
        f"{about}{replay.planned} {replay.topic} from {since} to {replay.to_time:%Y-%m-%d %H:%M:%S} UTC, "
        f"{f'about {timedelta(seconds=round(seconds))}' if seconds >= 1 else 'less than a second'}"
    )
    if plan.erased:
        output.warn(
            f"{plan.erased} more are of people who were erased after them: workers refuse them, so they stay out"
        )
    return {
        "topic": replay.topic,
        "from": _iso(replay.from_time),
        "to": _iso(replay.to_time),
        "events": replay.planned,
        "exact": plan.exact,
        "erased": plan.erased,
        "partitions": {str(number): count for number, count in plan.by_partition.items()},
        "estimated_s": round(seconds, 3),
        "corrects": replay.corrects,
    }


def _iso(at: datetime) -> str:
    from schemas.as_json import time_text

    return time_text(at)


def _send(replay: Replay, rate: float | None, output: Output, planned: dict[str, Any]) -> None:
    from streams.replay.sender import Sender

    before = replay.sent
    with output.progress() as bar:
        task = bar.add_task(f"replay {replay.replay_id}", total=replay.planned, completed=before, note="")

        def report(progress: ReplayProgress) -> None:
            note = f"{progress.under_way} under way {progress.note}"
            bar.update(task, completed=before + progress.sent - progress.under_way, note=note)

        sender = Sender(load_settings(), replay, rate=rate, report=report)
        output.say(f"replay {replay.replay_id} begins" if not before else f"replay {replay.replay_id} goes on")
        try:
            sender.run()
        except BaseException:
            if sender.progress.sent or before:
                output.warn(f"stopped; resume with `facestream replay --resume {replay.replay_id}`")
            output.finish(planned | _result(sender.replay, sender))
            raise
    result = planned | _result(sender.replay, sender)
    sent = pluralize(sender.progress.sent, "event")
    of_all = f" (with those before {sender.replay.sent})" if before else ""
    output.say(
        f"{sent} sent{of_all}, {result['answered']} answered, {result['events_per_s']} a second: "
        f"replay {replay.replay_id} is {result['state']}"
    )
    if sender.erased and not planned.get("erased"):
        output.warn(f"{sender.erased} were not sent: they are of people who were erased after them")
    output.finish(result)
    if sender.progress.unanswered:
        unanswered = pluralize(sender.progress.unanswered, "event has", "events have")
        output.warn(f"{unanswered} not been answered: see `facestream doctor`")
        raise typer.Exit(1)


def _result(replay: Replay, sender: Any) -> dict[str, Any]:
    progress: ReplayProgress = sender.progress
    seconds = max(replay.seconds, 1e-3)
    return {
        "replay_id": replay.replay_id,
        "topic": replay.topic,
        "state": replay.state.value,
        "sent": replay.sent,
        "sent_now": progress.sent,
        "answered": progress.answered,
        "unanswered": progress.unanswered,
        "unreadable": sender.unreadable,
        "erased": sender.erased,
        "seconds": round(seconds, 3),
        "events_per_s": round(replay.sent / seconds, 1),
    }
