"""`garm demo`: one HTML file in which three models of the course draw, in plain JavaScript, without any network.

`page.js` has the models, `page.html` the page; here their weights become rows of eight bits in base64. What the page
draws is what Python draws from the same uniforms with `twin(name)`, the same rounded weights in double precision.
"""

import base64
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from garm_course import datasets
from garm_course.practice.compress import quantize, rounded
from garm_course.weights import load_pretrained
from garm_course.weights.files import write_atomically

DIGITS, LATENT, TEXT = "pixel_gru-digits", "conditional_vae-digits", "char_transformer-pydoc"
PROMPTS = ("The expression ", "class ", "for x in ", "If an exception ")
HERE = Path(__file__).parent


def twin(name: str) -> nn.Module:
    """The model that the page holds: weights rounded to eight bits by rows, in double precision."""
    return quantize(load_pretrained(name), 8).double().eval()


def page_html() -> str:
    """The page as text, about 1 MB: for a file, a static site, or the `srcdoc` of an iframe."""
    text = (HERE / "page.html").read_text(encoding="utf-8")
    data = json.dumps(page_data(), separators=(",", ":")).replace("</", "<\\/")
    models = (HERE / "page.js").read_text(encoding="utf-8")
    return text.replace("__MODELS__", models.strip()).replace("__DATA__", data)


def write_page(out: Path | str) -> Path:
    """Write the page as index.html into a folder that any web server can host; `file://` opens it as well.

    Args:
        out: the folder; it is made if it is not there.

    Returns:
        The file.

    Raises:
        OSError: the folder cannot be written; ValueError: it is a file.
    """
    out = Path(out)
    if out.is_file():
        raise ValueError(f"{out} is a file; name a folder for the page")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "index.html", page_html().encode())
    return out / "index.html"


def page_data() -> dict:
    """What the page knows, as JSON holds it."""
    gru, vae, writer = (load_pretrained(name) for name in (DIGITS, LATENT, TEXT))
    w = {name: packed(name, tensor) for name, tensor in gru.state_dict().items()}
    digits = {
        "width": gru.shape[2], "levels": gru.levels,
        "weights": {"table": numbers(gru.table), "places": w["places"], "w": w["gru.weight_ih_l0"],
                    "u": w["gru.weight_hh_l0"], "b": w["gru.bias_ih_l0"], "c": w["gru.bias_hh_l0"],
                    "o1": w["out.0.weight"], "d1": w["out.0.bias"], "o2": w["out.2.weight"], "d2": w["out.2.bias"]},
    }  # fmt: skip
    layers = [layer for layer in vae.decoder.net if isinstance(layer, nn.Linear)]
    decoder = {}
    for letter, layer in zip("abc", layers, strict=True):
        decoder |= {letter: packed("weight", layer.weight), f"{letter}b": numbers(layer.bias)}
    latent = {"weights": decoder, "levels": vae.levels, "classes": vae.n_classes, "latents": vae.latents,
              "order": by_information(vae)}  # fmt: skip
    w = {name: packed(name, tensor) for name, tensor in writer.state_dict().items()}
    text = {
        "heads": writer.config["heads"],
        "weights": {"embed": w["embed.weight"], "taps": w["taps"], "last": w["norm.weight"], "read": w["out.weight"]},
        "layers": [
            {"first": w[f"blocks.{k}.first_norm.weight"], "second": w[f"blocks.{k}.second_norm.weight"],
             "qkv": w[f"blocks.{k}.attention.qkv.weight"], "out": w[f"blocks.{k}.attention.out.weight"],
             "up": w[f"blocks.{k}.up.weight"], "down": w[f"blocks.{k}.down.weight"]}
            for k in range(writer.config["layers"])
        ],
    }  # fmt: skip
    real = datasets.load("digits", "validation").x[:40].flatten(1).tolist()
    sizes = [f"{sum(p.numel() for p in part.parameters()):,}" for part in (gru, vae.decoder, writer)]
    return {
        "digits": digits,
        "latent": latent,
        "text": text,
        "vocabulary": datasets.load("pydoc", "validation").vocabulary,
        "real": real,
        "prompts": PROMPTS,
        "sizes": sizes,
    }


@torch.no_grad()
def by_information(vae: nn.Module) -> list[int]:
    """The latents by decreasing KL divergence from the prior, over validation digits."""
    data = datasets.load("digits", "validation")
    posterior = vae.encode(data.x, data.y)
    kl = posterior.mean.square() + posterior.logvar.exp() - 1 - posterior.logvar  # twice
    return kl.mean(0).argsort(descending=True).tolist()


def packed(name: str, weight: Tensor) -> dict | str:
    """A matrix as rows of eight bits, a vector in single precision, as the page unpacks them."""
    if weight.ndim < 2:
        return numbers(weight)
    whole, scales = rounded(name, weight.detach().float(), 8, "row")
    text = base64.b64encode(whole.to(torch.int8).contiguous().numpy().tobytes()).decode()
    return {"columns": weight[0].numel(), "numbers": text, "scales": numbers(scales)}


def numbers(values: Tensor) -> str:
    """Numbers in single precision, as base64."""
    return base64.b64encode(values.detach().float().contiguous().numpy().astype("<f4").tobytes()).decode()
