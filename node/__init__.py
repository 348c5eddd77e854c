"""The shell around the core: network, disk, clock, processes. It performs effects and holds no rule."""
