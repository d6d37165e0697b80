"""Benches: the workloads of docs on performance, beside a hand-written server and a bare file in the same run.

`python -m benchmarks` measures all of it and writes RESULTS.md and RESULTS.json here; `--quick` takes one short look
at everything. Nothing here is a test: a noisy machine must not turn anything red. Believe ratios, which are taken
between figures measured within seconds of each other, before single figures.
"""
