"""The node's memory on disk: final blocks, the journal above them, snapshots. The only importer of sqlite3."""
