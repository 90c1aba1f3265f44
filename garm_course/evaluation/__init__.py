"""Evaluation: likelihoods with standard errors, and audits that find out whether a model is what it claims to be."""
