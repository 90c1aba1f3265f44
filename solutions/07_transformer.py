# %% [markdown]
# # 07 · Transformers and text

# %%
import math
import torch
import torch.nn.functional as F
