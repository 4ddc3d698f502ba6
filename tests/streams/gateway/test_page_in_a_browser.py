"""The live page in a real browser: a person is enrolled, recognised, and erased."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import cv2
import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from infra.photos import sample_photos
from schemas import codec
from schemas.access import Scope
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.learning import Feedback
from streams.gateway.server import opened
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.settings import Settings
from tests.sinks.examples import dead_letter, enrolment, sighting, with_otto
from tests.streams.gateway.browser import NoBrowser, browser
from tests.streams.gateway.conftest import MakeKey, keep, served
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("workers")
Photos = dict[str, Path]
PHONE = {"width": 360, "height": 740}
FIRST_PAINT_MS = 1_000
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    try:
        with browser() as running:
            yield running
    except NoBrowser as missing:
        pytest.skip(str(missing))


@pytest.fixture
def page(chromium: Browser, http: httpx.Client) -> Iterator[Page]:
    """A page that fails the test if it has an error, or asks for anything that is not the gateway's."""
    with chromium.new_context(base_url=str(http.base_url)) as context:
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console", lambda message: wrong.append(message.text) if _is_fault(message.type, message.text) else None
        )
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        own = str(http.base_url).rstrip("/")
        page.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
        yield page
        assert not wrong


def _is_fault(kind: str, text: str) -> bool:
    # The browser notes every answer of 4xx; whether one should have come is the tests' business.
    return kind == "error" and not text.startswith("Failed to load resource")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Photographs, small enough for the limit of these tests."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("obama", "obama2", "biden"):
        picture = cv2.imread(str(sample_photos() / f"{name}.jpg"))
        cv2.imwrite(str(folder / f"{name}.jpg"), cv2.resize(picture, (320, 240)))
    (folder / "notes.jpg").write_text("no picture")
    return {path.stem: path for path in folder.iterdir()}


def sign_in(page: Page, key: dict[str, str], user: str) -> None:
    page.goto(f"/#key={key['Authorization'].removeprefix('Bearer ')}&user={user}")
    expect(page.get_by_role("heading", name="Live")).to_be_visible()


def enrol(page: Page, name: str, *files: Path) -> None:
    page.get_by_role("link", name="Enrol").click()
    page.get_by_label("Name of the person").fill(name)
    page.get_by_label("What the person has agreed to").fill("opening the door")
    page.locator("#picture").set_input_files(files)


def post_frame(http: httpx.Client, key: dict[str, str], user: str, photo: Path, camera: str) -> None:
    url, headers = f"/api/v1/users/{user}/frames", key | {"Content-Type": "image/jpeg"}
    assert http.post(url, params={"camera_id": camera}, headers=headers, content=photo.read_bytes()).status_code == 202


def test_a_person_is_enrolled_recognised_and_erased(
    page: Page, http: httpx.Client, everything: dict[str, str], user: str, photos: Photos
) -> None:
    sign_in(page, everything, user)
    assert "key" not in page.url and everything["Authorization"][7:] not in page.content()
    page.go_back()
    assert "key=" not in page.url, "nor is it in the history"
    sign_in(page, everything, user)

    enrol(page, "Ada", photos["obama"], photos["notes"])
    expect(page.get_by_text("Ada is enrolled, now with 1 photo.")).to_be_visible()
    refused = page.locator(".refused")
    expect(refused).to_contain_text("Choose a JPEG, PNG, WebP or HEIC picture")
    assert refused.get_attribute("data-reason") == "undecodable"
    drop(page, photos["obama2"])
    expect(page.get_by_text("Ada is enrolled, now with 2 photos.")).to_be_visible()

    page.get_by_role("link", name="Try a photo").click()
    page.locator("#picture").set_input_files(photos["obama"])
    expect(page.locator(".faces")).to_contain_text("Ada similarity 1.00")
    expect(page.get_by_role("img", name="The picture with 1 face: Ada")).to_be_visible()
    page.locator("#picture").set_input_files(photos["biden"])
    expect(page.get_by_role("img", name="The picture with 1 face: unknown")).to_be_visible()

    page.get_by_role("link", name="Live").click()
    expect(page.get_by_text("Following.")).to_be_visible()
    post_frame(http, everything, user, photos["obama2"], "front-door")
    seen = page.locator(".answers li").first
    expect(seen).to_contain_text("Ada")
    expect(seen).to_contain_text("front-door")
    expect(seen.locator("rect.match")).to_have_attribute("width", "200")
    expect(page.get_by_role("list", name="The latest of each camera")).to_contain_text("front-door")
    page.get_by_label("Filter").fill("page")
    expect(page.locator(".answers li")).to_have_count(2)

    page.get_by_role("link", name="People").click()
    page.get_by_role("button", name="Photos of Ada: 2").click()
    photos_of = page.get_by_role("list", name="Photos of Ada").get_by_role("listitem")
    expect(photos_of).to_have_count(2)
    photos_of.last.get_by_role("button", name="Erase the photo").click()
    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile("A photo of Ada is (being )?erased"))).to_be_visible()
    expect(photos_of).to_have_count(1)
    page.get_by_role("button", name="Photos of Ada").click()
    expect(photos_of).to_have_count(0)
    page.get_by_role("button", name="Erase Ada").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Erase Ada").click()
    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile("^Ada is (being )?erased"))).to_be_visible()
    page.get_by_text("Receipt", exact=True).first.click()
    expect(page.get_by_text("Removed by match").first).to_be_visible()
    expect(page.get_by_text("Nobody is enrolled.")).to_be_visible()
    page.get_by_role("link", name="Try a photo").click()
    page.locator("#picture").set_input_files(photos["obama"])
    expect(page.locator(".faces")).to_contain_text("Enrol somebody first.")
    page.get_by_role("link", name="Live").click()
    expect(page.get_by_text("Following.")).to_be_visible()
    expect(page.locator(".answers")).not_to_contain_text("Ada")


def drop(page: Page, photo: Path) -> None:
    """Drop a file on the place for it, as a person does."""
    page.evaluate(
        """([name, content]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name, {type: "image/jpeg"}));
            const drop = document.querySelector(".drop");
            for (const type of ["dragover", "drop"]) {
                drop.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true}));
            }
        }""",
        [photo.name, base64.b64encode(photo.read_bytes()).decode()],
    )


def test_an_answer_is_corrected(
    page: Page, http: httpx.Client, everything: dict[str, str], settings: Settings, user: str
) -> None:
    keep(settings, *(enrolment(user_id=user, subject_id=name) for name in ("anna", "otto")))
    seen = with_otto(user_id=user)
    keep(settings, seen)

    def said() -> list[tuple[str, int, str, str, bool]]:
        records = [one.value for one in read_topic(settings, Topic.FEEDBACK)]
        found = [codec.decode(value, Feedback) for value in records if value is not None]
        return [
            (one.event_id, one.face, one.statement.value, one.subject_id, one.training)
            for one in found
            if one.user_id == user
        ]

    sign_in(page, everything, user)
    correct = page.get_by_role("button", name="Correct otto, door")
    correct.click()
    expect(page.get_by_role("heading", name="Is this otto?")).to_be_visible()
    page.get_by_role("button", name="Not otto").click()
    expect(page.get_by_text("noted: not otto")).to_be_visible()
    expect(correct).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="has no subject 'nobody'")).to_be_visible()
    expect(page.locator("dialog option")).to_have_count(2)
    page.get_by_label("Or this is").fill("anna")
    page.get_by_label("Models may learn").check()
    page.get_by_role("button", name="Say so").click()
    expect(page.get_by_text("noted: this is anna")).to_be_visible()
    page.get_by_label("Filter").fill("garage")
    page.get_by_label("Filter").fill("door")
    expect(page.get_by_text("noted: this is anna")).to_be_visible()
    assert said() == [(seen.event_id, 1, "is_not", "otto", False), (seen.event_id, 1, "is", "anna", True)]


def test_what_was_seen_today_and_before_is_found(
    page: Page, http: httpx.Client, make_key: MakeKey, settings: Settings, user: str
) -> None:
    now = utc_now()
    today = sighting(user_id=user, camera_id="hall", first_seen_at=now, last_seen_at=now, subject_id="anna")
    stranger = replace(today, sighting_id=new_event_id(), change_id=new_event_id(), subject_id=None, stranger_id="p-7")
    past = now - timedelta(days=3)
    before = sighting(user_id=user, camera_id="hall", first_seen_at=past, last_seen_at=past, subject_id="otto")
    keep(settings, today, stranger)
    keep(settings, before, redis=False)
    sign_in(page, make_key(Scope.READ, user=user), user)
    page.get_by_role("link", name="Seen").click()
    rows = page.get_by_role("list", name="Sightings, the newest first").get_by_role("listitem")
    expect(page.get_by_text("2 sightings.")).to_be_visible()
    expect(rows.filter(has_text="p-7")).to_contain_text("hall")
    assert page.get_by_role("button", name="Correct").count() == 0, "the key may not"
    page.get_by_label("Name").fill("anna")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("1 sighting.")).to_be_visible()
    expect(rows).to_contain_text("anna")
    page.get_by_label("Name").fill("")
    page.get_by_label("From").fill(f"{now - timedelta(days=5):%Y-%m-%dT%H:%M}")
    page.get_by_label("Name").press("Enter")
    page.get_by_role("button", name="Look in the past too").click()
    expect(page.get_by_text("3 sightings.")).to_be_visible()
    expect(rows.last).to_contain_text("otto")
    page.get_by_label("To").fill(f"{now - timedelta(days=2):%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nobody was seen then.")).to_be_visible()
    page.get_by_role("button", name="Look in the past too").click()
    expect(page.get_by_text("1 sighting.")).to_be_visible()


def test_operations_shows_how_things_stand_and_sends_dead_letters_back(
    page: Page, http: httpx.Client, everything: dict[str, str], settings: Settings, user: str, photos: Photos
) -> None:
    # To a topic that no worker of these tests reads.
    letter = dead_letter(topic=Topic.COMPARISONS.named(settings), partition=1, offset=7, reason="key_mismatch")
    RecordWriter(settings, Topic.DEAD_LETTERS).write(letter.letter_id, codec.encode(letter))
    page.goto(f"/#key={everything['Authorization'].removeprefix('Bearer ')}")
    expect(page.get_by_role("heading", name="Choose a user")).to_be_visible()
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("region", name="Partitions by role").get_by_role("row", name="sink-redis")).to_be_visible()
    expect(page.get_by_role("region", name="Model versions")).to_contain_text("answers")
    row = page.get_by_role("region", name="Dead letters").get_by_role("row", name="key_mismatch")
    row.get_by_role("button", name="Send back: key_mismatch, embed").click()
    expect(row.get_by_role("button")).to_have_count(0)
    expect(row.get_by_role("cell").nth(2)).to_have_text("1")
    page.get_by_label("User").fill(user)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("0.0 frames a second.")).to_be_visible()
    post_frame(http, everything, user, photos["obama"], "door")
    expect(page.get_by_text(re.compile(r"^0\.1 frames a second, half of them within \d+ ms"))).to_be_visible()


def test_the_webcam_enrols(page: Page, everything: dict[str, str], user: str) -> None:
    sign_in(page, everything, user)
    enrol(page, "Grace")
    page.get_by_role("button", name="Use the webcam").click()
    wait_until(lambda: page.evaluate("document.querySelector('dialog video')?.videoWidth > 0"))
    page.get_by_role("button", name="Take the photo").click()
    expect(page.get_by_text("Grace is enrolled, now with 1 photo.")).to_be_visible()
    assert page.evaluate("document.querySelector('dialog')") is None


def test_signing_in_by_hand_and_what_a_wrong_key_is_told(page: Page, make_key: MakeKey, user: str) -> None:
    page.goto("/")
    page.get_by_label("Key").fill("fs_wrong")
    page.get_by_label("Key").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The key is unknown, revoked or over. Paste the whole key again")
    reader = make_key(Scope.READ, user=user)["Authorization"]
    page.get_by_label("Key").fill(reader.removeprefix("Bearer "))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Following.")).to_be_visible()
    expect(page.get_by_role("link", name="Operations")).to_have_count(0)
    page.get_by_role("link", name="Enrol").click()
    expect(page.get_by_text("it lacks the scope upload")).to_be_visible()
    page.get_by_label("User").fill("somebody-else")
    page.get_by_role("link", name="Live").click()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Choose a user whose data the key reaches.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key")).to_be_focused()
    page.reload()
    expect(page.get_by_label("Key")).to_have_value("")


def test_a_name_that_looks_like_markup_is_a_name(
    page: Page, http: httpx.Client, everything: dict[str, str], user: str, photos: Photos
) -> None:
    name = "<img src=x onerror=alert(1)>"
    sign_in(page, everything, user)
    enrol(page, name, photos["obama"])
    expect(page.get_by_text(f"{name} is enrolled")).to_be_visible()
    for where in ("Live", "People"):
        page.get_by_role("link", name=where).click()
        expect(page.get_by_text(name).first).to_be_visible()
    assert page.locator("main img").count() == 0
    dots = "import('/page/api.js').then((api) => { try { api.at`/${'..'}` } catch (error) { return error.reason } })"
    assert page.evaluate(dots) == "invalid_id", "an address with .. would be another one"


def test_nothing_is_missed_while_the_gateway_is_away(
    chromium: Browser, http: httpx.Client, settings: Settings, everything: dict[str, str], user: str, photos: Photos
) -> None:
    with chromium.new_page() as page:
        with opened(settings) as here, served(here) as first:
            port = first.base_url.port
            page.goto(f"{first.base_url}#key={everything['Authorization'][7:]}&user={user}")
            expect(page.get_by_text("Following.")).to_be_visible()
            post_frame(http, everything, user, photos["obama"], "before")
            expect(page.locator(".answers li")).to_have_count(1)
        expect(page.get_by_text("The gateway does not answer. Trying again…")).to_be_visible()
        post_frame(http, everything, user, photos["obama"], "meanwhile")
        with opened(settings) as here, served(here, port):
            expect(page.get_by_text("Following.")).to_be_visible()
            expect(page.locator(".answers li")).to_have_count(2)
            expect(page.locator(".answers li").first).to_contain_text("meanwhile")


def test_no_text_becomes_markup_or_code(chromium: Browser, http: httpx.Client) -> None:
    with chromium.new_context(base_url=str(http.base_url)) as context:
        page = context.new_page()
        page.goto("/")
        for change in ("document.body.innerHTML = '<b>markup</b>'", "setTimeout('document.title = 1')"):
            attempt = f"(() => {{ try {{ {change} }} catch (error) {{ return error.name }} }})()"
            assert page.evaluate(attempt) in {"TypeError", "EvalError"}, change


def test_it_is_for_all(
    chromium: Browser,
    http: httpx.Client,
    everything: dict[str, str],
    settings: Settings,
    user: str,
    photos: Photos,
) -> None:
    """It paints soon; axe finds nothing, light or dark; nothing sticks out on a phone; the keyboard is enough."""
    keep(settings, sighting(user_id=user, first_seen_at=utc_now(), last_seen_at=utc_now()))
    post_frame(http, everything, user, photos["biden"], "garage")
    for scheme in ("light", "dark"):
        options = {"base_url": str(http.base_url), "color_scheme": scheme, "viewport": PHONE}
        with chromium.new_context(**options) as context:
            page = context.new_page()
            page.goto("/")
            check(page)
            paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            wait_until(lambda page=page, paint=paint: page.evaluate(paint) is not None)
            assert page.evaluate(paint) < FIRST_PAINT_MS
            sign_in(page, everything, user)
            expect(page.locator(".answers li").first).to_be_visible()
            check(page)
            page.get_by_role("button", name="Correct").first.click()
            check(page)
            page.keyboard.press("Escape")
            page.get_by_role("link", name="Seen").click()
            expect(page.get_by_text("1 sighting.")).to_be_visible()
            check(page)
            page.get_by_role("link", name="Try a photo").focus()
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="Try a photo")).to_be_focused()
            page.locator("#picture").set_input_files(photos["obama"])
            expect(page.locator(".faces")).to_be_visible()
            check(page)
            enrol(page, f"Ada-{scheme}", photos["obama"], photos["notes"])
            expect(page.get_by_text(f"Ada-{scheme} is enrolled")).to_be_visible()
            expect(page.locator(".refused[data-reason=undecodable]")).to_be_visible()
            check(page)
            page.get_by_role("link", name="Operations").click()
            expect(page.get_by_role("row", name="sink-redis")).to_be_visible()
            expect(page.get_by_role("region", name="Model versions")).to_be_visible()
            check(page)
            page.get_by_role("link", name="People").click()
            page.get_by_role("button", name=f"Photos of Ada-{scheme}").click()
            expect(page.get_by_role("button", name="Erase the photo").first).to_be_visible()
            page.get_by_role("button", name=f"Erase Ada-{scheme}").click()
            check(page)
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)


def check(page: Page) -> None:
    """What axe finds, and whether the page is wider than the screen."""
    found = Axe().run(page).response["violations"]
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
