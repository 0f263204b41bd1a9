"""Processors and GPUs from their datasheets: peak rates, bandwidth, launch overhead, utilisation ceilings."""
