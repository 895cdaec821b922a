"""Readouts: the tokens of a sample, or the rows of a segment, pooled into one result or a few."""

from ndpool.readout.attention import attention_pool, gated_attention_pool
from ndpool.readout.segment import segment_pool
from ndpool.readout.token import token_pool

__all__ = ["attention_pool", "gated_attention_pool", "segment_pool", "token_pool"]
