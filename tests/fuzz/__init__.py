"""Fuzzing: what strangers may send, sent to every decoder and every way in (docs/guides/fuzzing.md)."""
