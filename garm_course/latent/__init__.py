"""Latent-variable models: a bound on the likelihood, from a code that the data did not come with."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bounds": "ELBO active_units free_bits iwae_bound kl_diag_gaussian kl_poisson leave_one_out reparameterize",
        "ppca": "PPCA ppca_log_marginal",
        "priors": "GaussianPosterior PoissonPosterior PoissonPrior StandardNormal",
        "vae": "MLPVAE VAE MLPDecoder MLPEncoder NegativeELBO NegativeIWAE",
        "quantizer": "VectorQuantizer codebook_perplexity ema_update nearest_code quantize vq_loss",
        "vqvae": "ConvVQVAE VQLoss VQVAE",
        "two_stage": "TwoStage",
        "tokenizer": "Tokenizer",
    },
)
