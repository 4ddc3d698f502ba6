"""``facestream feedback``."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.console import PRODUCE, Json, Output, load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("feedback", rich_help_panel=PRODUCE)(feedback)


def feedback(
    event: Annotated[str, typer.Argument(help="The event id of the frame.")],
    subject: Annotated[str | None, typer.Option("--subject", "-s", help="The face is this subject.")] = None,
    not_subject: Annotated[str | None, typer.Option("--not", help="The face is not this subject.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Fail if the frame is of another user.", show_default=False)
    ] = None,
    face: Annotated[
        int | None, typer.Option(min=0, help="Number of the face in the match, from 0; needed if it is not clear.")
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Models may learn from the face, if the person has agreed to that.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Confirm or correct the match of a frame. The last statement about a face counts."""
    from schemas.as_json import to_json
    from schemas.ids import InvalidId, canonical_event_id
    from schemas.learning import Statement
    from streams.feedback.submit import submit

    output = Output(as_json)
    if (subject is None) == (not_subject is None):
        raise typer.BadParameter("give either --subject or --not")
    try:
        event_id = canonical_event_id(event)
    except InvalidId as error:
        raise typer.BadParameter(f"{event!r} is no event id") from error
    statement, whom = (Statement.IS, subject) if subject is not None else (Statement.IS_NOT, not_subject)
    assert whom is not None
    submitted = submit(load_settings(), event_id, statement, whom, user_id=user, face=face, training=training)
    feedback_event = submitted.feedback
    was = (
        f"recognised as {feedback_event.matched_subject_id}"
        if feedback_event.matched_subject_id
        else feedback_event.decision
    )
    verb = "it is" if statement is Statement.IS else "it is not"
    output.say(f"face {feedback_event.face}, {was}: {verb} {whom}")
    if not submitted.is_new:
        output.say("this feedback is there already")
    output.finish(to_json(feedback_event) | {"is_new": submitted.is_new})
