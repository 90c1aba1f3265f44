"""Distributions that networks put out, what filters make of them before a draw, and draws that can be repeated."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "heads": "Bernoulli Categorical Gaussian Poisson bernoulli_nll kl_categorical output_head poisson_nll",
        "logistic_mixture": "DiscretizedLogisticMixture bin_log_masses conditional_params logistic_levels",
        "filters": "draw filter_logits",
        "draws": "normals uniforms",
    },
)
