"""Proves that Node's tokenizer gives the ids of its Python reference, for every text."""
