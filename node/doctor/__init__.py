"""What ``pnyx doctor`` looks at: facts are gathered without changing anything, and each check makes a finding of some."""
