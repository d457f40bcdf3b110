"""The output to Logstash's inputs: beats (lumberjack), http and tcp."""
