"""hwsim beside SCALE-Sim and ZigZag, on the same work in one run; docs/benchmarks.md shows the outcome.

    python -m benchmarks.peers install     an environment of its own for each peer, from the package registry
    python -m benchmarks.peers run         what is not yet measured, cheapest first; Ctrl-C and again goes on
    python -m benchmarks.peers sweep       design points a second
    python -m benchmarks.peers collect     what was measured, into results.json
    python -m benchmarks.peers ours        hwsim's runs in results.json anew, after a change of its model
    python -m benchmarks.peers docs        tables of docs/benchmarks.md, and its picture, from results.json

`--envs` and `--results` name the folders of environments and of measured cases; `--tool` takes one peer alone.
"""
