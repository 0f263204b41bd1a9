"""In which order operators run and at which addresses their tensors live, on any machine with a scratchpad."""
