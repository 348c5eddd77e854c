"""Tensors under F4: fixed-point updates and the rules that join them; imported by the worker only."""
