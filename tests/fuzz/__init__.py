"""Fuzzing: `python -m tests.fuzz [TARGET ...] [--seconds N]`, and a short deterministic form among the tests.

A target is a function of bytes that raises when an invariant breaks. All it does is decided by those bytes, so that a
finding is a file, and runs again without the fuzzer: `python -m tests.fuzz TARGET --input FILE`.
"""
