"""GPUs from their datasheets: multiprocessors, occupancy, tiles and waves, second-level cache, launch overhead."""
