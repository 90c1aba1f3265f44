"""Latent-variable models: a bound on the likelihood, from a code that the data did not come with."""
