"""Readers of checkpoints in their publishers' own variable names: TF1 and Hugging Face.

BERT, ALBERT and ELECTRA. Pickles are never opened.
"""

from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.loading import load_encoder, load_head
from export.checkpoints.opening import open_checkpoint

__all__ = ["Checkpoint", "load_encoder", "load_head", "open_checkpoint"]
