"""Reads checkpoints of BERT, ALBERT and ELECTRA in their publishers' formats.

The formats are TF1 and Hugging Face's safetensors. Pickles are never opened.
"""

from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.loading import load_classifier, load_encoder, load_head
from export.checkpoints.opening import open_checkpoint

__all__ = ["Checkpoint", "load_classifier", "load_encoder", "load_head", "open_checkpoint"]
