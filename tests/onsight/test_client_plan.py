"""When the client asks again, how long it waits, and when it gives up: the plan alone, without a network or a sleep."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from onsight import (
    CertificateRefused,
    ClientError,
    ImageRefused,
    NoAnswer,
    Refused,
    Unavailable,
    UnexpectedAnswer,
)
from onsight.client.plan import Plan
from onsight.client.replies import seconds_said
from onsight.client.steps import Lost, Outcome, Patience, Pause, Reply, Send, Steps

GOOD = Reply(200, b'{"models": []}')
BROKEN = Lost("a connection that broke off", reached=True)
NOBODY = Lost("Connection refused", reached=False)


class Played:
    """Plays a call's steps with these outcomes in turn; time passes in pauses and, send_s, in each try."""

    def __init__(self, outcomes: Sequence[Outcome], jitter: float = 1.0, send_s: float = 0.0, **options: Any) -> None:
        self.now = 1000.0
        self.sent: list[Send] = []
        self.pauses: list[float] = []
        self._outcomes = list(outcomes)
        self._send_s = send_s
        patience = {"timeout_s": 60.0, "total_timeout_s": 120.0, "retries": 6, **options}
        self.plan = Plan("http://host", "onsight_secret", "m", Patience(**patience, jitter=lambda: jitter), self.clock)

    def clock(self) -> float:
        return self.now

    def run(self, call: Callable[[Plan], Steps[Any]] = Plan.models) -> Any:
        steps, outcome = call(self.plan), None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = None
            if isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds
            else:
                self.sent.append(step)
                self.now += self._send_s
                outcome = self._outcomes.pop(0)


def later(retry_after: str = "", status: int = 429, **problem: Any) -> Reply:
    return Reply(status, json.dumps(problem).encode(), retry_after)


def test_a_busy_server_is_asked_again_no_sooner_than_it_says() -> None:
    played = Played([later("3"), later("0", 503), later("7", 502), GOOD], jitter=0.0)
    assert played.run() == ()
    assert played.pauses == [3.0, 0.25, 7.0]
    assert Played([later("3"), GOOD], jitter=0.5).run() == ()
    spread = Played([later("4"), GOOD], jitter=0.5)
    spread.run()
    assert spread.pauses == [4.5]


def test_without_retry_after_pauses_double_up_to_ten_seconds_and_half_of_each_is_chance() -> None:
    played = Played([later()] * 8 + [GOOD])
    played.run()
    assert played.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    played = Played([later(), later("soon"), later("-1", 504), later("", 408), GOOD], jitter=0.0)
    played.run()
    assert played.pauses == [0.125, 0.25, 0.5, 1.0]


def test_a_wait_that_is_longer_than_the_calls_time_is_not_begun() -> None:
    played = Played([later("121", detail="Full.", code="QUEUE_FULL", request_id="r7")])
    with pytest.raises(Unavailable, match="Full") as caught:
        played.run()
    error = caught.value
    assert (error.status, error.code, error.request_id, error.retry_after_s) == (429, "QUEUE_FULL", "r7", 121.0)
    assert played.pauses == []


def test_a_call_ends_in_its_time_with_the_servers_own_words() -> None:
    played = Played([later("1", 503, detail="Loading.", code="MODELS_LOADING")] * 1000, total_timeout_s=20.0)
    with pytest.raises(Unavailable, match="Loading") as caught:
        played.run()
    assert (caught.value.status, caught.value.code) == (503, "MODELS_LOADING")
    assert 18.0 < played.now - 1000.0 < 20.0


def test_no_try_may_take_longer_than_the_calls_time_has_left() -> None:
    played = Played([GOOD, *[BROKEN] * 9], send_s=50.0, total_timeout_s=120.0)
    played.run()
    with pytest.raises(NoAnswer):
        played.run()
    assert [round(send.timeout_s, 2) for send in played.sent] == [60.0, 60.0, 60.0, 19.25]


def test_a_lost_connection_is_tried_again_as_often_as_allowed() -> None:
    played = Played([BROKEN] * 3, retries=2)
    with pytest.raises(NoAnswer, match=r"found: a connection that broke off \(3 times\)"):
        played.run()
    assert played.pauses == [0.25, 0.5]
    played = Played([BROKEN] * 2, retries=0)
    with pytest.raises(NoAnswer, match=r"found: a connection that broke off\. Is it an Onsight server, and is http or"):
        played.run()
    assert played.pauses == []


def test_waiting_for_a_busy_server_does_not_use_up_the_retries_of_lost_connections() -> None:
    played = Played([later("1")] * 9 + [BROKEN] + [later("1")] * 9 + [GOOD], retries=1)
    assert played.run() == ()


def test_a_server_that_was_never_reached_is_told_of_at_once_and_one_that_went_away_is_waited_for() -> None:
    played = Played([NOBODY])
    with pytest.raises(NoAnswer, match=r"^http://host: expected an Onsight server, found: Connection refused. Is it"):
        played.run()
    assert played.pauses == []
    played = Played([GOOD, NOBODY, NOBODY, GOOD])
    assert [played.run(), played.run()] == [(), ()]
    assert played.pauses == [0.25, 0.5]


def test_a_certificate_that_is_not_trusted_is_told_of_at_once() -> None:
    refused = Lost("", reached=True, final=CertificateRefused("not trusted"))
    calls: list[Callable[[Plan], Steps[Any]]] = [
        Plan.models, Plan.health, Plan.ready, lambda plan: plan.wait_until_ready(60.0, None)
    ]  # fmt: skip
    for call in calls:
        played = Played([refused])
        with pytest.raises(CertificateRefused, match="not trusted"):
            played.run(call)
        assert played.pauses == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (413, ImageRefused), (415, ImageRefused), (422, ImageRefused), (401, Refused),
     (403, Refused), (404, Refused), (500, Refused), (507, Refused)],
)  # fmt: skip
def test_a_refusal_is_told_of_at_once_in_the_servers_words(status: int, kind: type[ClientError]) -> None:
    problem = {"detail": "No.\x1b[31m", "code": "NO", "request_id": "r1"}
    played = Played([Reply(status, json.dumps(problem).encode())])
    with pytest.raises(kind) as caught:
        played.run(lambda plan: plan.predict(b"x", None, None, None))
    error = caught.value
    assert (type(error), str(error)) == (kind, "No. [31m")
    assert (error.status, error.code, error.request_id) == (status, "NO", "r1")


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(200, b"<html>"), UnexpectedAnswer, "expected JSON, found something else. Is this an Onsight server?"),
        (Reply(200, b"[" * 100_000), UnexpectedAnswer, "expected JSON"),
        (Reply(200, b"{}"), UnexpectedAnswer, "Onsight gives it, found another (no 'models')."),
        (Reply(200, b"[]"), UnexpectedAnswer, "found another (TypeError)"),
        (Reply(404, b"<html>"), UnexpectedAnswer, "found 404 Not Found from another. Check the address."),
        (Reply(413, b"<html>"), ImageRefused, "the server answered 413 Request Entity Too Large."),
        (Reply(799, b""), UnexpectedAnswer, "found 799 from another"),
        (Reply(302, b"", location="https://onsight_secret@else/?q=s3cret"), UnexpectedAnswer, "'https://...@else/'"),
    ],
)
def test_what_answers_and_is_no_onsight_server_is_named(reply: Reply, kind: type[ClientError], words: str) -> None:
    with pytest.raises(kind) as caught:
        Played([reply]).run()
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.status == reply.status


def test_a_token_that_a_server_sends_back_is_not_shown() -> None:
    problem = {"detail": "bad token onsight_secret", "code": "onsight_secret", "request_id": "onsight_secret"}
    with pytest.raises(Refused) as caught:
        Played([Reply(401, json.dumps(problem).encode())]).run()
    shown = f"{caught.value!r} {caught.value.code} {caught.value.request_id}"
    assert "bad token [token]" in shown
    assert "onsight_secret" not in shown


def test_the_options_of_a_prediction_are_a_query() -> None:
    played = Played([Reply(401, b'{"code": "x"}')])
    with pytest.raises(Refused):
        played.run(lambda plan: plan.predict(b"x", 3, "1+a&b", "shop/goods"))
    assert played.sent == [Send("POST", "/v1/predict/shop/goods?top=3&version=1%2Ba%26b", b"x", 60.0)]


def test_waiting_until_ready_looks_until_the_named_model_answers() -> None:
    def ready(status: int, phase: str, *names: str) -> Reply:
        models = [{"project": "default", "name": name, "version": "1", "provider": "cpu"} for name in names]
        return Reply(status, json.dumps({"status": phase, "models": models}).encode())

    looks = [NOBODY, Reply(502, b"<html>"), Reply(503, b"<html>"), ready(503, "loading"), ready(200, "ready", "other")]
    played = Played([*looks, ready(200, "ready", "other", "m")])
    found = played.run(lambda plan: plan.wait_until_ready(60.0, None))
    assert (found.ready, found.status, [each.name for each in found.models]) == (True, "ready", ["other", "m"])
    assert played.pauses == [0.25] * 5
    said = ("this: .*Connection refused", "this: .*502", "this: .*503", "it loading", "without the model default/m")
    for look, words in zip(looks, said, strict=True):
        played = Played([look] * 9)
        with pytest.raises(Unavailable, match=f"^http://host: expected it to be ready in 1 s, found .*{words}"):
            played.run(lambda plan: plan.wait_until_ready(1.0, None))
        assert played.now == 1001.0


def test_ready_is_no_where_nobody_answers_and_where_it_is_not() -> None:
    for outcome in (
        NOBODY,
        BROKEN,
        Reply(502, b""),
        Reply(503, b""),
        Reply(503, b'{"code": "X"}'),
        Reply(503, b'{"status": "draining", "models": []}'),
    ):
        assert Played([outcome]).run(Plan.ready) is False
    with pytest.raises(UnexpectedAnswer):
        Played([Reply(404, b"")]).run(Plan.ready)


def test_retry_after_is_a_number_or_a_date() -> None:
    noon = 1_767_355_200.0  # 2026-01-02 12:00 UTC
    date = "Fri, 02 Jan 2026 12:00:07 GMT"
    assert seconds_said("2") == 2.0
    assert seconds_said(" 9999 ") == 9999.0
    assert seconds_said("9" * 400) == float("inf")
    assert seconds_said(date, lambda: noon) == 7.0
    assert seconds_said(date, lambda: noon + 60) == 0.0
    assert [seconds_said(text) for text in ("", "soon", "-1", "1.5", "٣")] == [None] * 5
