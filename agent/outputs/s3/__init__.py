"""Objects in S3, named by the hour of their events and the ids of their records."""
