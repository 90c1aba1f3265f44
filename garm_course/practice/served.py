"""The second engine of `garm demo`: a model too large for plain JavaScript, by ONNX Runtime for the web.

The runtime is 14 MB of WebAssembly, too large for the package. It comes from the npm registry when it is asked for: one
version, whose size and SHA-256 stand here, kept in the cache of downloads. What is written needs a web server, since
browsers load no WebAssembly from a file, but no other host: nothing is asked of the network.
"""

import hashlib
import tarfile
from pathlib import Path

from garm_course.datasets.downloads import File, Source, fetch
from garm_course.practice.export import export
from garm_course.practice.page import write_page
from garm_course.weights import load_pretrained

MODEL = "gated_pixelcnn-glyphs"
VERSION = "1.30.0"
RUNTIME = Source(
    "onnxruntime-web",
    {
        "package": File(
            f"onnxruntime-web-{VERSION}.tgz",
            33_106_585,
            "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
            (
                f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz",
                f"https://registry.npmmirror.com/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz",
            ),
            (f"onnxruntime-web-{VERSION}.tgz",),
        )
    },
    folders=("onnxruntime-web",),
    instead="",
)
PARTS = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
HERE = Path(__file__).parent


def write_served(out: Path | str) -> Path:
    """Write a folder for a web server: the page of `write_page`, and glyphs.html with its graphs and its runtime.

    Args:
        out: the folder; it is made if it is not there.

    Returns:
        The file glyphs.html.

    Raises:
        OSError: the runtime is not here and cannot be downloaded. ValueError: a package of your own is another one.
        ImportError: what exports is missing.
    """
    package = runtime_package()
    out = write_page(out).parent
    export(load_pretrained(MODEL), out / "glyphs")
    with tarfile.open(package) as members:
        for name in PARTS:
            (out / name).write_bytes(members.extractfile(f"package/dist/{name}").read())
    for name in ("glyphs.mjs", "glyphs.html"):
        (out / name).write_text((HERE / name).read_text(encoding="utf-8"), encoding="utf-8")
    return out / "glyphs.html"


def runtime_package() -> Path:
    """The package of the runtime, from GARM_DATA, the cache, or the npm registry; its content is checked."""
    found = fetch(RUNTIME, "package")
    if found.supplied:
        with open(found.path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != RUNTIME.files["package"].sha256:
            raise ValueError(
                f"{found.path} is not onnxruntime-web {VERSION}; get that one: npm pack onnxruntime-web@{VERSION}"
            )
    return found.path
