"""Benchmarks: the broker against others on the same machine, in the same minutes, under a checker of every message.

`python -m tests.bench --help`. The generator (load.py) and each broker are processes of their own on loopback; brokers
take turns run by run, every figure is the median of the repetitions, and what counts is the ratio to mosquitto of the
same run. A figure with a lost, doubled, damaged or reordered message is refused.
"""
