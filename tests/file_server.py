"""A web server on this machine that behaves as badly as one asks: for the tests of downloads."""

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """What the server has, how it behaves, and what it was asked for.

    Attributes:
        url: its address, without a slash at the end.
        files: path -> content.
        behavior: path -> one of the names in `_Handler.do_GET`; "right" by default.
        requests: (path, value of the Range header or None), in their order.
    """

    def __init__(self, url):
        self.url, self.files, self.behavior, self.requests = url, {}, {}, []
        self.cut_after = 0  # bytes of the whole file after which "cut" and "cut without ranges" end, each time
        self.closing = threading.Event()


# bytes at once at the beginning, then so many seconds before so many bytes
_PACES = {
    "stalled": (100, 60, 1),
    "slow": (100, 0.01, 1),
    "slow later": (30_000, 0.01, 1),
    "steady": (100, 0.1, 4000),
    "gentle": (100, 0.01, 500),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def end_headers(self):
        self.send_header("Connection", "close")
        super().end_headers()

    def do_GET(self):
        server, asked = self.server.state, self.headers.get("Range")
        server.requests.append((self.path, asked))
        how = server.behavior.get(self.path, "right")
        content = server.files.get(self.path)
        self.close_connection = True
        if how.isdigit():
            return self.answer(int(how), b"<html>no</html>")
        if how == "redirect":
            return self.redirect(self.path + ".moved")
        if how == "redirect without end":
            return self.redirect(self.path)
        if content is None:
            return self.answer(404, b"not found")
        if how == "another":
            return self.answer(200, bytes(len(content)))
        if how == "shorter":
            return self.answer(200, content[:-7])
        if how == "endless":
            self.send_response(200)
            self.end_headers()
            with_more = content + bytes(2**20)
            return self.wfile.write(with_more)
        if how == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(content), 1000):
                piece = content[start : start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            return self.wfile.write(b"0\r\n\r\n")
        if how == "ends early":  # without a length, so nobody can tell that it is not the end
            self.send_response(200)
            self.end_headers()
            return self.wfile.write(content[: server.cut_after])
        if how == "another range" and asked:  # of the length that was asked for
            return self.answer(206, content[: -int(asked[6:-1])], {"Content-Range": "bytes 0-"})
        if how == "compressing" and "gzip" in self.headers.get("Accept-Encoding", ""):
            return self.answer(200, gzip.compress(content), {"Content-Encoding": "gzip"})
        if how == "whole as a part" and asked:
            return self.answer(206, content, {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"})
        if how == "endless headers":
            self.send_response(200)
            self.flush_headers()
            while not server.closing.wait(0.05):
                self.wfile.write(b"X-Wait: ")
            return None
        start = 0
        if asked and how not in ("no ranges", "cut without ranges"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.answer(416, b"")
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if how.startswith("cut"):
            self.wfile.write(content[start : start + server.cut_after])
        elif how in _PACES:
            first, pause, many = _PACES[how]
            self.wfile.write(content[start : start + first])
            for at in range(start + first, len(content), many):
                if server.closing.wait(pause):
                    return None
                self.wfile.write(content[at : at + many])
        else:
            self.wfile.write(content[start:])
        return None

    def answer(self, code, body, headers=None):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, where):
        self.answer(302, b"", {"Location": where})


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):  # a client that hangs up is what some tests are about
        pass


@contextmanager
def serve():
    """Run a server on a free port of 127.0.0.1 as long as the context lasts."""
    http = _Quiet(("127.0.0.1", 0), _Handler)
    http.state = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield http.state
    finally:
        http.state.closing.set()
        http.shutdown()
        http.server_close()
