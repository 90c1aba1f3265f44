"""Trust: whether a model copies or leaks its data, what it looks at, and whether a sample came from it."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "memorization": "copy_test deduplicate exposure make_canaries nearest plant",
        "membership": "complementary_halves membership_auc roc shadow_scores tpr_at_fpr",
        "privacy": "dp_sgd_grad epsilon example_nll poisson_batch tpr_bound",
        "private_training": "fit_private",
        "attribution": "delete_top integrated_gradients surprise",
        "watermark": "GreenList p_value",
    },
)
