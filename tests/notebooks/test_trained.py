"""The guard against numbers of trained models that are printed as if they were the same everywhere."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from garm_course.editions.trained import Trained, free_numbers

LOAD = 'model = load_pretrained("made-digits")'


def notebook(*cells, tags=()):
    """A stored notebook; each cell is a pair (source, what it printed)."""
    made = [
        new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)] if text else [])
        for source, text in cells
    ]
    made[-1].metadata.tags = [*tags]
    return new_notebook(cells=made)


@pytest.mark.parametrize(
    "makes",
    [
        LOAD,
        "model = MADE()\nhistory = fit(model, train, steps=600)",
        "model = MADE()\nfit_game(GANGame(model), data)",
        "model = MADE()\ngame = GANGame(model)\nfit_game(game, data)",
        "model = SVC(gamma=0.001).fit(x, y)",
        "w = torch.zeros(3)\nopt = torch.optim.Adam([w], lr=0.1)\nmodel = w",
        "net = MADE()\nopts = [torch.optim.Adam(n.parameters()) for n in (net, other)]\nmodel = net",
        "def train(a, b):\n    fit(b, data)\n\n\nmodel = MADE()\ntrain(data, model)",
        f"{LOAD}\nmodel = [f(part) for part in model]",
        f"{LOAD}\nother = model\nmodel = 0\nmodel = other + model",
        "found = {}\nfor name in names:\n    net = MADE()\n    fit(net, train)\n    found[name] = net\nmodel = found",
        "found = []\nfor step in range(9):\n    found.append(before)\n    before = fit(net, train)\nmodel = found",
        f"{LOAD}\n\n\ndef cost():\n    return model.log_prob(x)\n\n\nmodel = cost()",
        f"with torch.no_grad():\n    {LOAD}",
    ],
)
def test_what_comes_from_training_is_refused_wherever_it_is_printed(makes):
    (fault,) = free_numbers(notebook((makes, ""), ("nats = f(model)\nprint(nats)", "NLL 81.43 nats")))
    assert fault.startswith("cell 2: 'NLL 81.43 nats' prints 81.43, which comes from ")
    assert "outside of report" in fault
    assert "≈" in fault


@pytest.mark.parametrize(
    "makes",
    [
        "model = recorded('made-digits')",
        f"{LOAD}\nmodel = 3",
        f"{LOAD}\nfor model in names:\n    pass",
        f"{LOAD}\nnames = [model for model in known]\nmodel = names",
        f"{LOAD}\n\n\ndef area(model):\n    return model**2\n\n\nmodel = area(2)",
        "history = fit(net, model, steps=600)",  # what a network is trained on stays what it is
    ],
)
def test_what_does_not_come_from_training_may_be_printed(makes):
    assert free_numbers(notebook((makes, ""), ("print(f(model))", "81.43 nats"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "NLL = 81.43 nats (claimed 81.8 ± 1.5: holds)",
        "NLL == 3 nats (claimed 3: holds)",
        "NLL = 81.43 nats (claim skipped at budget smoke)",
        "≈ 81.43 nats, ≈ -1.2e-06, ≈   7, ≈ 1,234.5",
        "KL == 0.0202",
        "step 600 of 600",
        "[slider position: 0 to 63]",
        "conv2d, row_lstm3, MADE",
    ],
)
def test_a_number_that_is_marked_or_stands_in_the_cell_may_be_printed(text):
    assert free_numbers(notebook((LOAD, ""), ("steps = 600\nprint(model, steps)", text))) == []


def test_captions_are_read_too():
    output = new_output("display_data", {"text/plain": "It falls from 197 to 75.", "image/png": "81.43"})
    nb = new_notebook(cells=[new_code_cell(f"{LOAD}\ndisplay.curves(model)", outputs=[output])])
    assert len(free_numbers(nb)) == 1


def test_an_author_may_say_that_a_cell_is_exact():
    cells = (LOAD, ""), ("print(sum(p.numel() for p in model.parameters()))", "46,385")
    assert len(free_numbers(notebook(*cells))) == 1
    assert free_numbers(notebook(*cells, tags=["exact"])) == []


def test_a_cell_that_defines_uses_nothing_yet():
    assert Trained().used_by(f"def f():\n    {LOAD}\n    return model") == set()
