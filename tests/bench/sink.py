"""A peer for uploads: leakdrop's own server, with an application that reads a body and appends it to a file.

    python -m tests.bench.sink PORT FILE

It also serves a page whose script sends a file in parts, as leakdrop's does, without sealing it. To load
the page begins a new file.
"""

import os
import sys
from pathlib import Path

import gunicorn.http.unreader

from leakdrop.config import parse_config
from leakdrop.intake.bodies import READ, read_body
from leakdrop.keyring import Keyring
from leakdrop.operate.server import Server

PAGE = b"""<!DOCTYPE html><title>Plain</title><input type="file" id="files"><p id="status"></p>
<script>
const PART = 4 * 1024 * 1024;

function put(part) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", "/");
    request.onload = resolve;
    request.onerror = reject;
    request.send(part);
  });
}

async function send() {
  const file = document.getElementById("files").files[0];
  for (let start = 0; start < file.size; start += PART) {
    await put(new Uint8Array(await file.slice(start, start + PART).arrayBuffer()));
  }
  document.getElementById("status").textContent = "done";
}
</script>"""


class Sink(Server):
    """The server that leakdrop runs on, with another application."""

    def __init__(self, port: int, file: Path) -> None:
        settings = {"organisation": "Sink", "keys_dir": ".", "data_dir": ".", "bind": f"127.0.0.1:{port}"}
        self._file = file
        super().__init__(parse_config(settings, Path("/")), Keyring(()))

    def load(self):
        return self.answer

    def answer(self, environ, start_response):
        if environ["REQUEST_METHOD"] == "PUT":
            with self._file.open("ab", buffering=0) as file:
                for piece in read_body(environ["wsgi.input"], int(environ["CONTENT_LENGTH"])):
                    file.write(piece)
                os.fsync(file.fileno())
        else:
            self._file.unlink(missing_ok=True)
        start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(PAGE)))])
        return [PAGE]


if __name__ == "__main__":
    gunicorn.http.unreader.SocketUnreader.max_body_chunk = READ
    Sink(int(sys.argv[1]), Path(sys.argv[2])).run()
