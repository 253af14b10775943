"""The tokenizers against their peers, on the real reviews."""
