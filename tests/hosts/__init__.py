"""Whole machines, as far as pnyx can see: network namespaces with addresses and file systems of their own."""
