"""Evaluation: likelihoods with standard errors, and audits that find out whether a model is what it claims to be."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "likelihood": (
            "ClassMarginals Likelihood PixelMarginals Uniform baselines bits_per_dim evaluate kl_to_model "
            "log_probs lower_bounds rate_distortion"
        ),
        "audits": "all_examples calibration causality forgets normalization receptive_field",
        "samples": "bootstrap density_coverage frechet_distance kernel_distance mode_counts precision_recall",
        "features": "DigitClassifier accuracy class_shares classify",
    },
)
