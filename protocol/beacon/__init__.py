"""Public randomness and what is drawn from it: the RANDAO mix, the schedule of outputs, the roles of a round."""
