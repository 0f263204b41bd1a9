"""How an exported PyTorch graph becomes a workload graph. The public front is `hwsim.trace`."""
