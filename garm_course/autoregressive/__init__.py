"""Autoregressive models: an exact likelihood, as a product of conditionals."""
