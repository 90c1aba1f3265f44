"""Adversarial models: a generator that draws, and a critic that tells its draws from data.

There is no likelihood here: a model is a map from noise to examples, and its loss is a function of a critic's scores.
Everything reads and writes numbers in [-1, 1] (see `transforms.scale`), or points of any size.
"""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "losses": (
            "GANLoss LOSSES hinge_d_loss least_squares_d_loss least_squares_g_loss minimax_d_loss "
            "nonsaturating_g_loss saturating_g_loss wasserstein_d_loss wasserstein_g_loss"
        ),
        "divergences": "F_DIVERGENCES js_divergence kl_divergence optimal_discriminator total_variation wasserstein1",
        "lipschitz": "clip_weights gradient_penalty input_gradient r1_penalty spectral_norm",
        "game": "Game",
        "gan": "DCGAN GAN GANGame MLPGAN DCCritic DCGenerator MLPCritic MLPGenerator",
        "cyclegan": (
            "CycleGAN CycleGANGame DenseTranslator ImagePool PatchCritic Translator cycle_loss identity_loss "
            "image_pool patch_receptive_field"
        ),
        "vqgan": "VQGAN VQGANGame adaptive_weight perceptual_distance",
        "vaegan": "MLPVAEGAN PixelLoss VAEGAN VAEGANGame feature_nll vaegan_losses",
    },
)
