"""Adversarial models: a generator that draws, and a critic that tells its draws from data.

There is no likelihood here: a model is a map from noise to examples, and its loss is a function of a critic's scores.
Everything reads and writes numbers in [-1, 1] (see `transforms.scale`), or points of any size.
"""
