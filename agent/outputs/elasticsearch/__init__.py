"""The ``elasticsearch`` output: bulk requests into data streams, each record exactly once.

config      the settings
options     those of them that OpenSearch has too
dialect     in what the two differ
names       which data stream a record goes to, and which template covers it
template    the index template: settings and mappings
body        frames of the queue as one gzip request body
connect     the connection to the hosts: addresses, TLS, authentication
answer      what an answer means, for the batch and for each record
doubt       which records arrived although their request had no answer
rescue      a refused record in a form nothing can refuse
output      the output itself
"""
