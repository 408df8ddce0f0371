"""The public test kit: strategies, state machines, contracts and the simulator, for the authors of other parts.

It is the one package of the core that uses randomness and needs an extra: `pip install "mqtt-core[hypothesis]"`.
Importing this package alone imports neither Hypothesis nor asyncio.
"""
