"""HTTP for people and their monitoring, read only: health, metrics, a JSON API, live events, and a dashboard.

Off unless the configuration names a port. Nothing here changes anything, and nothing that is secret, a path of this
machine, or about a training sample leaves through it: what a task's error says stays in the log.
"""
