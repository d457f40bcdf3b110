"""The AWS Lambda function behind the output `kinesis`: from the stream to S3 and Elasticsearch, each record once.

An invocation brings Kinesis records of one shard, in the order of their sequence numbers. It may come again: after an
error, after the time limit, cut in other places. And the agent may have sent documents twice, after an answer that was
lost or a kill, in Kinesis records cut otherwise. So what is written here can be written again and changes nothing:

* Elasticsearch gets each document by ``create`` under its ``event.id``; a repeat is answered 409, "already there".
* An object in S3 is made of one Kinesis record alone, never of what an invocation happened to bring, and holds none of
  the documents that are in an earlier object (``archive``).

A Kinesis record is done when all its documents are in both places, or set aside under ``bad/`` with the reason. The
first that is not done is what the answer names: Lambda goes on from there. Nothing is dropped.

Only what AWS's Python runtime brings is used: the standard library, boto3 and urllib3. Documents are cut out of what
came and written byte for byte; nothing is encoded again.
"""
