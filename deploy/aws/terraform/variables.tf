variable "name" {
  description = "First part of the names of everything here."
  type        = string
  default     = "modeltail"
}

variable "shard_count" {
  description = "Shards of the stream; each takes 1 MB and 1,000 Kinesis records a second."
  type        = number
  default     = 1
}

variable "retention_hours" {
  description = "How long the stream keeps records. Longer than the function tries, so that what it gives up can be read."
  type        = number
  default     = 48
}

variable "maximum_record_age_in_seconds" {
  description = "How long the function tries a record; then it goes to the on-failure queue. Shorter than the retention."
  type        = number
  default     = 129600
}

variable "elasticsearch_url" {
  description = "Address of Elasticsearch (https://host:9200); empty for S3 alone."
  type        = string
  default     = ""
}

variable "api_key_secret_arn" {
  description = "Secret in Secrets Manager that holds Elasticsearch's API key, as encoded text; empty for none."
  type        = string
  default     = ""
}
