"""What ``pnyx doctor`` looks at: facts are gathered, which changes nothing, and each check makes a finding of some."""
