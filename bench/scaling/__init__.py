"""Many sidecars, a log in between, and what reads it: what each hop takes. ``python -m bench.scaling [NAME…]``

Each hop runs alone, one process of it, one after the other.

hop       a hop measured
sidecar   the first hop: the agent tails the benchmark's file into the log
kafka     with a real Kafka in between, and ``consumer`` behind it
kinesis   with a stand-in for Kinesis in between, ``stream``, and the function for AWS Lambda behind it
"""
