"""The ``opensearch`` output: the bulk requests of ``agent.outputs.elasticsearch``, in OpenSearch's dialect.

config      the settings
template    the index template: settings and mappings
signing     requests signed for AWS, and what AWS says against them
dialect     in what OpenSearch differs
output      the output, and what asks for records by id
"""
