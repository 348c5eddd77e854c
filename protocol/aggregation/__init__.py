"""Tensors under F4 and F5: fixed-point updates, and the rules that join them; imported by the worker only.

A candidate is made in up to two passes over the updates, a slice at a time, so that memory does not grow with the
model:

1. Rules that look at whole updates need their inner products (:mod:`~protocol.aggregation.products`).
2. :mod:`~protocol.aggregation.rules` turns the network's rule and the inner products into a recipe
   (:mod:`~protocol.aggregation.recipes`): which members, and what is done with their integers at each weight.
   :mod:`~protocol.aggregation.candidate` follows it.

No floating-point number is ever summed, in neither pass. Inner products, distances, norms, scores and the weights of
the iterative rules are Python integers of any length, made from int64 sums that cannot overflow; a square root is the
integer one (``math.isqrt``). Integer sums are the same in any order, so neither the slices, nor threads, nor the
processor can show in the result. The only floating-point arithmetic is the one elementwise expression that ends each
weight, and every operation in it is rounded as IEEE 754 prescribes.
"""
