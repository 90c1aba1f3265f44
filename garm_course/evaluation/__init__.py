"""Evaluation: likelihoods with standard errors, and audits that find out whether a model is what it claims to be."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "likelihood": (
            "Difference Likelihood bits_per_dim evaluate kl_to_model log_probs log_probs_in_context lower_bounds "
            "paired rate_distortion standard_error"
        ),
        "marginals": "ClassMarginals PixelMarginals Uniform baselines",
        "audits": "all_examples calibration causality forgets normalization receptive_field",
        "text": "compressors novelty repetition text_baselines",
        "samples": (
            "bootstrap c2st density_coverage fid_from_stats frechet_at_infinity frechet_distance inception_score "
            "kernel_distance leaderboard mode_counts precision_recall"
        ),
        "scores": "Score ranked",
        "sound": (
            "autocorrelation harmonic_decay harmonic_share log_spectral_distance pitch real_time_factor semitones "
            "sound_baselines"
        ),
        "video": "flicker",
        "features": "DigitClassifier FactorClassifier accuracy asked_for class_shares classify",
    },
)
