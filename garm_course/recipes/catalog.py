"""The table of recipes: a model on a data set, at three budgets; `garm train MODEL --data DATA` runs one.

What each reached is recorded in `results/`: see `records.recorded`.
"""

from difflib import get_close_matches

from garm_course.recipes.recipe import (
    AdversarialRecipe,
    CaptionRecipe,
    ClassifierRecipe,
    FactorRecipe,
    Recipe,
    SoundRecipe,
    TextRecipe,
    TranslationRecipe,
    TwoStageRecipe,
    VAEGANRecipe,
    VQGANRecipe,
)

_DIGITS = {"channels": 32, "layers": 5, "dropout": 0.5}
_DIGITS_FIT = {"steps": 900, "batch_size": 32, "lr": 4e-3, "evaluate_every": 50}
_GLYPHS = {"train": 12_000, "validation": 500, "test": 1000}
_VAE = {"hidden": (192, 192), "dropout": 0.2}
_VAE_FIT = {"steps": 3000, "batch_size": 64, "lr": 2.5e-3, "evaluate_every": 100}
_ANNEALED = ("elbo", {"warmup": 0.6})
_CLIPS = {"channels": 32, "layers": 4, "dropout": 0.25}
_CLIPS_FIT = {"steps": 600, "batch_size": 16, "lr": 4e-3, "evaluate_every": 150}
_THREE_FRAMES = {"loss": ("first_frames", {"frames": 3})}
_COLORED_GLYPHS = {"train": 12_000}
_FACTORS_FIT = {"steps": 1600, "batch_size": 64, "lr": 3e-3, "ema": 0.98, "clip": 100.0, "evaluate_every": 200}
_TOKENIZER_FIT = {"steps": 1600, "batch_size": 16, "lr": 3e-3, "ema": 0.98, "decay": True}  # equal for all of them
_BARS_FIT = {"steps": 600, "batch_size": 30, "lr": 5e-3, "evaluate_every": 100, "ema": 0.98}


def _mnist(data: str) -> tuple[Recipe, ...]:
    """The recipes on one variant of binary MNIST; test figures are on all 10,000 images."""
    some = {"validation": 2000}  # which keeps the looks at it cheap while a model trains
    small_vae = {"hidden": (200, 200), "latents": 50}  # the one-layer model of Burda et al. (2016, arXiv 1509.00519)
    return (
        Recipe("made", data, {"hidden": (500, 500)},
               {"steps": 1800, "batch_size": 100, "lr": 5e-3, "evaluate_every": 300},
               {"steps": 20_000, "lr": 2e-3, "evaluate_every": 2000}, sizes=some),
        Recipe("nade", data, {"hidden": 200},
               {"steps": 800, "batch_size": 64, "lr": 1e-2, "evaluate_every": 200},
               {"steps": 6000, "lr": 5e-3, "evaluate_every": 600}, sizes=some),
        Recipe("row_lstm", data, {"channels": 32, "layers": 2},
               {"steps": 400, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100},
               {"steps": 4000, "lr": 3e-3, "evaluate_every": 500}, sizes=some),
        Recipe("pixelcnn", data, {"channels": 32, "layers": 6},
               {"steps": 600, "batch_size": 16, "lr": 5e-3, "evaluate_every": 150},
               {"steps": 5000, "lr": 3e-3, "evaluate_every": 500}, sizes=some),
        Recipe("gated_pixelcnn", data, {"channels": 32, "layers": 5, "first_kernel": 7},
               {"steps": 400, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100},
               {"steps": 4000, "lr": 3e-3, "evaluate_every": 500}, sizes=some),
        Recipe("vae", data, small_vae,
               {"steps": 4000, "batch_size": 100, "lr": 3e-3, "evaluate_every": 500},
               {"steps": 50_000, "lr": 1.5e-3, "evaluate_every": 5000}, sizes=some, loss=("elbo", {"warmup": 0.3})),
        Recipe("iwae", data, small_vae,
               {"steps": 2000, "batch_size": 100, "lr": 3e-3, "evaluate_every": 400},
               {"steps": 20_000, "lr": 1.5e-3, "evaluate_every": 2000}, sizes=some,
               loss=("iwae", {"k": 5, "warmup": 0.3})),
    )  # fmt: skip


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fvsbn", "digits", {"dropout": 0.3},
               {"steps": 600, "batch_size": 64, "lr": 8e-3, "evaluate_every": 50}, {"steps": 2000}),
        Recipe("made", "digits", {"hidden": (512,), "direct": False, "dropout": 0.5, "input_dropout": 0.2},
               {"steps": 900, "batch_size": 64, "lr": 6e-3, "evaluate_every": 50}, {"steps": 3000}),
        Recipe("nade", "digits", {"hidden": 232, "dropout": 0.4},
               {"steps": 800, "batch_size": 64, "lr": 6e-3, "evaluate_every": 50}, {"steps": 3000}),
        Recipe("pixel_gru", "digits", {"hidden": 192, "dropout": 0.5}, {**_DIGITS_FIT, "steps": 700}, {"steps": 2000}),
        Recipe("row_lstm", "digits", {**_DIGITS, "layers": 3}, _DIGITS_FIT, {"steps": 2000}),
        Recipe("diagonal_bilstm", "digits", {**_DIGITS, "layers": 2}, {**_DIGITS_FIT, "steps": 750, "lr": 5e-3},
               {"steps": 2000}),
        Recipe("pixelcnn", "digits", {**_DIGITS, "kernel": 5}, _DIGITS_FIT, {"steps": 2000}),
        Recipe("gated_pixelcnn", "digits", {**_DIGITS, "first_kernel": 3}, _DIGITS_FIT, {"steps": 2000}),
        Recipe("conditional_gated_pixelcnn", "digits", {**_DIGITS, "first_kernel": 3}, _DIGITS_FIT, {"steps": 2000},
               conditional=True),
        Recipe("pixelcnnpp", "digits",
               {"channels": 24, "blocks": 1, "scales": 2, "mixtures": 5, "dropout": 0.5, "encoding": "thermometer"},
               {**_DIGITS_FIT, "steps": 700, "lr": 5e-3}, {"steps": 2000}),
        Recipe("photo_pixelcnnpp", "patches", {"channels": 24, "blocks": 1, "scales": 1, "mixtures": 5, "contrast": 10},
               {"steps": 2100, "batch_size": 16, "lr": 4e-3, "clip": 1e4, "evaluate_every": 350}, {"steps": 20_000}),
        Recipe("color_pixelcnnpp", "glyphs",
               {"channels": 16, "blocks": 1, "scales": 2, "mixtures": 5, "encoding": "thermometer"},
               {"steps": 500, "batch_size": 8, "lr": 1e-2, "evaluate_every": 100}, {"steps": 5000},
               data_options={"color": True}, sizes=_GLYPHS),
        Recipe("pixel_transformer", "digits", {"width": 64, "layers": 4, "heads": 4, "dropout": 0.25},
               {**_DIGITS_FIT, "steps": 650, "muon": 0.02}, {"steps": 2000}),
        *(
            TextRecipe("char_transformer", data, {"width": 96, "layers": 3, "heads": 3, "dropout": 0.05},
                       {"steps": 1500, "batch_size": 16, "lr": 4e-3, "muon": 0.02, "evaluate_every": 100},
                       {"steps": steps}, data_options={"length": 128})
            for data, steps in (("pydoc", 4000), ("tinyshakespeare", 20_000))
        ),
        TextRecipe("token_lstm", "pydoc", {"hidden": 256},
                   {"steps": 1000, "batch_size": 16, "lr": 4e-3, "evaluate_every": 100}, {"steps": 4000},
                   data_options={"length": 64}),
        SoundRecipe("wavenet", "plucked", {},
                    {"steps": 4000, "batch_size": 2, "lr": 4e-3, "muon": 0.02, "clip": 1e4, "evaluate_every": 400},
                    {"steps": 20_000, "batch_size": 8, "evaluate_every": 1000},
                    data_options={"notes": ("A3", "D4", "G4"), "length": 1000}),
        Recipe("single_frame_pixelcnn", "moving_digits", {**_CLIPS, "past": 0, "match": False}, _CLIPS_FIT,
               {"steps": 6000}, **_THREE_FRAMES),
        Recipe("unmatched_frame_pixelcnn", "moving_digits", {**_CLIPS, "past": 2, "match": False}, _CLIPS_FIT,
               {"steps": 6000}, **_THREE_FRAMES),
        Recipe("frame_pixelcnn", "moving_digits", _CLIPS, _CLIPS_FIT, {"steps": 6000}, **_THREE_FRAMES),
        Recipe("directed_frame_pixelcnn", "moving_digits", _CLIPS, _CLIPS_FIT, {"steps": 6000},
               conditional=True, data_options={"classes": "direction"}, **_THREE_FRAMES),
        Recipe("vae", "digits", _VAE, _VAE_FIT, {"steps": 6000}, loss=_ANNEALED),
        Recipe("conditional_vae", "digits", {**_VAE, "hidden": (128, 128)}, _VAE_FIT, {"steps": 6000},
               conditional=True, loss=_ANNEALED),
        Recipe("poisson_vae", "digits", {**_VAE, "prior": "poisson"}, {**_VAE_FIT, "steps": 2000}, {"steps": 6000},
               loss=_ANNEALED),
        Recipe("iwae", "digits", {**_VAE, "dropout": 0.25}, {**_VAE_FIT, "steps": 2000, "lr": 3e-3}, {"steps": 4000},
               loss=("iwae", {"k": 5, "warmup": 0.6})),
        Recipe("fvsbn", "glyphs", {}, {"steps": 1000, "batch_size": 64, "lr": 1e-2, "evaluate_every": 100},
               {"steps": 3000}, sizes=_GLYPHS),
        Recipe("made", "glyphs", {"hidden": (500,)},
               {"steps": 1000, "batch_size": 64, "lr": 5e-3, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("nade", "glyphs", {"hidden": 100},
               {"steps": 1000, "batch_size": 32, "lr": 1e-2, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("row_lstm", "glyphs", {"channels": 24, "layers": 2},
               {"steps": 400, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("diagonal_bilstm", "glyphs", {"channels": 16, "layers": 2},
               {"steps": 300, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("gated_pixelcnn", "glyphs", {"channels": 16, "layers": 4, "first_kernel": 7, "kernel": 5},
               {"steps": 300, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100},
               {"steps": 5000, "evaluate_every": 250}, sizes=_GLYPHS),
        Recipe("vae", "glyphs", {"hidden": (256, 128), "latents": 32},
               {"steps": 3000, "batch_size": 64, "lr": 3e-3, "evaluate_every": 200}, {"steps": 10_000},
               sizes=_GLYPHS, loss=("elbo", {"warmup": 0.3})),
        TwoStageRecipe("vqvae", "glyphs", {"n_codes": 64, "dim": 4},
                       {"steps": 1000, "batch_size": 32, "lr": 3e-3, "evaluate_every": 100, "ema": 0.98,
                        "prior": {"steps": 600, "batch_size": 64, "lr": 5e-3}},
                       {"steps": 5000, "prior": {"steps": 5000, "batch_size": 64, "lr": 5e-3}},
                       sizes=_GLYPHS, loss=("vq", {}),
                       prior_config={"channels": 32, "layers": 4, "encoding": "one_hot"}),
        ClassifierRecipe("classifier", "digits", {"channels": 32},
                         {"steps": 1500, "batch_size": 64, "lr": 3e-3, "weight_decay": 1e-3, "evaluate_every": 500},
                         {"steps": 4000}, loss=("cross_entropy", {})),
        ClassifierRecipe("classifier", "glyphs", {},
                         {"steps": 300, "batch_size": 64, "lr": 5e-3, "evaluate_every": 100}, {"steps": 1000},
                         loss=("cross_entropy", {}), sizes=_GLYPHS),
        AdversarialRecipe("gan", "digits", {"latents": 32, "hidden": (256, 256)},
                          {"steps": 4000, "batch_size": 64, "lr": 1e-3, "ema": 0.995, "decay": True},
                          {"steps": 20_000}, loss=("non_saturating", {"r1": 0.1})),
        AdversarialRecipe("conditional_dcgan", "glyphs", {"latents": 64, "channels": 16},
                          {"steps": 2500, "batch_size": 32, "lr": 2e-3, "ema": 0.99, "decay": True},
                          {"steps": 20_000}, conditional=True, loss=("non_saturating", {"r1": 0.3}), sizes=_GLYPHS),
        VAEGANRecipe("vaegan", "digits", {},
                     {"steps": 4000, "batch_size": 64, "lr": 1e-3, "ema": 0.995, "decay": True}, {"steps": 20_000},
                     loss=("non_saturating", {"gamma": 0.03, "variance": 0.2, "r1": 0.1})),
        TranslationRecipe("cyclegan", "digits",
                          {"width": 16, "norm": False, "critic_width": 16, "critic_layers": ((4, 2), (4, 2), (2, 1))},
                          {"steps": 600, "batch_size": 32, "lr": 4e-3, "ema": 0.99, "decay": True},
                          {"steps": 3000, "lr": 1e-3}, loss=("hinge", {"lam": 30.0})),
        *(FactorRecipe(name, "colored_glyphs", {}, _FACTORS_FIT, {"steps": 5000}, loss=("factor_cross_entropy", {}),
                       sizes=_COLORED_GLYPHS) for name in ("teacher", "judge")),
        VQGANRecipe("vqvae", "colored_glyphs", {}, _TOKENIZER_FIT, {"steps": 5000}, loss=("hinge", {"perceptual": 0.0}),
                    sizes=_COLORED_GLYPHS),
        VQGANRecipe("perceptual_vqvae", "colored_glyphs", {}, _TOKENIZER_FIT, {"steps": 5000},
                    loss=("hinge", {"perceptual": 0.2}), sizes=_COLORED_GLYPHS),
        VQGANRecipe("vqgan", "colored_glyphs", {}, _TOKENIZER_FIT, {"steps": 5000}, critic={"critic_width": 32},
                    loss=("hinge", {"perceptual": 0.2, "factor": 0.8, "start": 640}), sizes=_COLORED_GLYPHS),
        CaptionRecipe("caption_transformer", "colored_glyphs", {},
                      {"steps": 1400, "batch_size": 64, "lr": 4e-3, "muon": 0.02, "evaluate_every": 200},
                      {"steps": 6000}, sizes=_COLORED_GLYPHS),
        Recipe("made", "bars_and_stripes", {"hidden": (256,), "direct": False},
               {**_BARS_FIT, "steps": 800, "lr": 2e-2}, {"steps": 4000}),
        Recipe("nade", "bars_and_stripes", {"hidden": 64}, {**_BARS_FIT, "steps": 1500, "lr": 3e-2}, {"steps": 6000}),
        Recipe("gated_pixelcnn", "bars_and_stripes", {"channels": 16, "layers": 3, "dropout": 0.0},
               _BARS_FIT, {"steps": 3000}),
        *_mnist("mnist_thresholded"),
        *_mnist("mnist_dynamic"),
    )
}  # fmt: skip


def find(model: str, data: str) -> Recipe:
    """The recipe for a model on a data set.

    Raises:
        ValueError: for an unknown model or data set, or a pair without a recipe; the message lists what there is.
    """
    models = sorted({r.model for r in RECIPES.values()})
    known_data = sorted({r.data for r in RECIPES.values()})
    for kind, value, known in (("model", model, models), ("data set", data, known_data)):
        if value not in known:
            near = get_close_matches(value, known, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no {kind} {value!r}; {guess}known: {', '.join(known)}")
    if f"{model}-{data}" not in RECIPES:
        there = ", ".join(r.data for r in RECIPES.values() if r.model == model)
        raise ValueError(f"no recipe for {model!r} on {data!r}; {model} has recipes for: {there}")
    return RECIPES[f"{model}-{data}"]
