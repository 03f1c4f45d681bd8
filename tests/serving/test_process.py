"""Claims about `findvl serve` as a process: it answers on loopback and ends well."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from find.cli.main import main


@pytest.fixture
def server(album):
    command = [sys.executable, "-m", "find.cli.main", "serve", album.name, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    address = re.search(r"6 images at (http://127\.0\.0\.1:\d+)", line)
    try:
        assert address, line + process.stderr.read()
        yield process, address[1]
    finally:
        process.kill()
        process.communicate()


def _ask(address, query):
    body = json.dumps({"query": query, "k": 2}).encode()
    request = urllib.request.Request(f"{address}/search", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [hit["name"] for hit in json.load(answer)["hits"]]


def test_many_ask_at_once_and_the_server_ends_after_their_answers(server, album):
    from find.query.query import Query

    process, address = server
    queries = ["{a red dog}", "{a car} on {the road}", "a house", "{a tree}"] * 2
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda query: _ask(address, query), queries))
    assert answers == [[hit.name for hit in album.search(Query.parse(query), 2)] for query in queries]
    page_elsewhere = urllib.request.Request(f"{address}/images", headers={"Host": "rebound.example"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(page_elsewhere, timeout=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, -signal.SIGTERM)
    assert process.stderr.read() == ""


@pytest.mark.parametrize("command", [["serve", "nothing.album"], ["demo", "nothing"]])
def test_a_port_that_is_taken_is_told_before_anything_is_loaded(command, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*command, "--port", str(port)]) == 2
    expected = f"error: port {port} of 127.0.0.1 is taken; give another --port, or 0 for a free one\n"
    assert capsys.readouterr().err == expected
    assert main([*command, "--port", "0", "--host", "no such host"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot listen at no such host, port 0: ")
