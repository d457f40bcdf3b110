"""Records in a Kafka topic, by an idempotent producer."""
