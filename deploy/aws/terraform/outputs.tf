output "stream_name" {
  description = "For `stream` of the agents' output."
  value       = aws_kinesis_stream.this.name
}

output "bucket_name" {
  description = "Where the objects lie."
  value       = aws_s3_bucket.this.id
}

output "send_policy_arn" {
  description = "For the role of the agents."
  value       = aws_iam_policy.send.arn
}
