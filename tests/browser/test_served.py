"""The second engine of `garm demo`: the graphs of a Gated PixelCNN in WebAssembly draw what Python draws."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from garm_course.datasets.downloads import whereabouts
from garm_course.practice.export import Exported
from garm_course.practice.served import RUNTIME, write_served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    if whereabouts(RUNTIME).startswith("to download"):
        pytest.skip("onnxruntime-web is not in the cache: garm demo --engine onnx --out FOLDER downloads it")
    return write_served(tmp_path_factory.mktemp("served")).parent


@pytest.fixture(scope="module")
def address(folder):
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_it_draws_the_images_of_python_and_asks_no_other_host(browser, address, folder):
    page, requests = browser.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{address}/glyphs.html")
    page.wait_for_function("document.querySelector('#says').textContent.includes('eight images')", timeout=0)
    u = np.random.default_rng(0).random((3, 784)).astype(np.float32).astype(float)
    drawn = page.evaluate("async u => (await sample(model, 3, u)).map(image => [...image])", u.tolist())
    step, values = Exported.open(folder / "glyphs").logits(3), []
    for i in range(784):
        logit = step(values[-1] if values else None)[:, 0].astype(float)
        values.append((u[:, i] >= 1 / (1 + np.exp(logit))).astype(np.int64))
    mine = torch.from_numpy(np.stack(values, 1))
    assert (torch.tensor(drawn) != mine).double().mean() < 0.002, "a pixel may differ where a uniform lies on an edge"
    assert 0.02 < mine.double().mean() < 0.5
    assert all(url.startswith(address) for url in requests)
    page.close()
