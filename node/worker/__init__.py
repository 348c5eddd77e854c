"""The worker process: the only importer of torch. It trains, aggregates and evaluates when the daemon asks it to.

The daemon's side is :mod:`node.learner`; both sides share :mod:`node.worker.messages`.
"""
