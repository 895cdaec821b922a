"""Readouts by their definitions, one sample, one head and one channel at a time, in float64."""

import numpy as np


def softmax(scores):
    """Weights of the scores of valid tokens."""
    e = np.exp(scores - scores.max())
    return e / e.sum()


def samples(x, mask):
    """``x`` as ``(N, L, D)`` in float64, and which of its tokens take part."""
    x = np.asarray(x).astype(np.float64)
    batch = x[None] if x.ndim == 2 else x
    valid = np.ones(batch.shape[:2], bool) if mask is None else np.broadcast_to(np.asarray(mask, bool), batch.shape[:2])
    return batch, valid


def like(x, result):
    """Return the result without the axis of samples if ``x`` has none."""
    return result[0] if np.ndim(x) == 2 else result


def attention_pool(x, query, key_weight=None, value_weight=None, num_heads=1, mask=None, scale=None):
    """Return values and weights."""
    batch, valid = samples(x, mask)
    query = np.asarray(query).astype(np.float64)
    n, length, d = batch.shape
    queries = np.broadcast_to(query, (n, *query.shape[-2:]))
    key_weight = np.eye(d) if key_weight is None else np.asarray(key_weight).astype(np.float64)
    value_weight = np.eye(d) if value_weight is None else np.asarray(value_weight).astype(np.float64)
    e, f = key_weight.shape[1] // num_heads, value_weight.shape[1] // num_heads
    scale = 1 / np.sqrt(e) if scale is None else scale
    values = np.zeros((n, queries.shape[1], value_weight.shape[1]))
    weights = np.zeros((n, num_heads, queries.shape[1], length))
    for s in range(n):
        taken = np.flatnonzero(valid[s])
        if len(taken) == 0:
            continue
        tokens = batch[s, taken]
        for h in range(num_heads):
            keys = (tokens @ key_weight)[:, h * e : (h + 1) * e]
            of_head = (tokens @ value_weight)[:, h * f : (h + 1) * f]
            for q in range(queries.shape[1]):
                w = softmax(scale * (keys @ queries[s, q, h * e : (h + 1) * e]))
                weights[s, h, q, taken] = w
                values[s, q, h * f : (h + 1) * f] = w @ of_head
    return like(x, values), like(x, weights)


def gated_attention_pool(x, v, u, w, mask=None):
    """Equation 9 of Ilse, Tomczak and Welling (2018)."""
    batch, valid = samples(x, mask)
    v, u, w = (np.asarray(array).astype(np.float64) for array in (v, u, w))
    scores_of = w[:, None] if w.ndim == 1 else w
    result = np.zeros((len(batch), scores_of.shape[1], batch.shape[2]))
    for s in range(len(batch)):
        tokens = batch[s, valid[s]]
        if len(tokens) == 0:
            continue
        scores = (np.tanh(tokens @ v) / (1 + np.exp(-(tokens @ u)))) @ scores_of
        for k in range(scores_of.shape[1]):
            result[s, k] = softmax(scores[:, k]) @ tokens
    return like(x, result[:, 0] if w.ndim == 1 else result)


def token_pool(x, mask=None, mode="mean"):
    """Return the result in float64, or of the dtype of ``x`` where a token is chosen."""
    batch, valid = samples(x, mask)
    given = np.asarray(x).reshape(batch.shape)
    chosen = mode in {"max", "cls", "last"}
    result = np.zeros((batch.shape[0], batch.shape[2]), given.dtype if chosen else np.float64)
    for s in range(batch.shape[0]):
        taken = np.flatnonzero(valid[s])
        if len(taken) == 0:
            continue
        for channel in range(batch.shape[2]):
            column = batch[s, taken, channel]
            if mode == "max":
                place = taken[np.argmax(column)]
                result[s, channel] = given[s, place, channel]
            elif mode in {"cls", "last"}:
                result[s, channel] = given[s, taken[0 if mode == "cls" else -1], channel]
            elif mode == "mean":
                result[s, channel] = np.mean(column)
            elif mode == "weighted_mean":
                result[s, channel] = np.sum(column * (taken + 1)) / np.sum(taken + 1)
            elif mode == "mean_sqrt_len":
                result[s, channel] = np.sum(column) / np.sqrt(len(taken))
            else:
                result[s, channel] = np.std(column)
    return like(x, result)
