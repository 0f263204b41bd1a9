"""A system: camera or files in, the host's stages around an accelerator, results out; as processes with queues."""
