"""Claims about a service under attack, without memory, and on a device that has failed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from fastapi.testclient import TestClient

from find.errors import FindError
from find.serving.app import create_app
from find.serving.budget import Budget
from find.serving.hosts import AllowedHosts
from find.serving.limits import Limits, Refusal
from find.serving.review.app import create_review_app
from find.utils.device import is_device_fault
from find.utils.memory import OutOfMemory

HERE = "http://localhost"
SEGMENT = {"query": "{a red dog}"}


def _told(answer, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "answered", "refused"),
    [
        (
            AllowedHosts(),
            ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "localhost.:80", None],
            ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "192.168.0.2", "", "[::2]:80"],
        ),
        (AllowedHosts("192.168.0.2"), ["192.168.0.2:8000", "localhost"], ["192.168.0.3", "evil.example"]),
        (AllowedHosts("0.0.0.0"), ["192.168.0.2:8000", "[fe80::1]:8000"], ["evil.example", "1.2.3.4.evil.example"]),
        (AllowedHosts("::"), ["10.0.0.1"], ["evil.example"]),
        (
            AllowedHosts(allowed=["Search.example.org", "*.inside.example"]),
            ["search.example.org", "a.inside.example:80"],
            ["inside.example", "search.example.org.evil.example"],
        ),
        (AllowedHosts(allowed=["*"]), ["evil.example", ""], []),
    ],
)
def test_a_service_answers_to_its_own_names_only(hosts, answered, refused):
    for host in answered:
        hosts.check(host)
    for host in refused:
        with pytest.raises(Refusal, match="does not answer to the host") as expected:
            hosts.check(host)
        assert expected.value.status == 421


def test_a_page_elsewhere_cannot_read_the_album(client, names):
    """Its name leads to this machine, and so does the browser's request, whose Host header is the page's."""
    evil = {"host": "evil.example:8000"}
    expected = "this service does not answer to the host 'evil.example'; start it with --allowed-host evil.example"
    asked = [client.post("/search", json=SEGMENT, headers=evil)]
    asked += [client.get(path, headers=evil) for path in ("/", "/images", f"/images/{names[0]}", "/docs")]
    assert {_told(answer, 421) for answer in asked} == {expected}
    assert client.get("/healthz", headers=evil).status_code == 200  # as those ask who run it
    assert client.get("/images", headers={"host": "127.0.0.1:8000"}).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 200),  # no browser
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost:8000"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "http://LOCALHOST:8000"}, 200),
        ({"origin": "http://localhost", "host": "localhost"}, 200),
        ({"origin": "https://localhost", "host": "localhost:443"}, 200),  # behind a proxy
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost:8000"}, 403),
        ({"origin": "http://localhost:9000"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:8000.evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_page_elsewhere_cannot_send_requests(client, sent, status):
    headers = {"host": "localhost:8000"} | sent
    answer = client.post("/search", json=SEGMENT, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert _told(answer, 403) == "the page of another site sent this request; only this service's own page may"
    assert client.get("/images", headers=headers).status_code == 200  # a link may lead here


def test_a_page_elsewhere_cannot_change_a_review():
    class Untouched:
        def finish(self, photo):
            raise AssertionError("a page elsewhere has changed the review")

    app = create_review_app(Untouched(), None)
    with TestClient(app, base_url=HERE) as client:
        expected = client.post("/photos/1/finish", headers={"origin": "https://evil.example"})
    assert "another site" in _told(expected, 403)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_bounds_of_one_request_fit_into_those_of_all():
    with pytest.raises(FindError, match=r"total_bytes \(--memory-mb\) is 64 MiB, but one request may take 248 MiB"):
        Limits(total_bytes=64 << 20)


def test_a_budget_is_given_back_and_what_is_too_much_refused():
    budget = Budget(100)
    with budget.share() as one, budget.share() as other:
        one.take(60)
        other.take(30)
        with pytest.raises(Refusal, match="open requests hold all") as expected:
            other.take(20)
        assert expected.value.status == 503 and budget.taken == 90
    assert budget.taken == 0
    with pytest.raises(Refusal, match="given up"):  # a thread that decodes for a request that is over
        one.take(1)
    assert budget.taken == 0


def test_open_requests_hold_no_more_than_they_may_together(album, encoded):
    """Three pictures of 160 x 160 wait for the model where memory is for three of them, not for four."""
    pixels, body = 3 * 160 * 160, 2 * len(encoded[0]) + 2000
    limits = Limits(body_bytes=20_000, pixels=160 * 160, total_bytes=3 * (pixels + body) + pixels)
    app, may = create_app(album, limits=limits), threading.Event()
    service = app.state.service
    with TestClient(app, base_url=HERE) as client, ThreadPoolExecutor(3) as pool:
        service._thread.submit(may.wait, 60)  # the model is at work
        ask = [pool.submit(client.post, "/segment", json=SEGMENT | {"image": encoded[0]}) for _ in range(3)]
        _wait(lambda: service.budget.taken >= 3 * pixels)
        time.sleep(0.1)
        assert "try again" in _told(client.post("/segment", json=SEGMENT | {"image": encoded[0]}), 503)
        assert service.budget.taken <= limits.total_bytes
        may.set()
        assert [one.result().status_code for one in ask] == [200] * 3
        assert service.budget.taken == 0
        assert client.post("/segment", json=SEGMENT | {"image": encoded[0]}).status_code == 200


# --- faults -----------------------------------------------------------------------------------------------------------


class Broken:
    """A model whose device fails in the way of an error."""

    def __init__(self, model, error: Exception) -> None:
        self.language, self.interface, self.error, self.calls = model.language, model.interface, error, 0

    def segment(self, images, queries):
        self.calls += 1
        raise self.error


ILLEGAL = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported"


@pytest.mark.parametrize("error", [torch.AcceleratorError(ILLEGAL), RuntimeError(ILLEGAL)], ids=["own", "older"])
def test_after_a_fault_of_its_device_a_service_is_not_ready(album, encoded, error):
    app = create_app(album)
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200
        broken = app.state.service.model = Broken(album.model, error)
        expected = "the device has failed; restart the service"
        for _ in range(2):
            assert _told(client.post("/segment", json=SEGMENT | {"image": encoded[0]}), 503) == expected
        assert broken.calls == 1  # a further call might never end
        assert _told(client.post("/search", json=SEGMENT), 503) == expected
        assert _told(client.get("/readyz"), 503) == f"not ready: {expected}"
        assert _told(client.get("/healthz"), 503) == expected


@pytest.mark.parametrize(
    ("error", "status"),
    [(OutOfMemory.because("CUDA out of memory"), 503), (RuntimeError("shapes do not fit"), 500)],
)
def test_other_errors_of_the_model_are_the_request_s_own(album, encoded, error, status):
    app = create_app(album)
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        app.state.service.model = Broken(album.model, error)
        assert _told(client.post("/segment", json=SEGMENT | {"image": encoded[0]}), status)
        assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200
        assert client.post("/search", json=SEGMENT).status_code == 200


def test_a_shortage_of_memory_is_no_fault():
    assert not is_device_fault(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_device_fault(torch.AcceleratorError("CUDA error: out of memory"))
    assert is_device_fault(RuntimeError("CUDA error: device-side assert triggered"))
    assert not is_device_fault(ValueError("CUDA error"))


def _wait(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
