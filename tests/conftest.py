"""What the tests share."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from fastconv.cli import main
from fastconv.engine import cpu, load

pytest.register_assert_rewrite("reproduce_tools")


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(20)


@pytest.fixture(params=cpu.supported())
def level(request, monkeypatch):
    """Each instruction set that the processor runs, in use by everything that lowers a network."""
    import fastconv.engine

    monkeypatch.setattr(fastconv.engine, "Program", load(request.param).Program)
    return request.param


@pytest.fixture
def fails(capsys):
    """Run a command that must end with status 2 and nothing on standard output; return its message."""

    def run(*arguments):
        assert main(list(map(str, arguments))) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.splitlines()[-1].startswith("fastconv: error: ")
        return err

    return run


@pytest.fixture
def fits(monkeypatch):
    """What every Trainer of a classifier was given to fit: (x, y, keywords)."""
    from fastconv import Trainer
    from fastconv.estimators import base

    seen = []

    class Spy(Trainer):
        def fit(self, x, y, *args, **keywords):
            seen.append((x, y, keywords))
            return super().fit(x, y, *args, **keywords)

    monkeypatch.setattr(base, "Trainer", Spy)
    return seen


@pytest.fixture
def undrawn(monkeypatch):
    """Figures of reports that take no time."""
    from fastconv.reproduce import report

    monkeypatch.setattr(report, "png", lambda figure: b"\x89PNG")


class Server(ThreadingHTTPServer):
    """Serves `files` by their names, `content` at every other address, and counts the requests."""

    content = b""
    requests = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        content = self.server.files.get(self.path.rpartition("/")[2], self.server.content)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on this machine, the only one that a test can reach, and a cache of the test's own."""
    pytest.importorskip("pooch")
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")

    def resolve(host, *args, original=socket.getaddrinfo, **kwargs):
        assert host == "127.0.0.1", f"a test looks for {host}"
        return original(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files = {}
        running.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()
