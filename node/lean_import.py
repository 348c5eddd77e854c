"""Entering a package's modules without running the package's own code.

libp2p's ``__init__`` imports every transport, relay and discovery that it has, half of what a daemon would occupy, and
ours uses none of it. See the entry ``heavy_package_code`` of :mod:`node.libp2p_transport.workarounds`.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec

LIBP2P_PACKAGES = ("libp2p", "libp2p.transport")
"""The packages whose code leads to all the rest."""


def skip_package_code(*names: str) -> None:
    """Register packages as empty modules that know where their submodules are, parents first.

    Only for a process that wants nothing from the packages themselves. One that is imported already, or not installed,
    is left alone.
    """
    for name in names:
        if name in sys.modules:
            continue
        parent, _, _ = name.rpartition(".")
        spec = PathFinder.find_spec(name, sys.modules[parent].__path__ if parent else None)
        if spec is None or spec.submodule_search_locations is None:
            continue
        bare = ModuleSpec(name, None, origin=spec.origin, is_package=True)
        bare.submodule_search_locations = spec.submodule_search_locations
        sys.modules[name] = module_from_spec(bare)
