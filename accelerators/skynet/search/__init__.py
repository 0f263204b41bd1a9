"""The bottom-up design search of SkyNet: Bundles, then networks, then features and engines. docs/skynet-search.md."""
