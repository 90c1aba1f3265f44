"""The recorded study of compression as a table: what each way of making a model smaller costs."""

MODELS = {"made": "MADE", "pixel_gru": "pixel GRU", "gated_pixelcnn": "gated PixelCNN"}
WAYS = {
    "8 bits, rows": ("bits per row", 8),
    "4 bits, matrix": ("bits per tensor", 4),
    "4 bits, rows": ("bits per row", 4),
    "half pruned": ("pruned", 0.5),
    "70 % pruned": ("pruned", 0.7),
}


class Costs:
    """What "compression-digits" found, as means over its seeds.

    Attributes:
        models: the names of the models.
    """

    models = tuple(MODELS)

    def __init__(self, study):
        self._runs = study["runs"]

    def _mean(self, model, kind, value, key):
        found = [cost[key] for run in self._runs if run["model"] == model for cost in run["costs"]
                 if (cost["kind"], cost["value"]) == (kind, value)]  # fmt: skip
        return sum(found) / len(found)

    def lost(self, model, kind, value):
        """Mean nats that a model loses on validation images: "bits per row", "bits per tensor" or "pruned"."""
        return self._mean(model, kind, value, "lost")

    def table(self):
        """Header and rows for `show.table`."""
        rows = []
        for model, name in MODELS.items():
            share = self._mean(model, "bits per row", 8, "bytes") / self._mean(model, "none", 32, "bytes")
            rows.append([name, *(f"{self.lost(model, *way):.2f}" for way in WAYS.values()), f"{share:.0%}"])
        return ["nats lost", *WAYS, "file in 8 bits"], rows
