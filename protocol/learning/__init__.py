"""What a round is made of: manifests, phases, ballots, verdicts and the format of the tensors they name."""
